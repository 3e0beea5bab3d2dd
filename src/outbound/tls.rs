//! Certificates of one subscription: checked when they are set, used when a network is made.

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use rustls_platform_verifier::BuilderVerifierExt as _;
use sinks::Identity;

use crate::settings::Tls;

/// Whether certificates and key can be used.
///
/// # Errors
/// Names the field and what was expected; never shows a key.
pub fn check_tls(tls: &Tls) -> Result<(), String> {
    match identity(tls) {
        Some(identity) => config(Some(&identity)).map(drop),
        None => Ok(()),
    }
}

/// The certificates as a sink wants them; `None` when nothing is out of the ordinary.
#[must_use]
pub fn identity(tls: &Tls) -> Option<Identity> {
    let Tls { certificate, key, ca } = tls.clone();
    (!tls.is_default()).then_some(Identity { certificate, key, ca })
}

/// Says who does the cryptography. An error means that a provider is there already, which serves as
/// well.
pub(super) fn provide() {
    let _ = ring::default_provider().install_default();
}

/// Shows and trusts what the identity says; without one, trusts whom the system trusts.
pub(super) fn config(identity: Option<&Identity>) -> Result<ClientConfig, String> {
    provide();
    let trusting = match identity.and_then(|identity| identity.ca.as_deref()) {
        Some(ca) => ClientConfig::builder().with_root_certificates(roots(ca)?),
        None => ClientConfig::builder()
            .with_platform_verifier()
            .map_err(|error| format!("the system's certificates cannot be used: {error}"))?,
    };
    let Some(identity) = identity else { return Ok(trusting.with_no_client_auth()) };
    match (&identity.certificate, &identity.key) {
        (Some(certificate), Some(key)) => {
            let (chain, key) = check_pair(certificate, key)?;
            let shown = trusting.with_client_auth_cert(chain, key);
            shown.map_err(|error| format!("`tls.certificate`: cannot be used: {error}"))
        }
        (Some(_), None) => Err("`tls.key`: expected the key of `tls.certificate`".into()),
        (None, Some(_)) => Err("`tls.certificate`: expected the certificate of `tls.key`".into()),
        (None, None) => Ok(trusting.with_no_client_auth()),
    }
}

/// What went wrong with TLS, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Explained(pub(super) String);

/// Says what a failed handshake means, where the library names its own parts.
pub(super) fn explain(error: &rustls::Error) -> Explained {
    use rustls::{
        AlertDescription::{CertificateRequired, ProtocolVersion},
        CertificateError, Error, InvalidMessage, PeerIncompatible,
    };
    Explained(match error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the server does not speak TLS at this port: expected a URL of `http://`, or another port"
                .into()
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            format!("nobody who is trusted here has signed the server's certificate: {error}")
        }
        // What the system's verifier says in its own words.
        Error::InvalidCertificate(CertificateError::Other(why)) => {
            format!("the server's certificate cannot be used: {why}")
        }
        // The library lists object identifiers as numbers.
        Error::InvalidCertificate(
            CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
        ) => "the server's certificate is signed in a way that is not safe, as by SHA-1 or MD5".into(),
        Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13)
        | Error::AlertReceived(ProtocolVersion) => {
            format!("the server speaks neither TLS 1.2 nor 1.3: {error}")
        }
        Error::AlertReceived(CertificateRequired) => {
            format!("the server wants a client certificate: {error}")
        }
        other => other.to_string(),
    })
}

fn roots(ca: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for root in certificates("tls.ca", ca)? {
        roots.add(root).map_err(|_| "`tls.ca`: has a certificate that cannot be trusted")?;
    }
    Ok(roots)
}

type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn check_pair(certificate: &str, key: &str) -> Result<Pair, String> {
    let chain = certificates("tls.certificate", certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|_| "`tls.key`: expected one private key in PEM, without a password")?;
    let signing = ring::sign::any_supported_type(&key)
        .map_err(|_| "`tls.key`: expected an RSA, ECDSA or Ed25519 key")?;
    CertifiedKey::new(chain.clone(), signing)
        .keys_match()
        .map_err(|_| "`tls.key`: is not the key of the first certificate in `tls.certificate`")?;
    Ok((chain, key))
}

fn certificates(field: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let all = all.map_err(|_| format!("`{field}`: expected certificates in PEM"))?;
    if all.is_empty() {
        return Err(format!("`{field}`: expected at least one certificate in PEM"));
    }
    Ok(all)
}
