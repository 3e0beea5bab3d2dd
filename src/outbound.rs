//! The one guarded network that probes and sinks are handed.
//!
//! A request goes only to addresses that were vetted: literals here, names in the resolver, which
//! refuses a name when **any** of its addresses is forbidden and hands on only what it vetted.
//! There are no redirects, no proxy from the environment, no decompression, and no retries but one:
//! of a request whose kept connection was closed before anything came of an answer.
//!
//! Behind a proxy that the operator names, the proxy looks names up again: what is vetted here is
//! the literal, or the name as this machine knows it.

use std::{
    io::{Error, ErrorKind},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use ipnet::IpNet;
use prometheus_client::metrics::counter::Counter;
use rustls::ClientConfig;
use tower::{service_fn, util::BoxCloneSyncService};
use url::{Host, Url};

pub use self::{
    forbidden::is_forbidden,
    proxy::check_proxy,
    tls::{check_tls, identity},
};

use crate::telemetry::Metrics;

use self::{
    bounds::{TooLarge, Unreadable},
    direct::Direct,
    machine::Machine,
    names::Names,
    pooled::Pooled,
};

mod bounds;
mod dial;
mod direct;
mod forbidden;
mod heads;
mod idle;
mod machine;
mod names;
mod pooled;
mod proxy;
mod stream;
mod tls;
mod watched;

/// Idle connections kept for one host.
const IDLE_PER_HOST: usize = 256;
/// How long an idle connection is kept.
const IDLE_FOR: Duration = Duration::from_secs(30);
/// How long after it was opened a connection may take another request, however busy it is: the next
/// one asks for the addresses of the name again.
const CONNECTION_MAX: Duration = Duration::from_mins(1);

/// Knows which addresses may be asked.
#[derive(Debug, Clone)]
pub struct Guard {
    allow: Arc<[IpNet]>,
    proxy: Option<Arc<Url>>,
    names: Names,
    connection_max: Duration,
    /// How long one address is tried.
    patience: Duration,
    /// Requests that were sent once more, because the connection that was kept for them had ended.
    resends: Counter,
    machine: Machine,
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
    /// One of the name's addresses is forbidden. Which one is told to nobody but the log: the
    /// answers and attempts of a subscription are read by those who may only guess at the names
    /// behind the relay.
    #[error(
        "`{host}` leads to a forbidden address, which the relay's log names: expected public ones only, or those in `outbound.allow`"
    )]
    Name {
        /// As asked for.
        host: String,
    },
}

impl Guard {
    /// Forbids all special-purpose addresses but those in `allow`.
    #[must_use]
    pub fn new(allow: Vec<IpNet>) -> Self {
        Self {
            allow: allow.into(),
            proxy: None,
            names: Names::of_the_system(),
            connection_max: CONNECTION_MAX,
            patience: dial::PATIENCE,
            resends: Counter::default(),
            machine: Machine::default(),
        }
    }

    /// Counts in the metrics of the process.
    #[must_use]
    pub fn counting(self, metrics: &Metrics) -> Self {
        let machine = Machine::counting(metrics.machine_faults.clone());
        Self { resends: metrics.resends.clone(), machine, ..self }
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

    /// The network of probes, by HTTP/2 where that is agreed on. It is cheap to clone; clones share
    /// connections.
    ///
    /// # Errors
    /// When it cannot be set up, for want of the system's certificates for instance.
    pub fn network(&self) -> Result<sinks::Network, String> {
        self.pooled(tls::config(None)?, false)
    }

    /// The network of webhooks, for somebody with certificates of their own or for all others: HTTP/1.1
    /// over connections that their users drive, or one like [`Guard::network`] where there is a proxy.
    ///
    /// # Errors
    /// Names the field that cannot be used.
    pub fn webhooks(&self, identity: Option<&sinks::Identity>) -> Result<sinks::Network, String> {
        let config = tls::config(identity)?;
        if self.proxy.is_some() {
            return self.pooled(config, true);
        }
        let direct = Arc::new(Direct::new(self.clone(), config));
        Ok(BoxCloneSyncService::new(service_fn(move |request| {
            let direct = direct.clone();
            async move { direct.exchange(request).await }
        })))
    }

    fn pooled(&self, config: ClientConfig, webhooks: bool) -> Result<sinks::Network, String> {
        let pooled = Arc::new(Pooled::new(self.clone(), config, webhooks)?);
        Ok(BoxCloneSyncService::new(service_fn(move |request| {
            let pooled = pooled.clone();
            async move { pooled.exchange(request).await }
        })))
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

type Body = UnsyncBoxBody<Bytes, Error>;

fn forbidden(refused: Refused) -> Error {
    Error::new(ErrorKind::PermissionDenied, refused)
}

/// One of the documented kinds, and the innermost cause as text.
fn translate(error: &(dyn std::error::Error + 'static)) -> Error {
    let mut kind = ErrorKind::Other;
    let mut text = "the request cannot be sent".to_owned();
    let mut cause = Some(error);
    while let Some(error) = cause {
        text = error.to_string();
        if let Some(error) = error.downcast_ref::<Error>() {
            kind = kind_of(error).unwrap_or(kind);
            // What it wraps is not its source, but may be another of its own sort.
            if let Some(inner) = error.get_ref() {
                cause = Some(inner);
                continue;
            }
        } else if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Error::new(ErrorKind::InvalidData, tls::explain(error));
        } else if let Some(error) = error.downcast_ref::<h2::Error>() {
            // What came was refused by the library, whose reasons are few.
            if error.is_library() && kind == ErrorKind::Other {
                return Error::other(Unreadable(error.to_string()));
            }
        } else if let Some(error) = error.downcast_ref::<hyper::Error>() {
            if error.is_parse_too_large() {
                return Error::other(TooLarge);
            }
            if error.is_parse() {
                return Error::other(format!("the answer is not HTTP: {error}"));
            }
            if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
                kind = ErrorKind::ConnectionReset;
            }
        }
        cause = error.source();
    }
    of_kind(kind, text)
}

/// An error with the address that was asked: of a name with several only one may fail.
fn with_address(address: SocketAddr, error: &Error) -> Error {
    let kind = kind_of(error).unwrap_or(ErrorKind::Other);
    let whose = if kind == machine::KIND { "this machine has none left: " } else { "" };
    of_kind(kind, format!("{address}: {whose}{error}"))
}

/// An error that [`kind_of`] knows again.
fn of_kind(kind: ErrorKind, text: String) -> Error {
    match kind {
        ErrorKind::InvalidData => Error::new(kind, tls::Explained(text)),
        kind => Error::new(kind, text),
    }
}

fn kind_of(error: &Error) -> Option<ErrorKind> {
    if machine::is_at_its_end(error) {
        return Some(machine::KIND);
    }
    match error.kind() {
        // Of HTTP itself this is a broken chunk, say; of TLS it is what was translated here before.
        ErrorKind::InvalidData if is_tls(error) => Some(ErrorKind::InvalidData),
        // From the operating system this is a router's word, not a name that does not exist.
        ErrorKind::HostUnreachable if error.raw_os_error().is_some() => None,
        kind @ (ErrorKind::PermissionDenied
        | ErrorKind::HostUnreachable
        | ErrorKind::ConnectionRefused
        | ErrorKind::ConnectionReset
        | ErrorKind::NetworkDown
        | machine::KIND
        | ErrorKind::TimedOut) => Some(kind),
        ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::NotConnected
        | ErrorKind::UnexpectedEof => Some(ErrorKind::ConnectionReset),
        _ => None,
    }
}

fn is_tls(error: &Error) -> bool {
    error.get_ref().and_then(|inner| inner.downcast_ref::<tls::Explained>()).is_some()
}

#[cfg(test)]
mod tests;
