//! Certificates of one subscription: checked when they are set, used when a network is made.

use reqwest::{Certificate, ClientBuilder};
use rustls::{
    RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use sinks::Identity;

use crate::settings::Tls;

/// Whether certificates and key can be used.
///
/// # Errors
/// Names the field and what was expected; never shows a key.
pub fn check_tls(tls: &Tls) -> Result<(), String> {
    match identity(tls) {
        Some(identity) => prepare(ClientBuilder::new(), &identity).map(drop),
        None => Ok(()),
    }
}

/// The certificates as a sink wants them; `None` when nothing is out of the ordinary.
#[must_use]
pub fn identity(tls: &Tls) -> Option<Identity> {
    let Tls { certificate, key, ca } = tls.clone();
    (!tls.is_default()).then_some(Identity { certificate, key, ca })
}

/// A client that shows and trusts what the identity says.
pub(super) fn prepare(
    mut client: ClientBuilder,
    identity: &Identity,
) -> Result<ClientBuilder, String> {
    match (&identity.certificate, &identity.key) {
        (Some(certificate), Some(key)) => {
            check_pair(certificate, key)?;
            let both = format!("{certificate}\n{key}");
            let shown = reqwest::Identity::from_pem(both.as_bytes());
            client = client.identity(shown.map_err(|_| {
                "`tls.certificate`: expected certificates only, and `tls.key` a key only".to_owned()
            })?);
        }
        (Some(_), None) => return Err("`tls.key`: expected the key of `tls.certificate`".into()),
        (None, Some(_)) => {
            return Err("`tls.certificate`: expected the certificate of `tls.key`".into());
        }
        (None, None) => {}
    }
    if let Some(ca) = &identity.ca {
        let mut roots = RootCertStore::empty();
        for root in certificates("tls.ca", ca)? {
            let trusted = Certificate::from_der(&root);
            if roots.add(root).is_err() {
                return Err("`tls.ca`: has a certificate that cannot be trusted".into());
            }
            client = client.tls_certs_only(trusted.ok());
        }
    }
    Ok(client)
}

fn check_pair(certificate: &str, key: &str) -> Result<(), String> {
    let chain = certificates("tls.certificate", certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|_| "`tls.key`: expected one private key in PEM, without a password")?;
    let key = ring::sign::any_supported_type(&key)
        .map_err(|_| "`tls.key`: expected an RSA, ECDSA or Ed25519 key")?;
    CertifiedKey::new(chain, key)
        .keys_match()
        .map_err(|_| "`tls.key`: is not the key of the first certificate in `tls.certificate`")?;
    Ok(())
}

fn certificates(field: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let all = all.map_err(|_| format!("`{field}`: expected certificates in PEM"))?;
    if all.is_empty() {
        return Err(format!("`{field}`: expected at least one certificate in PEM"));
    }
    Ok(all)
}
