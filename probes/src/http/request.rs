//! A request: its URL, its credentials, and how it is shown without secrets.

use std::{borrow::Cow, collections::HashSet};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use url::Url;

use super::{
    rules::{CursorRule, Pages},
    spec::{Auth, Credential, Spec, SpecError},
    walk::{Mark, Step, Validators},
};

impl Spec {
    /// The request headers of every page.
    pub(super) fn request_headers(&self) -> Result<HeaderMap, SpecError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let agent = concat!("milkrun/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        for param in &self.headers {
            insert(&mut headers, "headers", &param.name, &param.value, param.secret)?;
        }
        match &self.auth {
            Auth::Bearer(token) => {
                let value = format!("Bearer {}", token.0);
                insert(&mut headers, "auth.bearer", "authorization", &value, true)?;
            }
            Auth::Basic { user, password } => {
                let pair = BASE64_STANDARD.encode(format!("{user}:{}", password.0));
                let value = format!("Basic {pair}");
                insert(&mut headers, "auth.basic", "authorization", &value, true)?;
            }
            Auth::ApiKey { into: Credential::Header(name), prefix, value } => {
                let value = prefixed(prefix.as_deref(), &value.0);
                insert(&mut headers, "auth.api_key", name, &value, true)?;
            }
            Auth::None | Auth::ApiKey { into: Credential::Query(_), .. } => {}
        }
        Ok(headers)
    }

    /// The URL of the page at `mark`, secrets included. `Err` holds a URL that is not on the
    /// source's own origins, or that is none.
    pub(super) fn page_url(&self, mark: &Mark) -> Result<Url, String> {
        let mut url = if let Some(Step::Url(url)) = &mark.step {
            self.own(url)?
        } else {
            let mut url = self.url.clone();
            for param in &self.query {
                set_query(&mut url, &param.name, &param.value);
            }
            if let Some((name, value)) = &mark.sent {
                set_query(&mut url, name, value);
            }
            if let Some(Step::Query(name, value)) = &mark.step {
                set_query(&mut url, name, value);
            }
            url
        };
        for param in self.query.iter().filter(|param| param.secret) {
            set_query(&mut url, &param.name, &param.value);
        }
        if let Auth::ApiKey { into: Credential::Query(name), prefix, value } = &self.auth {
            set_query(&mut url, name, &prefixed(prefix.as_deref(), &value.0));
        }
        url.set_fragment(None);
        Ok(url)
    }

    /// A link that a page at `base` gave, absolute and without secrets; `Err` when it leads to
    /// another origin.
    pub(super) fn link(&self, base: &Url, link: &str) -> Result<String, String> {
        let joined = base.join(link).map_err(|_| cut(link))?;
        let mut url = self.own(joined.as_str())?;
        let secrets = self.secret_queries();
        let kept: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(name, _)| !secrets.contains(&&**name))
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        if kept.len() != url.query_pairs().count() {
            url.set_query(None);
            if !kept.is_empty() {
                url.query_pairs_mut().extend_pairs(kept);
            }
        }
        Ok(url.to_string())
    }

    /// The URL as it may be shown. What the configured URL has in its query is hidden too: a secret
    /// may have been put there.
    pub(super) fn masked(&self, url: &Url) -> String {
        let given: HashSet<(Cow<'_, str>, Cow<'_, str>)> = self.url.query_pairs().collect();
        self.hiding(url, &given)
    }

    /// The URL as it tells requests apart, without secrets.
    pub(super) fn identity(&self, url: &Url) -> String {
        self.hiding(url, &HashSet::new())
    }

    /// Without credentials, and with `***` for secret query values and those in `given`.
    fn hiding(&self, url: &Url, given: &HashSet<(Cow<'_, str>, Cow<'_, str>)>) -> String {
        let secrets = self.secret_queries();
        let mut shown = url.clone();
        // A URL with a host has a place for these.
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        let hidden = |pair: &(Cow<'_, str>, Cow<'_, str>)| {
            secrets.contains(&&*pair.0) || given.contains(pair)
        };
        if url.query_pairs().any(|pair| hidden(&pair)) {
            let pairs = url.query_pairs().map(|pair| {
                let value = if hidden(&pair) { "***".into() } else { pair.1 };
                (pair.0, value)
            });
            shown.query_pairs_mut().clear().extend_pairs(pairs);
        }
        shown.to_string()
    }

    fn secret_queries(&self) -> Vec<&str> {
        let configured = self.query.iter().filter(|param| param.secret);
        let mut names: Vec<&str> = configured.map(|param| param.name.as_str()).collect();
        if let Auth::ApiKey { into: Credential::Query(name), .. } = &self.auth {
            names.push(name);
        }
        names
    }

    /// Reads a URL that must be on the source's own origin, or on one that it names.
    fn own(&self, link: &str) -> Result<Url, String> {
        let mut url = Url::parse(link).map_err(|_| cut(link))?;
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let others: &[String] = match &self.pages {
            Pages::LinkHeader(rule) => &rule.origins,
            Pages::NextUrl(rule) => &rule.origins,
            _ => &[],
        };
        let origin = url.origin();
        let own = origin == self.url.origin()
            || others
                .iter()
                .any(|other| Url::parse(other).is_ok_and(|other| other.origin() == origin));
        if own { Ok(url) } else { Err(cut(&origin.ascii_serialization())) }
    }

    /// The name of the query parameter that takes the cursor.
    pub(super) fn cursor_query(&self) -> Option<&str> {
        match &self.cursor {
            CursorRule::None | CursorRule::LinkUrl(_) => None,
            CursorRule::LastId(rule) => Some(&rule.query),
            CursorRule::MaxField(rule) => rule.query.as_deref(),
            CursorRule::BodyToken(rule) => Some(&rule.query),
            CursorRule::Header(rule) => Some(&rule.query),
        }
    }
}

/// Puts a request together; `validators` make it conditional.
pub(super) fn request(
    url: &Url,
    headers: &HeaderMap,
    validators: Option<&Validators>,
) -> Request<Bytes> {
    let mut request = Request::new(Bytes::new());
    // A parsed URL is a valid URI, but for characters that are then percent-encoded already.
    if let Ok(uri) = url.as_str().parse() {
        *request.uri_mut() = uri;
    }
    *request.headers_mut() = headers.clone();
    if let Some(validators) = validators {
        for (name, value) in [
            (header::IF_NONE_MATCH, &validators.etag),
            (header::IF_MODIFIED_SINCE, &validators.modified),
        ] {
            if let Some(value) = value.as_deref().and_then(|value| value.parse().ok()) {
                request.headers_mut().insert(name, value);
            }
        }
    }
    request
}

/// The headers of a request as they may be shown.
pub(super) fn shown(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| {
            let text = if value.is_sensitive() { "***".into() } else { lossy(value) };
            (name.to_string(), text)
        })
        .collect()
}

pub(super) fn lossy(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn insert(
    headers: &mut HeaderMap,
    field: &'static str,
    name: &str,
    value: &str,
    secret: bool,
) -> Result<(), SpecError> {
    let wrong = |problem: String| SpecError { field, problem };
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| wrong(format!("`{}` is no name of a header", cut(name))))?;
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| wrong(format!("the value of `{name}` has a character no header may have")))?;
    value.set_sensitive(secret);
    headers.insert(parsed, value);
    Ok(())
}

fn prefixed(prefix: Option<&str>, value: &str) -> String {
    prefix.map_or_else(|| value.to_owned(), |prefix| format!("{prefix} {value}"))
}

/// Sets a query parameter, in the place of one of its name.
fn set_query(url: &mut Url, name: &str, value: &str) {
    let mut pairs: Vec<(String, String)> =
        url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    match pairs.iter_mut().find(|(known, _)| known == name) {
        Some(pair) => value.clone_into(&mut pair.1),
        None => pairs.push((name.to_owned(), value.to_owned())),
    }
    url.query_pairs_mut().clear().extend_pairs(pairs);
}

fn cut(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_configured_url_asks_for_is_not_shown() {
        let spec = Spec::new("https://a.example/list?token=s3cret&size=100&plain".parse().unwrap());
        let mark = Mark { sent: Some(("after".into(), "42".into())), ..Mark::default() };
        let url = spec.page_url(&mark).unwrap();
        assert!(url.as_str().contains("token=s3cret"));
        let shown = spec.masked(&url);
        assert_eq!(shown, "https://a.example/list?token=***&size=***&plain=***&after=42");
        // A link that the producer gave with it hides it as well.
        let link = "https://a.example/list?page=2&token=s3cret".parse().unwrap();
        assert_eq!(spec.masked(&link), "https://a.example/list?page=2&token=***");
    }
}
