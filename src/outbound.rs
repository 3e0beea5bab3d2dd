//! The one guarded network that probes and sinks are handed.
//!
//! A request goes only to addresses that were vetted: literals here, names in the resolver, which
//! refuses a name when **any** of its addresses is forbidden and hands on only what it vetted.
//! There are no redirects, no proxy from the environment, no retries and no decompression.
//!
//! Behind a proxy that the operator names, the proxy looks names up again: what is vetted here is
//! the literal, or the name as this machine knows it.

use std::{
    io::{Error, ErrorKind},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, combinators::UnsyncBoxBody};
use ipnet::IpNet;
use tower::{service_fn, util::BoxCloneSyncService};
use url::{Host, Url};

pub use self::{
    forbidden::is_forbidden,
    proxy::check_proxy,
    tls::{check_tls, identity},
};

use self::{direct::Direct, names::Names, proxy::Through};

mod direct;
mod forbidden;
mod names;
mod proxy;
mod tls;

/// Idle connections kept for one host.
const IDLE_PER_HOST: usize = 256;
/// How long an idle connection is kept.
const IDLE_FOR: Duration = Duration::from_secs(30);

/// Knows which addresses may be asked.
#[derive(Debug, Clone)]
pub struct Guard {
    allow: Arc<[IpNet]>,
    proxy: Option<Arc<Url>>,
    names: Names,
}

/// Why a URL is not asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It cannot be read.
    #[error("`url`: expected an absolute http or https URL: {0}")]
    Malformed(#[from] url::ParseError),
    /// Another scheme.
    #[error("`url`: expected the scheme http or https, not `{0}`")]
    Scheme(String),
    /// A user or password in the URL.
    #[error("`url`: expected no user or password in the URL")]
    UserInfo,
    /// The address is forbidden.
    #[error(
        "`{host}` is the forbidden address {address}: expected a public one, or one in `outbound.allow`"
    )]
    Address {
        /// As asked for.
        host: String,
        /// What it stands for.
        address: IpAddr,
    },
}

impl Guard {
    /// Forbids all special-purpose addresses but those in `allow`.
    #[must_use]
    pub fn new(allow: Vec<IpNet>) -> Self {
        Self { allow: allow.into(), proxy: None, names: Names::of_the_system() }
    }

    /// Sends everything through a proxy, as [`check_proxy`] gives it.
    #[must_use]
    pub fn with_proxy(self, proxy: Option<Url>) -> Self {
        Self { proxy: proxy.map(Arc::new), ..self }
    }

    /// Whether an address may be asked.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        let plain = address.to_canonical();
        !is_forbidden(address)
            || self.allow.iter().any(|net| net.contains(&address) || net.contains(&plain))
    }

    /// Reads a URL and vets what can be told without a look-up: scheme, user and password,
    /// literal addresses in every spelling, `localhost`.
    ///
    /// # Errors
    /// Says what was expected; never repeats the URL, which may hold a secret.
    pub fn check_url(&self, text: &str) -> Result<Url, Refused> {
        let url = Url::parse(text)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refused::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::UserInfo);
        }
        self.check_url_host(&url)?;
        Ok(url)
    }

    fn check_url_host(&self, url: &Url) -> Result<(), Refused> {
        let host = url.host().ok_or(Refused::Malformed(url::ParseError::EmptyHost))?;
        self.check_host(&host)
    }

    /// Vets a host that is an address. The type has normalised every spelling of one, and what is
    /// connected to is what it says.
    fn check_host(&self, host: &Host<impl AsRef<str>>) -> Result<(), Refused> {
        let address = match host {
            Host::Ipv4(address) => IpAddr::V4(*address),
            Host::Ipv6(address) => IpAddr::V6(*address),
            Host::Domain(name) if is_localhost(name.as_ref()) => {
                IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)
            }
            Host::Domain(_) => return Ok(()),
        };
        if self.permits(address) {
            Ok(())
        } else {
            Err(Refused::Address { host: host.to_string(), address })
        }
    }

    /// The network behind this guard. It is cheap to clone; clones share connections.
    ///
    /// # Errors
    /// When the client cannot be built, for want of the system's certificates for instance.
    pub fn network(&self) -> Result<sinks::Network, reqwest::Error> {
        self.network_of(reqwest::Client::builder())
    }

    /// The network of webhooks, for somebody with certificates of their own or for all others: HTTP/1.1
    /// over connections that their users drive, or [`Guard::network`] where there is a proxy.
    ///
    /// # Errors
    /// Names the field that cannot be used.
    pub fn webhooks(&self, identity: Option<&sinks::Identity>) -> Result<sinks::Network, String> {
        let config = tls::config(identity)?;
        if self.proxy.is_some() {
            let client = match identity {
                Some(_) => reqwest::Client::builder().tls_backend_preconfigured(config),
                None => reqwest::Client::builder(),
            };
            return self.network_of(client).map_err(|error| format!("`tls`: {error}"));
        }
        let direct = Arc::new(Direct::new(self.clone(), config));
        Ok(BoxCloneSyncService::new(service_fn(move |request| {
            let direct = direct.clone();
            async move { direct.exchange(request).await }
        })))
    }

    fn network_of(&self, client: reqwest::ClientBuilder) -> Result<sinks::Network, reqwest::Error> {
        tls::provide();
        let mut client = client
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .no_gzip()
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .pool_idle_timeout(IDLE_FOR)
            .dns_resolver(Arc::new(self.clone()));
        if let Some(proxy) = &self.proxy {
            client = client.proxy(reqwest::Proxy::all(proxy.as_str())?);
        }
        let (guard, client) = (self.clone(), client.build()?);
        Ok(BoxCloneSyncService::new(service_fn(move |request| {
            exchange(guard.clone(), client.clone(), request)
        })))
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

type Body = UnsyncBoxBody<Bytes, Error>;

async fn exchange(
    guard: Guard,
    client: reqwest::Client,
    request: http::Request<Bytes>,
) -> Result<http::Response<Body>, Error> {
    let request = reqwest::Request::try_from(request).map_err(|error| translate(&error))?;
    guard.check_url_host(request.url()).map_err(forbidden)?;
    let mut through = Through::Nothing;
    if guard.proxy.is_some() {
        if let Some(Host::Domain(name)) = request.url().host() {
            guard.vetted(name).await?;
        }
        through = Through::of(request.url());
    }
    let response = client.execute(request).await.map_err(|error| through.blame(&error))?;
    through.check(response.status())?;
    let response = http::Response::<reqwest::Body>::from(response);
    Ok(response.map(|body| body.map_err(|error| translate(&error)).boxed_unsync()))
}

fn forbidden(refused: Refused) -> Error {
    Error::new(ErrorKind::PermissionDenied, refused)
}

/// One of the documented kinds, and the innermost cause as text: outer layers name the URL.
fn translate(error: &(dyn std::error::Error + 'static)) -> Error {
    let timed_out = error.downcast_ref().is_some_and(reqwest::Error::is_timeout);
    let mut kind = if timed_out { ErrorKind::TimedOut } else { ErrorKind::Other };
    let mut text = "the request cannot be sent".to_owned();
    // What reqwest says itself is the URL.
    let mut cause = if error.is::<reqwest::Error>() { error.source() } else { Some(error) };
    while let Some(error) = cause {
        text = error.to_string();
        if let Some(error) = error.downcast_ref::<Error>() {
            kind = kind_of(error).unwrap_or(kind);
            // What it wraps is not its source, but may be another of its own sort.
            if let Some(inner) = error.get_ref() {
                cause = Some(inner);
                continue;
            }
        } else if let Some(error) = error.downcast_ref::<hyper::Error>()
            && (error.is_incomplete_message() || error.is_closed() || error.is_canceled())
        {
            kind = ErrorKind::ConnectionReset;
        }
        cause = error.source();
    }
    Error::new(kind, text)
}

fn kind_of(error: &Error) -> Option<ErrorKind> {
    match error.kind() {
        // From the operating system this is a router's word, not a name that does not exist.
        ErrorKind::HostUnreachable if error.raw_os_error().is_some() => None,
        kind @ (ErrorKind::PermissionDenied
        | ErrorKind::HostUnreachable
        | ErrorKind::ConnectionRefused
        | ErrorKind::ConnectionReset
        | ErrorKind::InvalidData
        | ErrorKind::TimedOut) => Some(kind),
        ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::NotConnected
        | ErrorKind::UnexpectedEof => Some(ErrorKind::ConnectionReset),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
