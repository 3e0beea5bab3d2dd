//! Readers pass over versions that are lost, wherever a page begins.

use super::*;

const EVENTS: &str = "/v1/topics/orders/events";

/// A topic whose versions 11 to 15, and 19 and 20 at the head, are lost and known to be.
async fn relay() -> Relay {
    let mut relay = Relay::new().await;
    relay.fill(1..=20).await;
    relay.store.close().await;
    relay
        .folder
        .run(
            "DELETE FROM events WHERE slot & 255 BETWEEN 11 AND 15 OR slot & 255 > 18; \
             INSERT INTO holes (topic, first, last) SELECT id, 11, 15 FROM topics \
             WHERE name = 'orders'; \
             INSERT INTO holes (topic, first, last) SELECT id, 19, 20 FROM topics \
             WHERE name = 'orders'",
        )
        .await;
    relay.store = relay.folder.open().await;
    relay.serve(relay.store.clone(), Limits::default());
    relay
}

#[tokio::test]
async fn readers_pass_over_what_is_lost_wherever_a_page_begins() {
    let relay = relay().await;
    let kept: Vec<u64> = (1..=10).chain(16..=18).collect();
    for limit in [1, 5, 10, 11, 13, 100] {
        let (mut read, mut after) = (Vec::new(), "0".to_owned());
        loop {
            let path = format!("{EVENTS}?limit={limit}&after={after}");
            let page = relay.get(&path).await.ok().json();
            read.extend(versions(&page));
            let next = page["next"].as_str().unwrap().to_owned();
            if next == after || read.len() > kept.len() {
                break;
            }
            after = next;
        }
        assert_eq!(read, kept, "{limit}");
        assert!(after.ends_with("-20"), "{limit}: {after}");
    }
    for after in 10..=15 {
        for path in [format!("{EVENTS}?after={after}"), format!("{EVENTS}?after={after}&wait=1s")] {
            let page = relay.get(&path).await.ok().json();
            assert_eq!(versions(&page), [16, 17, 18], "{path}");
        }
        let lines = relay.accept(&format!("{EVENTS}?after={after}"), "application/x-ndjson").await;
        assert_eq!(lines.ok().text().lines().count(), 3, "{after}");
    }
    let cursor = format!("{}-10", relay.epoch().await);
    let mut blocks = Blocks::open(&relay, EVENTS, Some(&cursor)).await;
    assert_eq!(blocks.event().await.1["version"], 16);
    let page = relay.get(&format!("{EVENTS}?at=12&up_to=17")).await.ok().json();
    assert_eq!(versions(&page), [16, 17]);
    relay.get(&format!("{EVENTS}/12")).await.problem(410, "gone");
    // What comes next is read from the head on, as ever.
    relay.fill(21..=21).await;
    let page = relay.get(&format!("{EVENTS}?after=18")).await.ok().json();
    assert_eq!(versions(&page), [21]);
}

#[tokio::test]
async fn what_is_lost_is_not_counted_and_not_the_newest() {
    let relay = relay().await;
    let topic = relay.get("/v1/topics/orders").await.ok().json();
    assert_eq!((&topic["count"], &topic["head"]), (&json!(13), &json!(20)));
    relay
        .post(
            "/v1/subscriptions",
            json!({"name": "billing", "topics": ["orders"], "webhook": {"url": "https://billing.example/hooks"}}),
        )
        .await
        .ok();
    let test = "/v1/subscriptions/billing/test";
    let shown = relay.post(test, json!({})).await.ok().json();
    assert_eq!(shown["version"], 18);
    let lost = relay.post(test, json!({"version": 12})).await.problem(410, "gone");
    assert!(lost["detail"].as_str().unwrap().contains("version 12 is lost"), "{lost}");
}
