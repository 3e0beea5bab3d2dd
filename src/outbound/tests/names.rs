//! Names that resolve to something else than they should.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

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
