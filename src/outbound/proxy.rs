//! The operator's proxy: its own failures are ours, never the endpoint's.

use std::{
    fmt,
    io::{Error, ErrorKind},
};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::{HeaderValue, StatusCode};
use percent_encoding::percent_decode_str;
use url::{Host, Url};

/// Reads where the proxy is: `http://host:port` or `https://host:port`, with a user and password
/// if it wants them.
///
/// # Errors
/// Says what was expected; never repeats the URL, which may hold a secret.
pub fn check_proxy(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("expected the URL of a proxy: {error}"))?;
    let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !bare {
        return Err("expected `http://host:port` or `https://host:port`".to_owned());
    }
    Ok(url)
}

/// What a request goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Through {
    /// No proxy.
    Nothing,
    /// A proxy that is told the whole request, as `http` ones are.
    Relay,
    /// A proxy that only joins two connections, as for `https`.
    Tunnel,
}

impl Through {
    /// Whether an answer is the endpoint's.
    pub(super) fn check(self, status: StatusCode) -> Result<(), Error> {
        if self == Self::Relay && status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            return Err(blame("it does not take its user or password (407)"));
        }
        Ok(())
    }
}

/// What went wrong between here and the proxy, or there.
pub(super) fn blame(error: impl fmt::Display) -> Error {
    Error::new(ErrorKind::NetworkDown, format!("the proxy: {error}"))
}

/// Where the operator's proxy is, and what it wants to be told.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) is_secure: bool,
    pub(super) host: Host,
    pub(super) port: u16,
    /// The user and password (RFC 7617), marked as not to be shown.
    pub(super) authorization: Option<HeaderValue>,
}

impl Proxy {
    /// Of a URL that [`check_proxy`] gave.
    pub(super) fn of(url: &Url) -> Result<Self, String> {
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err("expected the URL of a proxy".to_owned());
        };
        Ok(Self {
            is_secure: url.scheme() == "https",
            host: host.to_owned(),
            port,
            authorization: authorization(url)?,
        })
    }
}

fn authorization(url: &Url) -> Result<Option<HeaderValue>, String> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let mut pair = percent_decode_str(url.username()).collect::<Vec<u8>>();
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or_default()));
    let text = format!("Basic {}", BASE64_STANDARD.encode(pair));
    let mut value = HeaderValue::from_str(&text).map_err(|error| error.to_string())?;
    value.set_sensitive(true);
    Ok(Some(value))
}
