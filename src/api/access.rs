//! Who may talk to the API at all.
//!
//! A page in somebody's browser can send requests to loopback and to whatever else that browser
//! reaches. It cannot forge `Host` (a name that was made to resolve to the relay shows in it), cannot
//! leave out a foreign `Origin` or `Sec-Fetch-Site`, and cannot name JSON as the type of a body
//! without asking first, which nobody here allows. Another port of the same machine is as foreign as
//! any other site.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use url::{Host, Origin, Url};

use super::problem::Problem;
use crate::wire;

/// Which requests are let in, besides those that a foreign page sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Only those that name a loopback host.
    Loopback,
    /// All: the operator said `--insecure`.
    Open,
    /// All who have a key, even when there is none any more.
    Keyed,
}

impl Access {
    /// Who is let in at `address` without a key.
    pub(super) fn without_keys(address: SocketAddr) -> Self {
        if address.ip().to_canonical().is_loopback() { Self::Loopback } else { Self::Open }
    }
}

/// By which address others reach the API, when that is not where it listens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Public {
    /// Its scheme, host and port, and the path that a proxy puts before every path.
    pub url: Option<Url>,
    /// Whether `X-Forwarded-Host` says by which name a client asked.
    pub trusts_proxy: bool,
}

impl Public {
    /// What stands before every path, without a slash at its end; empty: nothing.
    pub(crate) fn prefix(&self) -> &str {
        self.url.as_ref().map_or("", |url| url.path().trim_end_matches('/'))
    }

    fn origin(&self) -> Option<Origin> {
        self.url.as_ref().map(Url::origin)
    }
}

/// Who is let in at present, and by which name.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) access: Arc<dyn Fn() -> Access + Send + Sync>,
    pub(super) public: Arc<Public>,
}

/// What every answer carries: no foreign page shows it in a frame, takes it for something else, or
/// embeds it.
const CLOSED: [(header::HeaderName, HeaderValue); 3] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("frame-ancestors 'none'")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (
        header::HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// Who is let in at `address`.
///
/// # Errors
/// A public address without keys is refused unless `insecure`.
pub fn check_bind(address: SocketAddr, insecure: bool, has_keys: bool) -> Result<Access, String> {
    match Access::without_keys(address) {
        Access::Open if has_keys => Ok(Access::Keyed),
        Access::Open if !insecure => Err(format!(
            "`listen: {address}` is reachable from outside and there are no keys: make one (`milkrun keys create --scope admin --owner NAME`), listen on 127.0.0.1 or [::1], or write `insecure: true` into the file (`milkrun run --insecure` for one run)"
        )),
        access => Ok(access),
    }
}

/// Refuses what [`Access`] does not let in, and what a foreign page sends; runs before anything else
/// looks at a request.
pub(super) async fn guard(State(entry): State<Entry>, request: Request, next: Next) -> Response {
    let checked =
        check((entry.access)(), &entry.public, request.method(), request.headers(), request.uri());
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    for (name, value) in CLOSED {
        // A page has a stricter policy of its own, which forbids frames too.
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

fn check(
    access: Access,
    public: &Public,
    method: &Method,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<(), Problem> {
    let forwarded = headers.get("x-forwarded-host").filter(|_| public.trusts_proxy);
    let named = if forwarded.is_some() { "x-forwarded-host" } else { header::HOST.as_str() };
    let mut hosts = headers.get_all(named).iter();
    let asked = match (hosts.next(), hosts.next(), uri.authority()) {
        (Some(host), None, _) => host.to_str().ok(),
        // HTTP/2 has no `Host`; its authority is in the address.
        (None, None, Some(authority)) => Some(authority.as_str()),
        _ => None,
    };
    let own = asked.and_then(|host| origin(scheme(headers, uri), host));
    let is_public = public
        .url
        .as_ref()
        .is_some_and(|url| asked.and_then(|host| origin(url.scheme(), host)) == Some(url.origin()));
    if access == Access::Loopback && !is_public && !asked.is_some_and(is_loopback_authority) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "foreign_host",
            "without keys the relay answers only to `Host: localhost`, 127.0.0.1, [::1] and the host of `public_url`",
        ));
    }
    // Whoever owns a name can let it lead here, and then his page is of the same origin: an address, a
    // loopback name and `public_url` are nobody else's. A key is what such a page lacks.
    let is_sure = |origin: &Origin| access != Access::Open || is_own_name(origin);
    let own: Vec<Origin> = own.into_iter().filter(is_sure).chain(public.origin()).collect();
    check_page(method, headers, &own)
}

/// Whether nobody can give this host another meaning: an address, or a loopback name.
fn is_own_name(origin: &Origin) -> bool {
    match origin {
        Origin::Tuple(_, Host::Domain(name), _) => is_loopback_authority(name),
        Origin::Tuple(..) => true,
        Origin::Opaque(_) => false,
    }
}

/// Refuses what the page of another origin sends; `own` are the origins of what was asked.
fn check_page(method: &Method, headers: &HeaderMap, own: &[Origin]) -> Result<(), Problem> {
    let refuse = |name: &str, value: &HeaderValue| {
        let value = String::from_utf8_lossy(value.as_bytes());
        let detail = format!(
            "the relay answers no page of another origin than its own, and this request comes with `{name}: {}`; a name other than `localhost` is its own without keys only as the host of `public_url`",
            super::query::cut(&value)
        );
        Err(Problem::new(StatusCode::FORBIDDEN, "foreign_origin", detail))
    };
    for given in headers.get_all(header::ORIGIN) {
        let page =
            given.to_str().ok().and_then(|text| Url::parse(text).ok()).map(|url| url.origin());
        if !page.is_some_and(|page| own.contains(&page)) {
            return refuse("Origin", given);
        }
    }
    for given in headers.get_all("sec-fetch-site") {
        let is_own = matches!(given.as_bytes(), b"same-origin" | b"none");
        if !is_own && !is_followed_link(method, headers) {
            return refuse("Sec-Fetch-Site", given);
        }
    }
    Ok(())
}

/// Whether somebody follows a link to here: what is read is shown to the person, and to no page.
fn is_followed_link(method: &Method, headers: &HeaderMap) -> bool {
    let is = |name: &str, value: &str| headers.get(name).is_some_and(|given| given == value);
    matches!(*method, Method::GET | Method::HEAD)
        && is("sec-fetch-mode", "navigate")
        && is("sec-fetch-dest", "document")
}

/// Refuses a write that any page could send without asking first: a form, or a body without a type.
pub(super) fn check_type(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let mut types = headers.get_all(header::CONTENT_TYPE).iter().peekable();
    let is_json =
        types.peek().is_some() && types.all(|given| given.to_str().is_ok_and(wire::is_json));
    // Data may be of any type then; a page has to ask before it sends this header too.
    if is_json || headers.contains_key("ce-specversion") {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        format!(
            "expected `Content-Type: application/json`, without a body too (curl: `-H 'content-type: application/json'`); to publish, `{}`, `{}`, or `ce-` headers with `ce-specversion`",
            wire::STRUCTURED,
            wire::BATCH
        ),
    ))
}

/// How the relay was asked. A proxy that ends TLS says so; no foreign page can set that header
/// without asking first.
pub(crate) fn scheme<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> &'a str {
    let told = headers.get("x-forwarded-proto").and_then(|told| told.to_str().ok());
    told.or(uri.scheme_str()).unwrap_or("http")
}

fn origin(scheme: &str, host: &str) -> Option<Origin> {
    let url = Url::parse(&format!("{scheme}://{host}/")).ok()?;
    Some(url.origin()).filter(Origin::is_tuple)
}

/// Whether `host[:port]` is `localhost`, a name below it, or a loopback address.
fn is_loopback_authority(text: &str) -> bool {
    let host = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) if port.is_empty() || is_port(port) => address,
        Some(_) => return false,
        None => match text.find(':') {
            Some(at) if is_port(&text[at..]) => &text[..at],
            Some(_) => return false,
            None => text,
        },
    };
    let name = host.to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests;
