//! A machine that has no file left: nobody is charged with it.

use serde_json::json;
use tokio::net::TcpStream;

use crate::support::{Api, Place, Raw, Receiver, eventually, relay::SECRET};

/// Files that a relay may have open.
const FILES: usize = 120;
const EVENTS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_without_files_charges_no_endpoint_and_kills_nothing() {
    // A producer that wants a connection for each poll.
    let producer = Raw::start(|_, _| {
        let list = r#"[{"id": "1"}]"#;
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n";
        Some(format!("{head}content-length: {}\r\n\r\n{list}", list.len()).into_bytes())
    })
    .await;
    let place = Place::new(&format!(
        "topics: {{ numbers: {{}}, polled: {{}} }}\nsources: [{{ name: shop, topic: polled, \
         interval: 1s, http: {{ url: \"{}\", id: id }} }}]\n",
        producer.url("/list")
    ));
    let mut relay = place.spawn_limited(FILES);
    relay.ready().await;
    let api = relay.api();
    let receivers = [Receiver::accepting().await, Receiver::accepting().await];
    for (name, receiver, retry) in [
        ("usual", &receivers[0], json!({ "schedule": ["1s", "1s", "1s", "1s", "1s", "1s"] })),
        ("once", &receivers[1], json!({ "max_attempts": 1, "schedule": ["1s"] })),
    ] {
        let body = json!({
            "name": name, "topic": "numbers", "from": "earliest", "retry": retry,
            "webhook": { "url": receiver.url(), "secret": SECRET },
        });
        api.post("/v1/subscriptions", &body).await.ok();
    }
    // Whoever calls and says nothing takes a file each; the one connection that is used goes on.
    let mut callers = Vec::new();
    let open = || std::fs::read_dir(format!("/proc/{}/fd", relay.id())).unwrap().count();
    eventually("no file is left", || {
        let open = open();
        callers.push(tokio::spawn(TcpStream::connect(api.address())));
        async move { (open >= FILES).then_some(()) }
    })
    .await;
    api.publish("numbers", 1, EVENTS as u64).await;
    // Each has tried four times by then.
    eventually("attempts that found no file", || async {
        (faults(api).await >= 8 * EVENTS).then_some(())
    })
    .await;
    let polls = r#"milkrun_polls_total{source="shop",result="machine"} "#;
    eventually("polls that found no file", || async {
        let metrics = api.get("/metrics").await.body;
        metrics.lines().any(|line| line.starts_with(polls)).then_some(())
    })
    .await;
    let asked = producer.sent().len();
    for caller in callers {
        drop(caller.await);
    }
    eventually("the next poll", || async { (producer.sent().len() > asked).then_some(()) }).await;
    let shown = api.get("/v1/sources/shop").await.ok();
    assert!(shown["report"]["failing"].is_null(), "{shown}");
    assert_eq!(shown["report"]["result"], "ok", "{shown}");
    for (name, receiver) in ["usual", "once"].into_iter().zip(&receivers) {
        receiver.until_accepted(EVENTS).await;
        let path = format!("/v1/subscriptions/{name}/attempts?failed=true");
        let failed = api.get(&path).await.ok()["attempts"][0].clone();
        let error = failed["error"].as_str().unwrap();
        assert!(error.starts_with("machine: ") && error.contains("open files"), "{failed}");
        let shown = api.get(&format!("/v1/subscriptions/{name}")).await.ok();
        assert!(shown["health"].is_null() || shown["health"]["state"] == "open", "{shown}");
        let letters = api.get(&format!("/v1/subscriptions/{name}/dead-letters")).await.ok();
        assert_eq!(letters["dead_letters"].as_array().map(Vec::len), Some(0), "{letters}");
    }
    assert_eq!(receivers[1].requests(), EVENTS, "at most once");
    let told = place.printed().matches("no file, port or memory left for connections").count();
    assert!((1..=2).contains(&told), "{told} lines of one kind");
    assert!(!place.printed().contains("hold"), "nothing was held");
    assert!(!place.printed().contains("poll failed"), "no source was charged");
    let told = place.printed().matches("cannot accept a connection").count();
    assert!(told <= 2, "{told} lines of one kind");
}

/// Connections that the relay had no file for.
async fn faults(api: &Api) -> usize {
    let metrics = api.get("/metrics").await.body;
    let count = metrics.lines().find_map(|line| line.strip_prefix("milkrun_machine_faults_total "));
    count.unwrap().parse().unwrap()
}
