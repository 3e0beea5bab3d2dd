//! TLS of the API: the certificate that is shown at present, which may be replaced at any time.

use std::{io, sync::Arc};

use parking_lot::RwLock;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::settings;

/// What is spoken within TLS, by preference (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What connections are encrypted with; cheap to clone.
#[derive(Clone)]
pub struct Tls(Arc<RwLock<Arc<ServerConfig>>>);

impl Tls {
    /// Shows the certificate in these settings.
    ///
    /// # Errors
    /// What is wrong with it, by the setting that has it.
    pub fn new(settings: &settings::Tls) -> Result<Self, String> {
        Ok(Self(Arc::new(RwLock::new(config(settings)?))))
    }

    /// Shows this one from the next connection on.
    ///
    /// # Errors
    /// As [`Tls::new`]; then it shows what it showed.
    pub fn replace(&self, settings: &settings::Tls) -> Result<(), String> {
        *self.0.write() = config(settings)?;
        Ok(())
    }

    /// Encrypts a connection that was taken.
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> io::Result<TlsStream<S>> {
        let config = self.0.read().clone();
        TlsAcceptor::from(config).accept(stream).await
    }
}

fn config(settings: &settings::Tls) -> Result<Arc<ServerConfig>, String> {
    // An error means that a provider is there already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(
        settings.certificate.as_deref().unwrap_or_default().as_bytes(),
    )
    .collect::<Result<_, _>>()
    .map_err(|error| format!("`tls.certificate`: it is no PEM: {error}"))?;
    if chain.is_empty() {
        return Err("`tls.certificate`: expected one or more certificates as PEM".into());
    }
    let key = PrivateKeyDer::from_pem_slice(settings.key.as_deref().unwrap_or_default().as_bytes())
        .map_err(|error| format!("`tls.key`: expected a private key as PEM: {error}"))?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    let mut config = config
        .map_err(|error| format!("`tls`: the certificate and the key cannot be used: {error}"))?;
    config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}
