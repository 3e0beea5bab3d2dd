//! Pages of a relay with many subscriptions and a long history: how long they take, and what of a core.

use std::time::{Duration, Instant};

use serde_json::json;

use super::rig::page;
use crate::support::{Place, Relay, Server, eventually, full, scaled, server::answer};

/// Pages that grow with what there is.
const PAGES: [&str; 10] = [
    "",
    "subscriptions",
    "subscriptions?name=s-0042",
    "subscriptions/held",
    "subscriptions/poisoned",
    "dead-letters",
    "dead-letters?of=poisoned",
    "topics/orders",
    "topics/orders/events/1000",
    "system",
];
/// The time that a process has had of all cores.
fn cpu(relay: &Relay) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", relay.id())).unwrap();
    // The name of the program may have spaces; user and system time are the 12th and 13th behind it.
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let ticks: u64 =
        rest.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

async fn fill(relay: &Relay, hooks: &Server) {
    let api = relay.api();
    let events = scaled(2_000, 1_000_000) as u64;
    api.publish("orders", 1, events).await;
    for n in 0..scaled(200, 10_000) {
        let body = json!({ "name": format!("s-{n:05}"), "topic": "orders",
            "webhook": { "url": hooks.url("/accept") } });
        api.post("/v1/subscriptions", &body).await.ok();
    }
    for (name, path, from) in [("held", "/fail", events - 50), ("poisoned", "/refuse", events - 7)]
    {
        let body = json!({ "name": name, "topic": "orders", "from": from,
            "retry": { "never_retry": [400] }, "webhook": { "url": hooks.url(path) } });
        api.post("/v1/subscriptions", &body).await.ok();
    }
    eventually("one is on hold, and one has dead letters", || async {
        let held = api.get("/v1/subscriptions/held").await.ok();
        let poisoned = api.get("/v1/subscriptions/poisoned").await.ok();
        (held["health"]["state"] == "holding" && poisoned["dead_letters"] == 8).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_a_large_relay_are_quick() {
    let hooks = Server::start(|request| async move {
        match request.parts.uri.path() {
            "/refuse" => answer(400, &[], "no"),
            "/fail" => answer(503, &[], "down"),
            _ => answer(204, &[], ""),
        }
    })
    .await;
    let place = Place::new(&format!(
        "topics: {{ orders: {{}} }}\n\
         sources: [{{ name: shop, topic: sales, http: {{ url: \"{}\", id: id }} }}]\n",
        hooks.url("/fail")
    ));
    let relay = place.start().await;
    fill(&relay, &hooks).await;
    // One for all of them: to make one takes longer than many a page.
    let browser = page::client();
    let times = scaled(10, 40);
    let most = if full() { Duration::from_millis(100) } else { Duration::from_secs(1) };
    let mut slow = Vec::new();
    for path in PAGES {
        let mut took = Vec::new();
        let busy = cpu(&relay);
        for _ in 0..times {
            let begun = Instant::now();
            let shown = browser.get(format!("{}/console/{path}", place.base())).send().await;
            let shown = shown.unwrap();
            let status = shown.status();
            let body = shown.text().await.unwrap();
            took.push(begun.elapsed());
            assert_eq!(status, 200, "{path}: {body}");
        }
        took.sort_unstable();
        let (median, p95) = (took[times / 2], took[times * 95 / 100]);
        let each = cpu(&relay).saturating_sub(busy) / u32::try_from(times).unwrap();
        println!("/console/{path}: median {median:.1?}, p95 {p95:.1?}, {each:.1?} of CPU");
        if p95 > most {
            slow.push(format!("{path}: {p95:?}"));
        }
    }
    assert!(slow.is_empty(), "over {most:?}: {slow:?}");
    assert!(relay.stop().await.success());
}
