//! A socket, with or without TLS: who it leads to was vetted before it was opened.

use std::{
    io::{Error, ErrorKind, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::uri::Authority;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use url::Host;

use super::{Guard, Refused, dial, forbidden, machine, translate};

/// An open one. What TLS goes through may have TLS of its own: a proxy's.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<Stream>>),
}

/// The host of a request, in the spelling that is vetted and connected to: there is more than one
/// for an address.
pub(super) fn host_of(peer: &Authority) -> Result<Host, Error> {
    if peer.as_str().contains('@') {
        return Err(forbidden(Refused::UserInfo));
    }
    Host::parse(peer.host()).map_err(Error::other)
}

impl Stream {
    /// Connects to an address that was vetted.
    pub(super) async fn open(guard: &Guard, host: &Host, port: u16) -> Result<Self, Error> {
        guard.check_host(host).map_err(forbidden)?;
        Self::dial(guard, host, port, true).await
    }

    /// Connects to the operator's proxy, wherever the operator says that it is.
    pub(super) async fn open_proxy(guard: &Guard, host: &Host, port: u16) -> Result<Self, Error> {
        Self::dial(guard, host, port, false).await
    }

    /// Connects to one of the host's addresses. Where this machine has no file, port or memory
    /// left, waits for a moment: most have one again by then.
    async fn dial(guard: &Guard, host: &Host, port: u16, vetted: bool) -> Result<Self, Error> {
        let mut pauses = machine::PAUSES.into_iter();
        loop {
            let error = match Self::dial_once(guard, host, port, vetted).await {
                Ok(stream) => return Ok(stream),
                Err(error) => error,
            };
            if error.kind() != machine::KIND {
                return Err(error);
            }
            guard.machine.note(&error);
            match pauses.next() {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(error),
            }
        }
    }

    async fn dial_once(guard: &Guard, host: &Host, port: u16, vetted: bool) -> Result<Self, Error> {
        let found = match host {
            Host::Domain(name) if vetted => guard.vetted(name).await?,
            Host::Domain(name) => guard.names.look_up(name).await?,
            Host::Ipv4(address) => vec![(*address).into()],
            Host::Ipv6(address) => vec![(*address).into()],
        };
        let addresses: Vec<_> = found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
        dial::connect(&addresses, guard.patience).await.map(Self::Plain)
    }

    /// Who is at the other end.
    pub(super) fn address(&self) -> Result<SocketAddr, Error> {
        match self {
            Self::Plain(stream) => stream.peer_addr(),
            Self::Tls(stream) => stream.get_ref().0.address(),
        }
    }

    /// This one, secured: the certificate has to be for the host.
    pub(super) async fn secure(self, host: Host, tls: Arc<ClientConfig>) -> Result<Self, Error> {
        let name = match host {
            Host::Domain(name) => ServerName::try_from(name).map_err(Error::other)?,
            Host::Ipv4(address) => ServerName::IpAddress(address.into()),
            Host::Ipv6(address) => ServerName::IpAddress(address.into()),
        };
        let stream = TlsConnector::from(tls).connect(name, self).await;
        stream.map(|stream| Self::Tls(Box::new(stream))).map_err(|error| translate(&error))
    }

    /// Whether HTTP/2 was agreed on (ALPN, RFC 7301).
    pub(super) fn speaks_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
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
