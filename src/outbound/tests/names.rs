//! Names that resolve to something else than they should.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use super::*;

impl Guard {
    /// This guard with a resolver of its own.
    pub(super) fn with_names(
        mut self,
        names: impl Fn(usize) -> Vec<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        let asked = AtomicUsize::new(0);
        self.names = Names(Arc::new(move |_| {
            let found = names(asked.fetch_add(1, SeqCst));
            Box::pin(std::future::ready(Ok(found)))
        }));
        self
    }

    /// This guard with another bound for the age of connections.
    pub(super) fn with_connection_max(self, connection_max: Duration) -> Self {
        Self { connection_max, ..self }
    }
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[tokio::test]
async fn one_forbidden_address_forbids_a_name() {
    for addresses in [
        &["127.0.0.1"][..],
        &["8.8.8.8", "127.0.0.1"],
        &["127.0.0.1", "8.8.8.8"],
        &["8.8.8.8", "1.1.1.1", "169.254.169.254"],
        &["2606:4700::1111", "::1"],
        &["2606:4700::1111", "::ffff:10.0.0.1"],
        &["8.8.8.8", "64:ff9b::7f00:1"],
        &["8.8.8.8", "fe80::1"],
        &["8.8.8.8", "0.0.0.0"],
    ] {
        let found = ips(addresses);
        let guard = Guard::new(vec![]).with_names(move |_| found.clone());
        let error = guard.vetted("mixed.example").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{addresses:?}");
        let error = ask(&guard, "http://mixed.example/").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{addresses:?}: {error}");
    }
    let guard = Guard::new(vec![]).with_names(|_| ips(&["8.8.8.8", "2606:4700::1111"]));
    assert_eq!(guard.vetted("public.example").await.unwrap().len(), 2);
    let guard = Guard::new(vec![]).with_names(|_| vec![]);
    let error = guard.vetted("none.example").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HostUnreachable);
}

/// What was vetted is what is connected to; a name that changes is vetted anew with each
/// connection.
#[tokio::test]
async fn a_name_that_changes_between_two_look_ups_gains_nothing() {
    a_name_that_changes_gains_nothing(false).await;
    a_name_that_changes_gains_nothing(true).await;
}

async fn a_name_that_changes_gains_nothing(by_webhooks: bool) {
    let address =
        server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await;
    let looked_up = Arc::new(AtomicUsize::new(0));
    let count = looked_up.clone();
    // Only this one is allowed; the second answer is the same machine by a forbidden address.
    let guard = Guard::new(vec!["127.0.0.1/32".parse().unwrap()]).with_names(move |time| {
        count.store(time + 1, SeqCst);
        ips(if time == 0 { &["127.0.0.1"] } else { &["127.0.0.2"] })
    });
    let [probes, webhooks] = networks(&guard);
    let network = if by_webhooks { webhooks } else { probes };
    let ask = || {
        let url = format!("http://rebinding.example:{}/", address.port());
        network.clone().oneshot(http::Request::get(url).body(Bytes::new()).unwrap())
    };
    let answer = ask().await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "ok");
    assert_eq!(looked_up.load(SeqCst), 1, "one look-up for one connection");
    let error = ask().await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    assert_eq!(looked_up.load(SeqCst), 2);
}

/// Answers with its name, and keeps connections.
async fn keeping(name: &'static str, address: (Ipv4Addr, u16)) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                while let Ok(1..) = stream.read(&mut [0; 4096]).await {
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{name}");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    Ok(address)
}

/// Two machines on one port: the name leads to the old one, and from `at` on to the new one.
async fn moving(connection_max: Duration) -> (Guard, String, Arc<AtomicBool>) {
    let (port, new) = loop {
        let old = keeping("old", (Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        // Somebody else may have that port there.
        if let Ok(new) = keeping("new", (Ipv4Addr::new(127, 0, 0, 2), old.port())).await {
            break (old.port(), new);
        }
    };
    assert_eq!(port, new.port());
    let moved = Arc::new(AtomicBool::new(false));
    let told = moved.clone();
    let guard = loopback()
        .with_names(move |_| ips(if told.load(SeqCst) { &["127.0.0.2"] } else { &["127.0.0.1"] }))
        .with_connection_max(connection_max);
    (guard, format!("http://moving.example:{port}/"), moved)
}

async fn body(network: &sinks::Network, url: &str) -> Bytes {
    ask_by(network.clone(), url).await.unwrap().into_body()
}

#[tokio::test]
async fn a_busy_connection_follows_its_name_to_another_address() {
    let (guard, url, moved) = moving(Duration::from_millis(600)).await;
    for network in networks(&guard) {
        moved.store(false, SeqCst);
        assert_eq!(body(&network, &url).await, "old");
        moved.store(true, SeqCst);
        let moved_at = std::time::Instant::now();
        // Never idle for long, so only its age can end the connection.
        let mut kept = 0;
        while body(&network, &url).await == "old" {
            kept += 1;
            assert!(moved_at.elapsed() < Duration::from_secs(5), "still at the old address");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(moved_at.elapsed() >= Duration::from_millis(300), "kept for {kept} requests only");
        assert!(kept > 3, "connections are kept: {kept}");
        assert_eq!(body(&network, &url).await, "new");
    }
}

#[tokio::test]
async fn a_connection_is_kept_for_a_minute_at_most() {
    assert_eq!(loopback().connection_max, Duration::from_mins(1));
    let (guard, url, moved) = moving(Duration::from_mins(1)).await;
    for network in networks(&guard) {
        moved.store(false, SeqCst);
        for _ in 0..20 {
            assert_eq!(body(&network, &url).await, "old");
            moved.store(true, SeqCst);
        }
    }
}

/// What an attempt or a trial tells must not map the network behind the relay.
#[tokio::test]
async fn a_refusal_does_not_tell_where_a_name_leads() {
    for found in ["10.20.30.40", "fd12:3456::9", "127.0.0.1"] {
        let addresses = ips(&[found]);
        let guard = Guard::new(vec![]).with_names(move |_| addresses.clone());
        for network in networks(&guard) {
            let url = "http://internal.example/";
            let error = ask_by(network, url).await.unwrap_err().to_string();
            assert!(error.contains("`internal.example` leads to a forbidden address"), "{error}");
            assert!(!error.contains(found), "{error}");
        }
    }
}
