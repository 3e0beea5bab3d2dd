//! Lists over all subscriptions have only what a key may see.

use super::*;
use crate::{
    event::Version,
    store::{Attempt, DeadReason, LastAnswer, NewDeadLetter, Settlement},
};

/// Gives versions 1 and 2 of `orders` up, each after an attempt that failed.
async fn fail(relay: &Relay, name: &str) {
    let subscription = relay.store.subscription(&name.parse().unwrap()).await.unwrap();
    let topic = relay.store.topic(&"orders".parse().unwrap()).await.unwrap().id;
    let position = &subscription.positions[0];
    let dead = |version| NewDeadLetter {
        version: Version(version),
        reason: DeadReason::Attempts,
        attempts: 1,
        first: NOW,
        last: LastAnswer { status: Some(500), error: None },
    };
    let settlement = Settlement {
        topic,
        position: position.id,
        fence: position.fence,
        reach: Version(2),
        dead: vec![dead(1), dead(2)],
        now: NOW,
        ..Settlement::default()
    };
    relay.store.settle(vec![settlement]).await.remove(0).unwrap();
    let attempt = |version| Attempt {
        id: 0,
        subscription: subscription.id,
        topic,
        version: Version(version),
        attempt: 1,
        started: NOW,
        duration_ms: 12,
        status: Some(500),
        answer: Vec::new(),
        error: None,
        verdict: "dead".to_owned(),
    };
    relay.store.trace(vec![attempt(1), attempt(2)]);
}

/// The subscriptions of a list, page after page of one.
async fn owners(guarded: &Guarded, kind: Kind, path: &str, field: &str) -> Vec<String> {
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = format!("{path}?limit=1{after}");
        let page = guarded.call(kind, &Method::GET, &page, json!({})).await.ok().json();
        let items = page[field].as_array().unwrap();
        found.extend(items.iter().map(|item| item["subscription"].as_str().unwrap().to_owned()));
        if page["next"].is_null() {
            return found;
        }
        after = format!("&after={}", page["next"]);
    }
}

#[tokio::test]
async fn lists_over_all_subscriptions_have_those_of_the_key() {
    let guarded = Guarded::new().await;
    let store = &guarded.relay.store;
    let mut theirs = subscription("theirs", "orders");
    theirs.settings.owner = Some("shipping".parse().unwrap());
    for new in [subscription("own", "orders"), theirs] {
        store.put_subscription(&new, NOW).await.unwrap();
        fail(&guarded.relay, new.name.as_str()).await;
    }
    for (path, field) in [("/v1/attempts", "attempts"), ("/v1/dead-letters", "dead_letters")] {
        // Attempts are written behind the deliveries.
        let all = tokio::time::timeout(DEADLINE, async {
            loop {
                let all = owners(&guarded, Kind::Admin, path, field).await;
                if all.len() == 4 {
                    break all;
                }
                tokio::task::yield_now().await;
            }
        });
        let mut all = all.await.unwrap();
        all.sort_unstable();
        assert_eq!(all, ["own", "own", "theirs", "theirs"], "{path}");
        let own = owners(&guarded, Kind::One(Scope::Subscribe), path, field).await;
        assert_eq!(own, ["own", "own"], "{path}");
        let theirs = owners(&guarded, Kind::OtherOwner, path, field).await;
        assert_eq!(theirs, ["theirs", "theirs"], "{path}");
        assert!(owners(&guarded, Kind::OtherTopic, path, field).await.is_empty(), "{path}");
    }
}
