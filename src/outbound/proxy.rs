//! The operator's proxy: its own failures are ours, never the endpoint's.

use std::{
    error::Error as _,
    io::{Error, ErrorKind},
};

use http::StatusCode;
use url::Url;

use super::translate;

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
    /// How a proxy treats a URL.
    pub(super) fn of(url: &Url) -> Self {
        if url.scheme() == "https" { Self::Tunnel } else { Self::Relay }
    }

    /// An error, told of the proxy if it is the proxy's.
    pub(super) fn blame(self, error: &reqwest::Error) -> Error {
        let is_proxys = match self {
            Self::Nothing => false,
            // The proxy is all that is connected to.
            Self::Relay => error.is_connect(),
            Self::Tunnel => is_tunnels(error),
        };
        let error = translate(error);
        if is_proxys {
            Error::new(ErrorKind::NetworkDown, format!("the proxy: {error}"))
        } else {
            error
        }
    }

    /// Whether an answer is the endpoint's.
    pub(super) fn check(self, status: StatusCode) -> Result<(), Error> {
        if self == Self::Relay && status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            let text = "the proxy: it does not take its user or password (407)";
            return Err(Error::new(ErrorKind::NetworkDown, text));
        }
        Ok(())
    }
}

/// Whether no tunnel came about. The type of that error has no public name; its text begins so,
/// which a test holds.
fn is_tunnels(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.to_string().starts_with("tunnel error") {
            return true;
        }
        cause = error.source();
    }
    false
}
