//! What is committed between a look and a wait.

use super::*;

#[tokio::test]
async fn a_commit_between_look_and_wait_is_not_missed() {
    let mut relay = Relay::new().await;
    let store = Arc::new(Interposed::new(relay.store.clone()));
    relay.serve(store.clone(), Limits::default());
    store.append_behind(0, "1");
    // The clock stands still: only a wake-up ends the wait.
    let page = relay.get("/v1/topics/orders/events?wait=30s").await.ok().json();
    assert_eq!(versions(&page), [1]);

    let mut blocks = Blocks::open(&relay, "/v1/topics/orders/events?after=1", None).await;
    assert!(blocks.next().await.unwrap().starts_with("id: "));
    // The stream looks once more before it waits.
    store.append_behind(0, "2");
    assert_eq!(blocks.event().await.1["version"], 2);

    let lines = request(Method::GET, "/v1/topics/orders/events?after=2&wait=30s")
        .header("accept", "application/x-ndjson");
    store.append_behind(0, "3");
    let mut lines = relay.call(lines.body(Body::empty()).unwrap()).await.into_body();
    let line = tokio::time::timeout(DEADLINE, lines.frame()).await.unwrap().unwrap().unwrap();
    assert!(line.data_ref().unwrap().starts_with(b"{"));
}
