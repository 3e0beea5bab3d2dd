//! Files of a relay that are taken away, replaced or cut, while it runs and after a kill.

use std::fs;

use serde_json::json;

use crate::support::{Place, Reply, eventually};

async fn publish_one(place: &Place) -> Reply {
    let event = json!({ "specversion": "1.0", "id": "more", "source": "/s", "type": "t" });
    let api = place.api();
    api.send(api.event("numbers", event.to_string())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_taken_away_acknowledges_nothing() {
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    relay.api().publish("numbers", 1, 10).await;
    fs::rename(place.store(), place.path("aside")).unwrap();
    let problem = publish_one(&place).await.problem(503, "store_lost");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("milkrun.db: it was removed or renamed"), "{detail}");
    relay.api().get("/readyz").await.problem(503, "store_lost");
    assert!(place.printed().contains("nothing more is acknowledged"), "not logged");
    fs::rename(place.path("aside"), place.store()).unwrap();
    publish_one(&place).await.ok();
    assert_eq!(relay.api().head("numbers").await, 11);
    assert!(relay.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_cut_after_a_kill_is_told_and_begins_an_epoch() {
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    let epochs = async || {
        let topic = place.api().get("/v1/topics/numbers").await.ok();
        topic["epochs"].as_array().map_or(0, Vec::len)
    };
    for number in 1..=20 {
        relay.api().publish("numbers", number, number).await;
    }
    relay.kill().await;
    let log = fs::File::options().write(true).open(place.path("milkrun.db-wal")).unwrap();
    log.set_len(log.metadata().unwrap().len() / 2).unwrap();
    let relay = place.start().await;
    assert!(place.printed().contains("were given before and are lost"), "not logged");
    assert_eq!((relay.api().head("numbers").await, epochs().await), (20, 2));
    let told = eventually("a notice", || async {
        let page = place.api().get("/v1/topics/milkrun.notices/events").await.ok();
        let events = page["events"].as_array().cloned().unwrap_or_default();
        let is_of_topic = |event: &&serde_json::Value| {
            event["type"] == "store.damaged" && event["subject"] == "numbers"
        };
        events.iter().find(is_of_topic).cloned()
    });
    let told = told.await;
    assert_eq!(
        (&told["data"]["reason"], &told["data"]["to"]),
        (&json!("history_lost"), &json!(20))
    );
    relay.api().publish("numbers", 21, 21).await;
    assert_eq!(relay.api().head("numbers").await, 21);
    assert!(relay.stop().await.success());
}
