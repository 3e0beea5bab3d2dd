//! The listener with TLS, over a real socket on loopback.

use rcgen::{CertificateParams, KeyPair};
use tokio::{io::AsyncReadExt as _, net::TcpListener};

use super::*;
use crate::{
    api::{Entrance, Tls},
    settings,
};

/// A certificate for `name` that signs itself, with its key.
fn certificate(name: &str) -> settings::Tls {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key);
    settings::Tls {
        certificate: Some(certificate.unwrap().pem()),
        key: Some(key.serialize_pem()),
        ca: None,
    }
}

struct Server {
    address: std::net::SocketAddr,
    tls: Tls,
    soft: CancellationToken,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

async fn serve(relay: &Relay, shown: &settings::Tls) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = Tls::new(shown).unwrap();
    let entrance = Entrance::from(listener).with_tls(Some(tls.clone()));
    let (soft, hard) = (relay.stopping.clone(), CancellationToken::new());
    let served =
        crate::api::serve(entrance, relay.router.clone(), relay.budget.clone(), soft.clone(), hard);
    Server { address, tls, soft, task: tokio::spawn(served) }
}

/// Asks for the topics as a client that trusts this certificate alone.
async fn ask(server: &Server, trusted: &settings::Tls) -> Result<String, reqwest::Error> {
    let pem = trusted.certificate.as_deref().unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(pem.as_bytes()).unwrap()])
        .resolve("localhost", server.address)
        .build()
        .unwrap();
    let url = format!("https://localhost:{}/v1/topics", server.address.port());
    let answer = client.get(url).send().await?;
    Ok(format!("{:?} {}", answer.version(), answer.status()))
}

#[tokio::test]
async fn the_api_speaks_tls_and_shows_a_new_certificate() {
    let relay = Relay::new().await;
    let (old, new) = (certificate("localhost"), certificate("localhost"));
    let server = serve(&relay, &old).await;
    assert_eq!(ask(&server, &old).await.unwrap(), "HTTP/2.0 200 OK");
    assert!(ask(&server, &new).await.is_err());
    let broken = settings::Tls { key: Some("no key".into()), ..new.clone() };
    let refused = server.tls.replace(&broken).unwrap_err();
    assert!(refused.starts_with("`tls.key`"), "{refused}");
    ask(&server, &old).await.unwrap();
    server.tls.replace(&new).unwrap();
    assert_eq!(ask(&server, &new).await.unwrap(), "HTTP/2.0 200 OK");
    assert!(ask(&server, &old).await.is_err());
    // Whoever connects and says nothing does not hold up a stop, nor does one who speaks in clear.
    let mut silent = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let mut clear = tokio::net::TcpStream::connect(server.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut clear, b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    server.soft.cancel();
    tokio::time::timeout(Duration::from_secs(5), server.task).await.unwrap().unwrap().unwrap();
    assert_eq!(silent.read(&mut [0; 16]).await.unwrap_or(0), 0);
}

#[test]
fn what_is_wrong_with_a_certificate_is_named() {
    let good = certificate("localhost");
    let other = certificate("localhost");
    for (certificate, key, told) in [
        (None, good.key.clone(), "`tls.certificate`: expected one or more"),
        (Some("-----BEGIN".to_owned()), good.key.clone(), "`tls.certificate`"),
        (good.certificate.clone(), None, "`tls.key`: expected a private key"),
        (good.certificate.clone(), other.key, "`tls`: the certificate and the key"),
    ] {
        let refused = Tls::new(&settings::Tls { certificate, key, ca: None }).err().unwrap();
        assert!(refused.starts_with(told), "{refused}");
    }
    assert!(Tls::new(&good).is_ok());
}
