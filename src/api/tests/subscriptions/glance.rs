//! How a subscription is doing, at a glance: in the list as alone.

use super::*;
use crate::store::SubscriptionSteer;

async fn both(relay: &Relay) -> [Value; 2] {
    let list = relay.get(PATH).await.ok().json();
    [list["subscriptions"][0].clone(), relay.get(&format!("{PATH}/billing")).await.ok().json()]
}

#[tokio::test]
async fn what_has_waited_is_told_in_seconds() {
    let relay = Relay::new().await;
    relay.fill(1..=5).await;
    relay.post(PATH, billing()).await.ok();
    bury(&relay).await;
    relay.clock.advance(Duration::from_secs(90));
    for shown in both(&relay).await {
        assert_eq!((&shown["oldest_seconds"], &shown["dead_letters"]), (&json!(90), &json!(1)));
    }
    let name = "billing".parse().unwrap();
    relay.store.steer_subscription(&name, SubscriptionSteer::Remove, NOW).await.unwrap();
    let shown = relay.get(&format!("{PATH}/billing")).await.ok().json();
    assert_eq!(shown["oldest_seconds"], 0, "nobody serves it");
}

#[tokio::test]
async fn a_hold_says_why() {
    let relay = Relay::new().await;
    relay.post(PATH, billing()).await.ok();
    let id = relay.store.subscription(&"billing".parse().unwrap()).await.unwrap().id;
    for (cause, code) in [("", "failing"), (r#","cause":"asked_to_wait""#, "asked_to_wait")] {
        let hold = format!(
            r#"{{"state":"holding","hold":{{"since_us":1,"interval_ms":1,"next_trial_us":2,"turn":"new","last_position":1{cause}}}}}"#
        );
        relay.store.save_health(id, 0, hold).await.unwrap();
        for shown in both(&relay).await {
            let reason = &shown["health"]["reason"];
            assert_eq!(reason["code"], code, "{shown}");
            assert!(!reason["text"].as_str().unwrap().is_empty());
        }
    }
}
