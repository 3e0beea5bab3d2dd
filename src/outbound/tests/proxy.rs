//! The operator's proxy, and the environment's, which is none.

use tokio::sync::mpsc;

use super::*;

/// A proxy that notes the first line of each request and answers as it is told.
async fn proxy(answer: &'static [u8]) -> (Url, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (told, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).await.unwrap_or(0);
            let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
            let _ = told.send(text);
            let _ = stream.write_all(answer).await;
        }
    });
    (check_proxy(&url).unwrap(), requests)
}

/// All names are public.
fn guard(proxy: Url) -> Guard {
    Guard::new(vec![]).with_names(|_| vec!["8.8.8.8".parse().unwrap()]).with_proxy(Some(proxy))
}

#[tokio::test]
async fn everything_goes_through_the_proxy_wherever_that_is() {
    let (mut url, mut requests) = proxy(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    url.set_username("me").unwrap();
    url.set_password(Some("secret")).unwrap();
    let answer = ask(&guard(url), "http://consumer.example/hook?a=b").await.unwrap();
    assert_eq!(answer.status(), 204);
    let head = requests.recv().await.unwrap().to_lowercase();
    assert!(head.starts_with("get http://consumer.example/hook?a=b http/1.1\r\n"), "{head}");
    assert!(head.contains("proxy-authorization: basic bwu6c2vjcmv0"), "{head}");

    let (url, mut requests) = proxy(b"HTTP/1.1 200 OK\r\n\r\n").await;
    let error = ask(&guard(url), "https://consumer.example/hook").await.unwrap_err();
    let head = requests.recv().await.unwrap();
    assert!(head.starts_with("CONNECT consumer.example:443 HTTP/1.1\r\n"), "{head}");
    // The tunnel came about and then broke: not the proxy's to answer for.
    assert_ne!(error.kind(), ErrorKind::NetworkDown, "{error}");
}

#[tokio::test]
async fn what_is_forbidden_is_not_handed_to_the_proxy() {
    let (url, mut requests) = proxy(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    for host in ["127.0.0.1", "169.254.169.254", "[::1]", "localhost", "0x7f.1"] {
        let error = ask(&guard(url.clone()), &format!("http://{host}/")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{host}: {error}");
    }
    let inside = guard(url.clone()).with_names(|_| vec!["10.0.0.1".parse().unwrap()]);
    for scheme in ["http", "https"] {
        let error = ask(&inside, &format!("{scheme}://inside.example/")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    }
    let unknown = guard(url).with_names(|_| vec![]);
    let error = ask(&unknown, "http://unknown.example/").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HostUnreachable, "{error}");
    requests.try_recv().unwrap_err();
}

#[tokio::test]
async fn the_proxys_failures_are_its_own() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    let closed = check_proxy(&format!("http://me:hunter2@{closed}")).unwrap();
    let (wants, _) = proxy(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
    let (broken, _) = proxy(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
    let (mute, _) = proxy(b"").await;
    for (proxy, url) in [
        (&closed, "http://consumer.example/"),
        (&closed, "https://consumer.example/"),
        (&wants, "http://consumer.example/"),
        (&wants, "https://consumer.example/"),
        (&broken, "https://consumer.example/"),
        (&mute, "https://consumer.example/"),
    ] {
        let error = ask(&guard(proxy.clone()), url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NetworkDown, "{url}: {error}");
        assert!(error.to_string().starts_with("the proxy: "), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    // To an `http` request a proxy answers as the endpoint would.
    let answer = ask(&guard(broken), "http://consumer.example/").await.unwrap();
    assert_eq!(answer.status(), 502);
}

/// A child of this very test, with every variable set that names a proxy.
#[tokio::test]
async fn no_proxy_of_the_environment_is_asked() {
    const CHILD: &str = "MILKRUN_TEST_PROXY_CHILD";
    if let Ok(url) = std::env::var(CHILD) {
        assert_eq!(ask(&loopback(), &url).await.unwrap().body(), "ok");
        return;
    }
    let address = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let (url, mut requests) = proxy(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n").await;
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "outbound::tests::proxy::no_proxy_of_the_environment_is_asked"]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        child.env(name, url.as_str()).env(name.to_lowercase(), url.as_str());
    }
    child.env_remove("NO_PROXY").env_remove("no_proxy").env_remove("REQUEST_METHOD");
    let output = child.env(CHILD, format!("http://{address}/")).output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    requests.try_recv().unwrap_err();
}

#[test]
fn proxies_are_read_without_being_shown() {
    for good in ["http://proxy:3128", "https://me:pw@proxy.example:8443/", "http://10.0.0.1:1"] {
        check_proxy(good).unwrap();
    }
    for bad in ["", "proxy:3128", "socks5://h:1", "http://", "http://h/x", "http://hunter2@h/?a"] {
        let error = check_proxy(bad).unwrap_err();
        assert!(error.starts_with("expected ") && !error.contains("hunter2"), "{error}");
    }
}
