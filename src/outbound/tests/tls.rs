//! Private authorities and client certificates, against a real server.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::settings::Tls;

/// An authority, and what it certified: certificate and key in PEM.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(super) pem: String,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn certify(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// What a server with that name shows to everybody.
    pub(super) fn server(&self, name: &str) -> ServerConfig {
        self.server_for(name, None)
    }

    /// The same, wanting a certificate of `clients` if that is given.
    fn server_for(&self, name: &str, clients: Option<&Self>) -> ServerConfig {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (certificate, key) = self.certify(name);
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let config = match clients {
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(clients.pem.as_bytes()).unwrap()).unwrap();
                let verifier = WebPkiClientVerifier::builder(roots.into()).build().unwrap();
                ServerConfig::builder().with_client_cert_verifier(verifier)
            }
            None => ServerConfig::builder().with_no_client_auth(),
        };
        config.with_single_cert(chain, key).unwrap()
    }
}

/// A server known as `localhost` that wants a certificate of `clients`, if that is given.
async fn tls_server(authority: &Authority, clients: Option<&Authority>) -> SocketAddr {
    let acceptor = TlsAcceptor::from(Arc::new(authority.server_for("localhost", clients)));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

async fn ask_with(tls: &Tls, address: SocketAddr) -> Result<http::StatusCode, Error> {
    check_tls(tls).unwrap();
    let guard = loopback().with_names(|_| vec![Ipv4Addr::LOCALHOST.into()]);
    let network = guard.webhooks(identity(tls).as_ref()).unwrap();
    let url = format!("https://localhost:{}/", address.port());
    let request = http::Request::get(url).body(Bytes::new()).unwrap();
    network.oneshot(request).await.map(|answer| answer.status())
}

#[tokio::test]
async fn a_private_authority_is_trusted_by_who_names_it() {
    let (ours, other) = (Authority::new(), Authority::new());
    let address = tls_server(&ours, None).await;
    let trusting = |pem: &str| Tls { ca: Some(pem.to_owned()), ..Tls::default() };
    assert_eq!(ask_with(&trusting(&ours.pem), address).await.unwrap(), 200);
    let both = format!("{}{}", other.pem, ours.pem);
    assert_eq!(ask_with(&trusting(&both), address).await.unwrap(), 200);
    for tls in [trusting(&other.pem), Tls::default()] {
        let error = ask_with(&tls, address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let (ours, clients) = (Authority::new(), Authority::new());
    let address = tls_server(&ours, Some(&clients)).await;
    let with = |authority: &Authority| {
        let (certificate, key) = authority.certify("relay");
        Tls { certificate: Some(certificate), key: Some(key), ca: Some(ours.pem.clone()) }
    };
    assert_eq!(ask_with(&with(&clients), address).await.unwrap(), 200);
    let without = Tls { certificate: None, key: None, ..with(&clients) };
    for tls in [without, with(&ours)] {
        ask_with(&tls, address).await.unwrap_err();
    }
}

#[test]
fn what_cannot_be_used_is_named_and_not_shown() {
    let authority = Authority::new();
    let ((one, one_key), (_, other_key)) = (authority.certify("a"), authority.certify("b"));
    let tls = |certificate: Option<&str>, key: Option<&str>, ca: Option<&str>| Tls {
        certificate: certificate.map(str::to_owned),
        key: key.map(str::to_owned),
        ca: ca.map(str::to_owned),
    };
    check_tls(&Tls::default()).unwrap();
    check_tls(&tls(Some(&one), Some(&one_key), Some(&authority.pem))).unwrap();
    let torn = one_key.replace("-----END", "hunter2\n-----END");
    let junk = "-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n";
    for (tls, expected) in [
        (tls(Some(&one), None, None), "`tls.key`: expected the key"),
        (tls(None, Some(&one_key), None), "`tls.certificate`: expected the certificate"),
        (tls(Some("hunter2"), Some(&one_key), None), "`tls.certificate`: expected at least one"),
        (tls(Some(&one_key), Some(&one_key), None), "`tls.certificate`: expected at least one"),
        (tls(Some(&one), Some("hunter2"), None), "`tls.key`: expected one private key"),
        (tls(Some(&one), Some(&one), None), "`tls.key`: expected one private key"),
        (tls(Some(&one), Some(&torn), None), "`tls.key`: expected"),
        (tls(Some(&one), Some(&other_key), None), "`tls.key`: is not the key of"),
        (tls(None, None, Some("")), "`tls.ca`: expected at least one"),
        (tls(None, None, Some(junk)), "`tls.ca`: has a certificate that cannot be trusted"),
    ] {
        let error = check_tls(&tls).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
        assert!(!error.contains("hunter2") && !error.contains("BEGIN"), "{error}");
    }
}
