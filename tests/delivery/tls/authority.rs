//! Authorities, what they certify, and how a server shows it.

use std::sync::{Arc, LazyLock};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};
use tokio_rustls::rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};

/// Both versions that there are here.
pub(super) static BOTH: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// One who signs certificates.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate, those that lead to it, and its key, in PEM.
#[derive(Clone)]
pub(super) struct Shown {
    pub chain: String,
    pub key: String,
}

fn named(name: &str) -> DistinguishedName {
    let mut whole = DistinguishedName::new();
    whole.push(DnType::CommonName, name);
    whole
}

impl Authority {
    /// One that nobody signed, with that name.
    pub(super) fn new(name: &str) -> Self {
        let (params, key) = Self::params(name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// One that this one signed.
    pub(super) fn below(&self, name: &str) -> Self {
        let (params, key) = Self::params(name);
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn params(name: &str) -> (CertificateParams, KeyPair) {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params, KeyPair::generate().unwrap())
    }

    /// What a server at `host`, a name or an address, shows.
    pub(super) fn shown(&self, host: &str) -> Shown {
        self.made(&[host], |_| {})
    }

    /// The same, changed by whoever wants it.
    pub(super) fn made(
        &self,
        hosts: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Shown {
        let params = leaf(hosts, change);
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.issuer).unwrap().pem();
        Shown { chain, key: key.serialize_pem() }
    }
}

fn leaf(hosts: &[&str], change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name = named("hook.test");
    change(&mut params);
    params
}

impl Shown {
    /// What nobody signed but itself.
    pub(super) fn by_itself(host: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let chain = leaf(&[host], |_| {}).self_signed(&key).unwrap().pem();
        Self { chain, key: key.serialize_pem() }
    }

    /// The same, with one who leads to it.
    pub(super) fn with(self, authority: &Authority) -> Self {
        Self { chain: format!("{}{}", self.chain, authority.pem), ..self }
    }

    /// A server that shows it to everybody.
    pub(super) fn server(&self) -> ServerConfig {
        self.server_for(&BOTH, None)
    }

    /// One that speaks these versions, and wants a certificate of `clients` if that is given.
    pub(super) fn server_for(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        clients: Option<&Authority>,
    ) -> ServerConfig {
        static PROVIDER: LazyLock<Arc<tokio_rustls::rustls::crypto::CryptoProvider>> =
            LazyLock::new(|| Arc::new(ring::default_provider()));
        let config = ServerConfig::builder_with_provider(PROVIDER.clone());
        let config = config.with_protocol_versions(versions).unwrap();
        let config = match clients {
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(clients.pem.as_bytes()).unwrap()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots.into(), PROVIDER.clone());
                config.with_client_cert_verifier(verifier.build().unwrap())
            }
            None => config.with_no_client_auth(),
        };
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        config.with_single_cert(chain.map(Result::unwrap).collect(), key).unwrap()
    }
}
