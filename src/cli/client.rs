//! A client of the relay's own API.

use std::time::Duration;

use reqwest::{
    Certificate, Method, RequestBuilder,
    header::{CONTENT_TYPE, HeaderMap, LINK},
};
use serde_json::Value;
use url::Url;

use super::failure::{Failure, chain};
use crate::key::KeyText;

/// How many of a list are asked for at once.
const PAGE: &str = "1000";

/// A success.
struct Answer {
    /// The body, as it came.
    text: String,
    /// Behind what the next page of a list begins.
    next: Option<String>,
}

/// Talks to one relay.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    key: Option<KeyText>,
    /// Why the relay is asked there.
    named_by: String,
}

/// A client for what a person asks for by name; it does TLS with ring.
pub(super) fn builder() -> reqwest::ClientBuilder {
    // An error means that a provider is there already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}

/// Why there is no answer to use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody listens.
    #[error(
        "no relay answers at {base} ({named_by}): {cause}\nIs it running (`milkrun run`)? One whose `listen` was changed in the file since it was started listens where it did before: name that address by --server URL."
    )]
    Unreachable {
        /// Where.
        base: String,
        /// Why there.
        named_by: String,
        /// Why not.
        cause: String,
    },
    /// The relay refused (RFC 9457).
    #[error("{title}: {detail} [{code}]")]
    Refused {
        /// In general.
        title: String,
        /// In particular.
        detail: String,
        /// Stable.
        code: String,
    },
    /// Whoever answered is no relay.
    #[error("{base} answers, but not as a relay: {problem}")]
    Strange {
        /// Where.
        base: String,
        /// What is odd.
        problem: String,
    },
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::new(error.to_string())
    }
}

impl Client {
    pub(crate) fn new(server: &str) -> Result<Self, Failure> {
        Self::trusting(server, None)
    }

    /// A client of a relay that shows this certificate (PEM), whatever name it is asked by.
    pub(crate) fn trusting(server: &str, certificate: Option<&str>) -> Result<Self, Failure> {
        let wrong = || {
            Failure::usage(format!("`--server {server}`: expected a URL, as http://127.0.0.1:8080"))
        };
        let base = Url::parse(server).map_err(|_| wrong())?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(wrong());
        }
        let mut builder = builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_mins(2))
            .no_proxy();
        if let Some(certificate) = certificate {
            let shown = Certificate::from_pem_bundle(certificate.as_bytes());
            let shown = shown.map_err(|error| Failure::new(chain(&error)))?;
            // The file says what the relay shows; by which address it is asked does not matter then.
            builder = builder.tls_certs_only(shown).tls_danger_accept_invalid_hostnames(true);
        }
        let http = builder.build().map_err(|error| Failure::new(chain(&error)))?;
        Ok(Self { http, base, key: None, named_by: "as it was named".into() })
    }

    /// Says of a relay that does not answer who named its address.
    pub(crate) fn named_by(self, named_by: &str) -> Self {
        Self { named_by: named_by.to_owned(), ..self }
    }

    /// Sends this key with every request.
    pub(crate) fn with_key(self, key: Option<KeyText>) -> Self {
        Self { key, ..self }
    }

    pub(crate) async fn get(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<Value, ClientError> {
        self.call(Method::GET, path, query, None).await
    }

    /// A whole list, page after page.
    pub(crate) async fn list(&self, path: &[&str], field: &str) -> Result<Value, ClientError> {
        self.whole(path, &[], field).await
    }

    /// A page of a list and where the next one begins, or all that these parameters choose.
    pub(crate) async fn part(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        field: &str,
        all: bool,
    ) -> Result<(Value, Option<String>), ClientError> {
        if all {
            Ok((self.whole(path, query, field).await?, None))
        } else {
            self.page(path, query).await
        }
    }

    /// What of a list these parameters choose, page after page.
    async fn whole(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        field: &str,
    ) -> Result<Value, ClientError> {
        let mut first = query.to_vec();
        first.retain(|(name, _)| *name != "limit");
        first.push(("limit", PAGE.into()));
        let (mut whole, mut next) = self.page(path, &first).await?;
        while let Some(after) = next {
            let mut query = first.clone();
            query.retain(|(name, _)| *name != "after");
            query.push(("after", after));
            let (mut page, behind) = self.page(path, &query).await?;
            if let (Some(all), Some(more)) =
                (whole[field].as_array_mut(), page[field].as_array_mut())
            {
                all.append(more);
            }
            next = behind;
        }
        Ok(whole)
    }

    /// A part of a list, and behind what the next part begins, if there is one.
    pub(crate) async fn page(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<(Value, Option<String>), ClientError> {
        let answer = self.answer(self.http.get(self.url(path, query))).await?;
        Ok((self.parse(&answer.text)?, answer.next))
    }

    pub(crate) async fn post(&self, path: &[&str], body: Value) -> Result<Value, ClientError> {
        self.call(Method::POST, path, &[], Some(body)).await
    }

    /// A change; or, with `dry_run`, what it would do.
    pub(crate) async fn change(
        &self,
        (method, path): (Method, &[&str]),
        body: Option<Value>,
        dry_run: bool,
    ) -> Result<Value, ClientError> {
        let query = dry_run.then(|| ("dry_run", "true".to_owned()));
        self.call(method, path, query.as_slice(), body).await
    }

    pub(crate) async fn patch(&self, path: &[&str], body: Value) -> Result<Value, ClientError> {
        self.call(Method::PATCH, path, &[], Some(body)).await
    }

    pub(crate) async fn delete(
        &self,
        path: &[&str],
        body: Option<Value>,
    ) -> Result<Value, ClientError> {
        self.call(Method::DELETE, path, &[], body).await
    }

    async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<Value>,
    ) -> Result<Value, ClientError> {
        let text = self.text(method, path, query, body).await?;
        if text.is_empty() {
            return Ok(Value::Null);
        }
        self.parse(&text)
    }

    fn parse(&self, text: &str) -> Result<Value, ClientError> {
        serde_json::from_str(text).map_err(|error| self.strange(error.to_string()))
    }

    /// The body of a success, as it came.
    pub(crate) async fn text(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<Value>,
    ) -> Result<String, ClientError> {
        let writes = method != Method::GET;
        let mut request = self.http.request(method, self.url(path, query));
        if writes {
            // Without a body too: the relay takes no write that a foreign page could send.
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        Ok(self.answer(request).await?.text)
    }

    /// The body of a success, as it came, to a body of this media type.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &[&str],
        media: &str,
        body: String,
    ) -> Result<String, ClientError> {
        let request = self.http.request(method, self.url(path, &[]));
        Ok(self.answer(request.header(CONTENT_TYPE, media).body(body)).await?.text)
    }

    async fn answer(&self, mut request: RequestBuilder) -> Result<Answer, ClientError> {
        if let Some(key) = &self.key {
            request = request.bearer_auth(key.reveal());
        }
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        let (status, next) = (answer.status(), next(answer.headers()));
        let text = answer.text().await.map_err(|error| self.unreachable(&error))?;
        if status.is_success() {
            Ok(Answer { text, next })
        } else {
            Err(self.refused(status, &text))
        }
    }

    fn url(&self, path: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        // Only a URL that cannot be a base has no segments, and http URLs can.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query.iter().map(|(name, value)| (name, value)));
        }
        url
    }

    fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        ClientError::Unreachable {
            base: self.base.to_string(),
            named_by: self.named_by.clone(),
            cause: chain(&error),
        }
    }

    pub(crate) fn strange(&self, problem: String) -> ClientError {
        ClientError::Strange { base: self.base.to_string(), problem }
    }

    fn refused(&self, status: reqwest::StatusCode, text: &str) -> ClientError {
        let Ok(problem) = serde_json::from_str::<Value>(text) else {
            return self.strange(format!("status {status}"));
        };
        let field = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
        let title = match field("title") {
            title if title.is_empty() => status.to_string(),
            title => title,
        };
        let (mut detail, code) = (field("detail"), field("code"));
        if code.starts_with("key_") {
            detail.push_str("; commands take the key from MILKRUN_KEY or --key-file");
        }
        ClientError::Refused { title, detail, code }
    }
}

/// The `after` of the page that a `Link` calls the next (RFC 8288).
fn next(headers: &HeaderMap) -> Option<String> {
    let link = headers.get(LINK)?.to_str().ok()?;
    let (target, parameters) = link.strip_prefix('<')?.split_once('>')?;
    if !parameters.contains("rel=\"next\"") {
        return None;
    }
    let (_, query) = target.split_once('?')?;
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.find(|(name, _)| name == "after").map(|(_, after)| after.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_goes_on_behind_what_its_link_says() {
        let next_of = |link: &'static str| {
            next(&[(LINK, link.parse().unwrap())].into_iter().collect::<HeaderMap>())
        };
        let link = r#"</v1/topics?limit=2&after=a%2Fb>; rel="next""#;
        assert_eq!(next_of(link).as_deref(), Some("a/b"));
        assert_eq!(next_of(r#"</v1/topics?after=a>; rel="prev""#), None);
        assert_eq!(next(&HeaderMap::new()), None);
    }
}
