//! The pool over TLS: by HTTP/2 and HTTP/1.1, without a proxy and through one.

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio_rustls::TlsAcceptor;

use super::{super::bounds::WEBHOOKS, tls::Authority, *};
use crate::settings::Tls;

/// Tells of each request its version and target, in an answer with 150 cookies, or as many as the
/// query asks for.
async fn tell(
    request: http::Request<hyper::body::Incoming>,
) -> Result<http::Response<http_body_util::Full<Bytes>>, std::convert::Infallible> {
    let target = request.uri().path_and_query().unwrap();
    let text = format!("{:?} {target}", request.version());
    let mut answer = http::Response::new(text.into());
    let cookies = target.query().and_then(|query| query.strip_prefix("cookies="));
    for n in 0..cookies.map_or(150, |number| number.parse().unwrap()) {
        let cookie = format!("c{n}={}; Path=/", "v".repeat(100)).parse().unwrap();
        answer.headers_mut().append("set-cookie", cookie);
    }
    Ok(answer)
}

/// A server known as `producer.example` that agrees on the first of `protocols` that it can.
async fn tls_server(authority: &Authority, protocols: &[&str]) -> SocketAddr {
    let mut config = authority.server("producer.example");
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let stream = TokioIo::new(acceptor.accept(stream).await.unwrap());
                let service = hyper::service::service_fn(tell);
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(stream, service)
                    .await;
            });
        }
    });
    address
}

/// Joins whoever asks with `target`; answers every other request with 400.
async fn tunnel_to(target: SocketAddr) -> Url {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://me:secret@{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                let read = stream.read(&mut buffer).await.unwrap();
                let head = String::from_utf8_lossy(&buffer[..read]).to_lowercase();
                if !head.starts_with("connect producer.example:")
                    || !head.contains("\r\nproxy-authorization: basic bwu6c2vjcmv0\r\n")
                {
                    let _ = stream.write_all(b"HTTP/1.1 400 No\r\n\r\n").await;
                    return;
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let mut other = tokio::net::TcpStream::connect(target).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut other).await;
            });
        }
    });
    check_proxy(&url).unwrap()
}

/// One who trusts the authority alone.
fn trusting(guard: &Guard, authority: &Authority) -> sinks::Network {
    let tls = Tls { ca: Some(authority.pem.clone()), ..Tls::default() };
    guard.pooled(super::super::tls::config(identity(&tls).as_ref()).unwrap(), true).unwrap()
}

const TARGET: &str = "/a/../b?$filter=x%20eq%20'y'&s[t]=1|2&u=%7e^`{}";

#[tokio::test]
async fn what_is_agreed_on_is_spoken_and_targets_stay() {
    let authority = Authority::new();
    for (protocols, version) in
        [(&["h2", "http/1.1"][..], "HTTP/2.0"), (&["http/1.1"], "HTTP/1.1"), (&[], "HTTP/1.1")]
    {
        let address = tls_server(&authority, protocols).await;
        let direct = loopback().with_names(|_| vec![Ipv4Addr::LOCALHOST.into()]);
        let proxied = Guard::new(vec![])
            .with_names(|_| vec!["8.8.8.8".parse().unwrap()])
            .with_proxy(Some(tunnel_to(address).await));
        let url = format!("https://producer.example:{}{TARGET}", address.port());
        for guard in [direct, proxied] {
            let network = trusting(&guard, &authority);
            for _ in 0..2 {
                let answer = ask_by(network.clone(), &url).await.unwrap();
                assert_eq!(answer.body(), &format!("{version} {TARGET}"));
                assert_eq!(answer.headers().get_all("set-cookie").iter().count(), 150);
            }
            // Others do not trust the server, whichever way it is reached.
            let stranger = trusting(&guard, &Authority::new());
            let error = ask_by(stranger, &url).await.map(drop).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        }
    }
}

/// One that all requests share by HTTP/2 is never idle, and is replaced all the same.
#[tokio::test]
async fn a_shared_connection_is_left_for_a_new_one() {
    let authority = Authority::new();
    let address = tls_server(&authority, &["h2"]).await;
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = asked.clone();
    let guard = loopback().with_names(move |time| {
        counted.store(time + 1, std::sync::atomic::Ordering::SeqCst);
        vec![Ipv4Addr::LOCALHOST.into()]
    });
    let guard = guard.with_connection_max(Duration::from_millis(500));
    let network = trusting(&guard, &authority);
    let url = format!("https://producer.example:{}/", address.port());
    let begun = std::time::Instant::now();
    let mut requests = 0;
    while begun.elapsed() < Duration::from_millis(1_700) {
        ask_by(network.clone(), &url).await.unwrap();
        requests += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let connections = asked.load(std::sync::atomic::Ordering::SeqCst);
    assert!((3..=4).contains(&connections), "{connections} connections, {requests} requests");
}

/// By HTTP/2 too, which counts in its own way: much more than the bounds it refuses with no status.
#[tokio::test]
async fn a_head_by_http2_has_the_same_bounds() {
    let authority = Authority::new();
    let address = tls_server(&authority, &["h2"]).await;
    let guard = loopback().with_names(|_| vec![Ipv4Addr::LOCALHOST.into()]);
    let network = trusting(&guard, &authority);
    let asked = async |cookies: usize| {
        let url = format!("https://producer.example:{}/?cookies={cookies}", address.port());
        ask_by(network.clone(), &url).await
    };
    assert_eq!(asked(200).await.unwrap().headers().get_all("set-cookie").iter().count(), 200);
    let answer = asked(270).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers().len()), (200, 0));
    assert_eq!(answer.extensions().get(), Some(&sinks::Cut(WEBHOOKS.exceeded)));
    for cookies in [600, 3_000] {
        let error = asked(cookies).await.map(drop).unwrap_err().to_string();
        let text = "the answer is not HTTP/2: ";
        assert!(error.starts_with(&format!("{address}: {text}")), "{error}");
        assert!(error.ends_with(WEBHOOKS.exceeded), "{error}");
    }
    assert_eq!(asked(1).await.unwrap().status(), 200);
}
