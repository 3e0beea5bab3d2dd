//! What needs attention, and that it goes when all is well.

use super::*;
use crate::{
    event::Version,
    store::{
        DeadReason, Exception, ExceptionKind, LastAnswer, NewDeadLetter, Settlement,
        SubscriptionSteer,
    },
};

/// The lines as `code subject`.
async fn lines(relay: &Relay) -> Vec<String> {
    let list = relay.get("/v1/attention").await.ok().json();
    let lines = list["attention"].as_array().unwrap();
    assert_eq!(list["total"], lines.len());
    for line in lines {
        let text = |field: &str| line[field].as_str().unwrap_or_default();
        assert!(!text("sentence").is_empty() && text("remedy").starts_with("milkrun "), "{line}");
    }
    let short = |line: &Value| {
        let subject = line["subject"]["name"].as_str().unwrap_or("relay");
        format!("{} {subject}", line["code"].as_str().unwrap())
    };
    lines.iter().map(short).collect()
}

async fn subscribe(relay: &Relay) {
    let body = json!({
        "name": "billing", "topic": "orders", "from": "earliest", "max_exceptions": 1,
        "webhook": {"url": "https://billing.example/hooks"},
    });
    relay.post("/v1/subscriptions", body).await.ok();
}

/// Saves a delivery of the subscription, as the dispatcher would.
async fn settle(relay: &Relay, change: impl FnOnce(&mut Settlement)) {
    let subscription = relay.store.subscription(&"billing".parse().unwrap()).await.unwrap();
    let position = &subscription.positions[0];
    let mut settlement = Settlement {
        topic: relay.store.topic(&"orders".parse().unwrap()).await.unwrap().id,
        position: position.id,
        fence: position.fence,
        reach: Version(5),
        now: relay.clock.now(),
        ..Settlement::default()
    };
    change(&mut settlement);
    relay.store.settle(vec![settlement]).await.remove(0).unwrap();
}

#[tokio::test]
async fn nothing_needs_attention_when_all_is_well() {
    let relay = Relay::new().await;
    relay.fill(1..=5).await;
    subscribe(&relay).await;
    relay.clock.advance(Duration::from_mins(10));
    assert!(lines(&relay).await.is_empty(), "10 minutes are not too long");
    relay.clock.advance(Duration::from_secs(1));
    assert_eq!(lines(&relay).await, ["behind billing"]);
    settle(&relay, |_| ()).await;
    assert!(lines(&relay).await.is_empty());
}

#[tokio::test]
async fn what_a_subscription_needs_is_told_with_its_remedy() {
    let relay = Relay::new().await;
    relay.fill(1..=5).await;
    subscribe(&relay).await;
    let exception = Exception {
        version: Version(1),
        kind: ExceptionKind::Stopped,
        attempts: 1,
        tries: 1,
        due: NOW,
        first: NOW,
        successes: 0,
        stands_out: false,
        last: LastAnswer::default(),
        lane: Some(1),
    };
    let dead = NewDeadLetter {
        version: Version(1),
        reason: DeadReason::Refused,
        attempts: 1,
        first: NOW,
        last: LastAnswer::default(),
    };
    settle(&relay, |settlement| {
        settlement.put = vec![exception];
        settlement.dead = vec![dead];
    })
    .await;
    let found = lines(&relay).await;
    assert_eq!(
        found,
        ["exceptions_full billing", "key_stopped billing", "dead_letters_added billing"],
        "pages come first"
    );
    let name = "billing".parse().unwrap();
    let gone_up = SubscriptionSteer::Disable {
        id: relay.store.subscription(&name).await.unwrap().id,
        reason: "it said 410".into(),
    };
    relay.store.steer_subscription(&name, gone_up, NOW).await.unwrap();
    relay.clock.advance(Duration::from_mins(61));
    let found = lines(&relay).await;
    let expected = ["exceptions_full billing", "disabled billing", "key_stopped billing"];
    assert_eq!(found, expected, "an hour later the dead letter is no news");
}

#[tokio::test]
async fn a_topic_near_its_cap_and_a_hold_are_told() {
    let relay = Relay::new().await;
    relay.fill(1..=5).await;
    let topic: Topic = "orders".parse().unwrap();
    let bytes = relay.store.topic(&topic).await.unwrap().bytes;
    for (max_bytes, is_near) in [(bytes * 5 / 4 + 1, false), (bytes * 10 / 9, true)] {
        let settings = TopicSettings { max_bytes: Some(max_bytes), ..TopicSettings::default() };
        relay.store.put_topic(&topic, &settings, NOW).await.unwrap();
        assert_eq!(!lines(&relay).await.is_empty(), is_near, "{max_bytes}");
    }
    subscribe(&relay).await;
    let id = relay.store.subscription(&"billing".parse().unwrap()).await.unwrap().id;
    let hold = r#"{"state":"holding","hold":{"since_us":1,"interval_ms":1,"next_trial_us":2,"turn":"new","last_position":1}}"#;
    relay.store.save_health(id, 0, hold.into()).await.unwrap();
    relay.clock.advance(Duration::from_hours(1));
    assert_eq!(lines(&relay).await, ["topic_near_cap orders", "on_hold billing"]);
    let one = relay.get("/v1/attention?limit=1").await.ok().json();
    assert_eq!((one["attention"].as_array().unwrap().len(), &one["total"]), (1, &json!(2)));
}
