//! A socket, with or without TLS: who it leads to was vetted before it was opened.

use std::{
    io::{Error, ErrorKind, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Uri, uri::Authority};
use hyper_util::client::legacy::connect::{HttpConnector, dns::Name};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower::{ServiceExt as _, service_fn};
use url::Host;

use super::super::{Guard, Refused, forbidden, translate};

/// An open one.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Connects to an address that was vetted; with `tls` the certificate has to be for its host.
    pub(super) async fn open(
        guard: &Guard,
        peer: &Authority,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Self, Error> {
        if peer.as_str().contains('@') {
            return Err(forbidden(Refused::UserInfo));
        }
        // In the spelling that was vetted: there is more than one for an address.
        let host = Host::parse(peer.host()).map_err(Error::other)?;
        guard.check_host(&host).map_err(forbidden)?;
        let port = peer.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        let target = format!("http://{host}:{port}/").parse::<Uri>().map_err(Error::other)?;
        let connector = connector(guard.clone());
        let stream = connector.oneshot(target).await.map_err(|error| translate(&error))?;
        let stream = stream.into_inner();
        let Some(tls) = tls else { return Ok(Self::Plain(stream)) };
        let name = match host {
            Host::Domain(name) => ServerName::try_from(name).map_err(Error::other)?,
            Host::Ipv4(address) => ServerName::IpAddress(address.into()),
            Host::Ipv6(address) => ServerName::IpAddress(address.into()),
        };
        let stream = TlsConnector::from(tls).connect(name, stream).await;
        stream.map(|stream| Self::Tls(Box::new(stream))).map_err(|error| translate(&error))
    }
}

/// Names are looked up once, vetted, and only then connected to.
fn connector(
    guard: Guard,
) -> HttpConnector<
    impl tower::Service<
        Name,
        Response = std::vec::IntoIter<SocketAddr>,
        Error = Error,
        Future = impl Future<Output = Result<std::vec::IntoIter<SocketAddr>, Error>> + Send,
    > + Clone
    + Send,
> {
    let resolver = service_fn(move |name: Name| {
        let guard = guard.clone();
        async move {
            let found = guard.vetted(name.as_str()).await?;
            let found: Vec<_> = found.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect();
            Ok::<_, Error>(found.into_iter())
        }
    });
    let mut connector = HttpConnector::new_with_resolver(resolver);
    connector.set_nodelay(true);
    connector
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<(), Error>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => match Pin::new(stream).poll_read(context, buffer) {
                // Many close without saying so; whether an answer was whole is told by HTTP.
                Poll::Ready(Err(error)) if error.kind() == ErrorKind::UnexpectedEof => {
                    Poll::Ready(Ok(()))
                }
                read => read,
            },
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, Error>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<Result<usize, Error>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
