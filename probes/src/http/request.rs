//! A request: its target, its headers and body, its credentials, and how it is shown without
//! secrets.

use std::collections::HashSet;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use serde_json::Value;

use super::{
    carrier::{self, Carrier},
    error::SpecError,
    excerpt::lossy,
    secret_names::looks_secret,
    spec::{Auth, Credential, Secret, Spec},
    target::Target,
    walk::{Mark, Step, Validators},
};
use crate::FailureKind;

/// What one page is asked by.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) target: Target,
    pub(super) headers: HeaderMap,
    /// A POST with this JSON, or a GET.
    pub(super) body: Option<Value>,
}

impl Spec {
    /// The request headers of every page.
    pub(super) fn request_headers(&self) -> Result<HeaderMap, SpecError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers
            .insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, br, zstd, deflate"));
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
                let pair = basic(user, password);
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

    /// What the page at `mark` is asked by, secrets included; `headers` are those of every page.
    /// `Err` says why its URL may not be asked.
    pub(super) fn asking(
        &self,
        mark: &Mark,
        headers: &HeaderMap,
    ) -> Result<Asking, (FailureKind, String)> {
        let mut asking =
            Asking { target: self.url.clone(), headers: headers.clone(), body: self.body.clone() };
        let filled = self.fill(&mut asking, mark, mark.step.as_ref());
        filled.map_err(|problem| (FailureKind::Malformed, problem))?;
        if let Some(Step::Url(url)) = &mark.step {
            // Its query is the producer's; headers and body go with every page.
            let own = Target::parse(url).map_err(cut).and_then(|target| self.own(target));
            asking.target = own.map_err(|problem| (FailureKind::ForeignLink, problem))?;
        }
        for param in self.query.iter().filter(|param| param.secret) {
            asking.target.set(&param.name, &param.value);
        }
        if let Auth::ApiKey { into: Credential::Query(name), prefix, value } = &self.auth {
            asking.target.set(name, &prefixed(prefix.as_deref(), &value.0));
        }
        Ok(asking)
    }

    /// Puts the values of cursor and page where they go.
    fn fill(&self, asking: &mut Asking, mark: &Mark, step: Option<&Step>) -> Result<(), String> {
        let (page, page_number, also): (_, _, &[(String, String)]) = match step {
            Some(Step::Value { value, number, also }) => (Some(value.as_str()), *number, also),
            _ => (None, false, &[]),
        };
        let cursor = mark.sent.as_deref();
        let values = [("cursor", cursor), ("page", page)];
        let texts = values.map(|(name, value)| (name, value.unwrap_or_default()));
        asking.target = self.url.filled(&texts);
        // A parameter whose value is missing is left out: `since=` means something else.
        let lacks = |text: &str| {
            values.iter().any(|(name, value)| value.is_none() && carrier::has_place(text, name))
        };
        for param in self.query.iter().filter(|param| !lacks(&param.value)) {
            asking.target.set(&param.name, &carrier::filled(&param.value, &values));
        }
        for param in &self.headers {
            if lacks(&param.value) {
                asking.headers.remove(param.name.as_str());
            } else if values.iter().any(|(name, _)| carrier::has_place(&param.value, name)) {
                set_header(asking, &param.name, &carrier::filled(&param.value, &values))?;
            }
        }
        asking.body = asking.body.take().and_then(|body| carrier::fill(&body, &values));
        let (cursor_kind, page_kind) = (self.cursor.kind(), self.pages.kind());
        let cursor_carrier = cursor_kind.carriers().and_then(Carrier::of);
        let page_carrier = page_kind.carriers().and_then(Carrier::of);
        let default_query = page_kind.default_query().filter(|_| !self.has_place("page"));
        let page_carrier = page_carrier.or(default_query.map(Carrier::Query));
        carry(asking, cursor_carrier, cursor, cursor_kind.is_number())?;
        carry(asking, page_carrier, page, page_number)?;
        for (name, value) in also {
            asking.target.set(name, value);
        }
        Ok(())
    }

    /// Whether a value of the cursor has a way to the producer.
    pub(super) fn sends_cursor(&self) -> bool {
        let carried = self.cursor.kind().carriers().and_then(Carrier::of).is_some();
        carried || self.has_place("cursor")
    }

    /// A link that a page at `base` gave, absolute and without secrets; `Err` says why it may not be
    /// followed.
    pub(super) fn link(&self, base: &Target, link: &str) -> Result<String, String> {
        let mut target = self.own(base.join(link).map_err(|_| cut(link))?)?;
        let secrets = self.secret_queries();
        target.remove(|name| secrets.contains(&name));
        Ok(target.to_string())
    }

    /// The URL as it may be shown: without configured parameters whose name says that they may be
    /// secret, and without what the configured URL has in its query, for a secret may have been put
    /// there. Tokens of pages are shown.
    pub(super) fn masked(&self, target: &Target) -> String {
        let given: HashSet<(String, String)> = self.url.pairs().collect();
        let hidden = |name: &str, value: &str| {
            let configured = || self.query.iter().any(|param| param.name == name);
            (looks_secret(name) && configured())
                || given.contains(&(name.to_owned(), value.to_owned()))
        };
        self.hiding(target, &hidden)
    }

    /// The request as it is told apart from others, without secrets.
    pub(super) fn identity(&self, asking: &Asking, mark: &Mark) -> String {
        let body = asking.body.as_ref().map(Value::to_string).unwrap_or_default();
        let sent = mark.sent.as_deref().unwrap_or_default();
        format!("{} {sent} {body}", self.hiding(&asking.target, &|_, _| false))
    }

    /// Without credentials, and with `***` for secret query values and those of which `also` says so.
    fn hiding(&self, target: &Target, also: &dyn Fn(&str, &str) -> bool) -> String {
        let secrets = self.secret_queries();
        let hidden = |name: &str, value: &str| secrets.contains(&name) || also(name, value);
        target.hiding(hidden).without_user().to_string()
    }

    fn secret_queries(&self) -> Vec<&str> {
        let configured = self.query.iter().filter(|param| param.secret);
        let mut names: Vec<&str> = configured.map(|param| param.name.as_str()).collect();
        if let Auth::ApiKey { into: Credential::Query(name), .. } = &self.auth {
            names.push(name);
        }
        names
    }

    /// A URL that is on the source's own origin, or on one that it names; or why it is not.
    fn own(&self, target: Target) -> Result<Target, String> {
        let target = target.without_user();
        let (pages, cursor) = (self.pages.kind(), self.cursor.kind());
        if pages.rebase() || cursor.rebase() {
            return Ok(target.rebased(&self.url));
        }
        let origin = target.base().origin();
        let others = pages.origins().iter().chain(cursor.origins());
        let named =
            |other: &String| Target::parse(other).is_ok_and(|o| o.base().origin() == origin);
        let own = self.url.base().origin();
        if origin == own || others.into_iter().any(named) {
            return Ok(target);
        }
        let (origin, own) = (origin.ascii_serialization(), own.ascii_serialization());
        Err(format!(
            "a link leads to {}: expected {own}, or one of `pages.origins`; `rebase: true` asks its \
             path at {own}",
            cut(origin)
        ))
    }
}

/// Puts a value where its carrier says.
fn carry(
    asking: &mut Asking,
    carrier: Option<Carrier<'_>>,
    value: Option<&str>,
    number: bool,
) -> Result<(), String> {
    let (Some(carrier), Some(value)) = (carrier, value) else { return Ok(()) };
    match carrier {
        Carrier::Query(name) => asking.target.set(name, value),
        Carrier::Header(name) => set_header(asking, name, value)?,
        Carrier::Body(path) => {
            let value = match serde_json::from_str::<serde_json::Number>(value) {
                Ok(parsed) if number => Value::Number(parsed),
                _ => Value::String(value.to_owned()),
            };
            let body = asking.body.get_or_insert_with(|| Value::Object(serde_json::Map::new()));
            carrier::put(body, path, value);
        }
    }
    Ok(())
}

fn set_header(asking: &mut Asking, name: &str, value: &str) -> Result<(), String> {
    insert(&mut asking.headers, "headers", name, value, false).map_err(|error| error.problem)
}

/// Puts a request together; `validators` make it conditional.
pub(super) fn request(asking: &Asking, validators: Option<&Validators>) -> Request<Bytes> {
    let body = asking.body.as_ref().map(|body| Bytes::from(body.to_string()));
    let mut request = Request::new(body.clone().unwrap_or_default());
    // A target holds what a URI may have, and nothing else.
    if let Ok(uri) = asking.target.to_string().parse() {
        *request.uri_mut() = uri;
    }
    *request.headers_mut() = asking.headers.clone();
    if body.is_some() {
        *request.method_mut() = Method::POST;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().entry(header::CONTENT_TYPE).or_insert(json);
    }
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

/// User and password as they stand in `Authorization: Basic` (RFC 7617, section 2).
pub(super) fn basic(user: &str, password: &Secret) -> String {
    BASE64_STANDARD.encode(format!("{user}:{}", password.0))
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
    value.set_sensitive(secret || looks_secret(name));
    headers.insert(parsed, value);
    Ok(())
}

fn prefixed(prefix: Option<&str>, value: &str) -> String {
    prefix.map_or_else(|| value.to_owned(), |prefix| format!("{prefix} {value}"))
}

fn cut(text: impl std::fmt::Display) -> String {
    text.to_string().chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::http::{BodyToken, CursorRule, Pages, Param, Token, mask::Secrets};

    fn spec(url: &str) -> Spec {
        Spec::new(Target::parse(url).unwrap())
    }

    fn asked(spec: &Spec, mark: &Mark) -> Asking {
        spec.asking(mark, &HeaderMap::new()).unwrap()
    }

    fn sent(cursor: &str) -> Mark {
        Mark { sent: Some(cursor.into()), ..Mark::default() }
    }

    #[test]
    fn what_the_configured_url_asks_for_is_not_shown() {
        let mut spec = spec("https://a.example/list?token=s3cret&size=100&plain");
        spec.cursor = CursorRule::BodyToken(BodyToken {
            query: Some("after".into()),
            ..BodyToken::default()
        });
        let target = asked(&spec, &sent("42")).target;
        assert!(target.to_string().contains("token=s3cret"));
        let shown = spec.masked(&target);
        assert_eq!(shown, "https://a.example/list?token=***&size=***&plain=***&after=42");
        // A link that the producer gave with it hides it as well.
        let link = Target::parse("https://a.example/list?page=2&token=s3cret").unwrap();
        assert_eq!(spec.masked(&link), "https://a.example/list?page=2&token=***");
    }

    #[test]
    fn values_go_where_the_carriers_say() {
        let token = |query: Option<&str>, header: Option<&str>, body: Option<&str>| {
            let own = |name: Option<&str>| name.map(str::to_owned);
            let (query, header, body) = (own(query), own(header), own(body));
            CursorRule::BodyToken(BodyToken { path: "t".into(), query, header, body })
        };
        let mut spec = spec("https://a.example/x?$top='5'");
        spec.cursor = token(Some("$skip"), None, None);
        let asking = asked(&spec, &sent("a b"));
        assert_eq!(asking.target.query(), Some("$top='5'&$skip=a%20b"));
        assert!(asking.body.is_none());
        spec.cursor = token(None, Some("x-cursor"), None);
        assert_eq!(asked(&spec, &sent("7")).headers["x-cursor"], "7");
        spec.cursor = token(None, None, Some("page.after"));
        spec.body = Some(json!({ "page": { "size": 5 } }));
        let body = asked(&spec, &sent("7")).body.unwrap();
        assert_eq!(body, json!({ "page": { "size": 5, "after": "7" } }));
        spec.cursor = token(None, None, None);
        spec.query = vec![Param::plain("q", "updated > \"{cursor}\"")];
        spec.body = None;
        assert_eq!(
            asked(&spec, &sent("2026-01-01")).target.query(),
            Some("$top='5'&q=updated%20%3E%20%222026-01-01%22")
        );
        assert_eq!(asked(&spec, &Mark::default()).target.query(), Some("$top='5'"));
    }

    #[test]
    fn links_are_followed_where_credentials_may_go() {
        let mut spec = spec("https://a.example/list?x=1");
        spec.auth = Auth::Bearer(Secret("s3cret".into()));
        let base = spec.url.clone();
        for (link, followed) in [
            ("https://a.example/n?p=2", Some("https://a.example/n?p=2")),
            ("http://a.example/n?p=2", None),
            ("https://b.example/n", None),
            ("https://a.example:8443/n", None),
        ] {
            assert_eq!(spec.link(&base, link).ok().as_deref(), followed, "{link}");
        }
        let next_url = crate::http::NextUrl { rebase: true, ..Default::default() };
        spec.pages = Pages::NextUrl(next_url);
        let link = spec.link(&base, "http://internal:8080/n?p=2&$x='1'");
        assert_eq!(link.as_deref(), Ok("https://a.example/n?p=2&$x='1'"));
        let token = Token { path: "t".into(), query: Some("p".into()), ..Token::default() };
        spec.pages = Pages::Token(token);
        assert_eq!(Secrets::of(&spec).hide("said s3cret again"), "said *** again");
    }
}
