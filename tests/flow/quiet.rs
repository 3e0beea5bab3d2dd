//! A source whose list never changes.

use serde_json::json;

use crate::support::{Place, Server, eventually, producer::item, server::json as json_answer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_source_appends_nothing_again_when_the_dedupe_window_has_passed() {
    let server = Server::start(|_| async {
        json_answer(format!("[{}]", (1..=20).map(item).collect::<Vec<_>>().join(",")))
    })
    .await;
    let url = server.url("/list");
    let place = Place::new(&format!(
        "topics: {{ numbers: {{ dedupe: {{ age: 1s, count: 5 }} }} }}\nsources:\n  - name: quiet\n    \
         topic: numbers\n    interval: {{ every: 50ms, min: 10ms, max: 50ms }}\n    http: {{ url: \"{url}\", \
         items: \"\", id: id, start: earliest, cursor: none, listed: unordered }}\n"
    ));
    let relay = place.start().await;
    relay.until_head("numbers", 20).await;
    // The window has passed when the same event, published by hand, is no duplicate any more.
    let event = json!({ "specversion": "1.0", "id": "e-00000001", "source": url, "type": "x" });
    let once_more = eventually("the dedupe window passed", || async {
        let request = relay.api().request("POST", "/v1/topics/numbers/events");
        let request = request.header("content-type", "application/cloudevents+json");
        let said = relay.api().send(request.body(event.to_string())).await.ok();
        (said["events"][0]["duplicate"] == false).then(|| said["events"][0]["version"].clone())
    })
    .await;
    assert_eq!(once_more, 21, "the source appended its events again");
    let walks =
        || async { relay.api().get("/v1/sources/quiet").await.ok()["walks"].as_u64().unwrap() };
    let before = walks().await;
    eventually("five more walks", || async { (walks().await >= before + 5).then_some(()) }).await;
    assert_eq!(relay.api().head("numbers").await, 21, "the source appended its events again");
    assert!(relay.stop().await.success());
}
