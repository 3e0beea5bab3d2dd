//! Subscriptions, their dead letters and attempts.

use super::*;
use crate::{
    event::Version,
    settings::SubscriptionSettings,
    store::{
        Attempt, DeadReason, Exception, ExceptionKind, LastAnswer, NewDeadLetter, NewSubscription,
        Origin, Settlement, StartFrom,
    },
};

mod dry_run;
mod glance;
mod replays;
mod settings;
mod trial;

const PATH: &str = "/v1/subscriptions";

fn billing() -> Value {
    json!({
        "name": "billing", "topic": "orders", "from": "earliest",
        "webhook": {"url": "https://billing.example/hooks", "headers": {"x-team": "secret-value"}, "timeout": "5s"},
        "retry": {"schedule": ["1s", "2m"], "max_attempts": 3},
        "hold": {"after": 7}, "concurrency": 4,
    })
}

/// Gives up version 1, as the dispatcher would.
async fn bury(relay: &Relay) {
    let subscription = relay.store.subscription(&"billing".parse().unwrap()).await.unwrap();
    let position = &subscription.positions[0];
    let dead = NewDeadLetter {
        version: Version(1),
        reason: DeadReason::Attempts,
        attempts: 3,
        first: NOW,
        last: LastAnswer { status: Some(500), error: None },
    };
    let settlement = Settlement {
        position: position.id,
        fence: position.fence,
        reach: Version(2),
        dead: vec![dead],
        delivered: 1,
        now: NOW,
        ..Settlement::default()
    };
    relay.store.settle(vec![settlement]).await.remove(0).unwrap();
}

#[tokio::test]
async fn a_subscription_is_made_shown_changed_and_deleted() {
    let relay = Relay::new().await;
    relay.fill(1..=5).await;
    let made = relay.post(PATH, billing()).await;
    assert_eq!(made.status.as_u16(), 201, "{}", made.text());
    assert_eq!(made.header("location"), "/v1/subscriptions/billing");
    let made = made.json();
    let secret = made["secret"].as_str().unwrap();
    assert_eq!(secret.len(), "whsec_".len() + 44);
    assert!(secret.parse::<sinks::sign::Secret>().is_ok());
    assert_eq!(made["status"], "active");
    assert_eq!(made["origin"], "api");
    assert_eq!((&made["owed"], &made["positions"][0]["reach"]), (&json!(5), &json!(0)));
    assert_eq!(made["retry"]["schedule"], json!(["1s", "2m"]));
    assert_eq!(made["hold"]["after"], 7);
    assert_eq!(made["webhook"]["timeout"], "5s");

    let shown = relay.get("/v1/subscriptions/billing").await.ok();
    assert!(!shown.text().contains("whsec_") && !shown.text().contains("secret-value"));
    let shown = shown.json();
    assert_eq!(shown["health"], Value::Null);
    assert_eq!((&shown["oldest_seconds"], &shown["filtered"]), (&json!(0), &Value::Null));
    assert_eq!(shown["last_answers"], json!([]));
    relay.post(PATH, billing()).await.problem(409, "exists");

    let change = json!({"webhook": {"url": "https://other.example/"}, "concurrency": 1});
    let changed = relay.with_json(Method::PATCH, "/v1/subscriptions/billing", &change).await.ok();
    let changed = changed.json();
    assert_eq!(changed["webhook"]["url"], "https://other.example/");
    assert_eq!(
        (&changed["webhook"]["timeout"], &changed["hold"]["after"]),
        (&json!("5s"), &json!(7))
    );
    assert_eq!(changed["webhook"]["secrets"], 1);

    for (word, status) in [("pause", "paused"), ("resume", "active")] {
        let path = format!("/v1/subscriptions/billing/{word}");
        assert_eq!(relay.post(&path, json!({})).await.ok().json()["status"], status);
    }
    assert_eq!(relay.get(PATH).await.ok().json()["subscriptions"][0]["name"], "billing");
    let gone = typed(Method::DELETE, "/v1/subscriptions/billing").body(Body::empty()).unwrap();
    assert_eq!(relay.send(gone).await.status.as_u16(), 204);
    relay.get("/v1/subscriptions/billing").await.problem(404, "not_found");
    assert_eq!(relay.get(PATH).await.ok().json()["subscriptions"], json!([]));
}

/// One that fails among forty that were delivered is one, not all behind it.
#[tokio::test]
async fn what_is_owed_is_what_is_still_to_be_had() {
    let relay = Relay::new().await;
    relay.fill(1..=41).await;
    relay.post(PATH, billing()).await;
    let subscription = relay.store.subscription(&"billing".parse().unwrap()).await.unwrap();
    let position = &subscription.positions[0];
    let exception = |version, kind| Exception {
        version: Version(version),
        kind,
        attempts: 1,
        tries: 1,
        due: NOW,
        first: NOW,
        successes: 0,
        stands_out: true,
        last: LastAnswer::default(),
        lane: None,
    };
    let settlement = Settlement {
        position: position.id,
        fence: position.fence,
        reach: Version(40),
        put: vec![exception(1, ExceptionKind::Retry)],
        delivered: 39,
        now: NOW,
        ..Settlement::default()
    };
    let owed = async || relay.get("/v1/subscriptions/billing").await.ok().json()["owed"].clone();
    relay.store.settle(vec![settlement.clone()]).await.remove(0).unwrap();
    assert_eq!(owed().await, 2, "the one that fails, and the one above the reach");
    // A key that stands still has its dead letter; what is parked behind it is owed.
    let put = vec![exception(1, ExceptionKind::Stopped), exception(2, ExceptionKind::Parked)];
    let settlement = Settlement { reach: Version(41), put, ..settlement };
    relay.store.settle(vec![settlement]).await.remove(0).unwrap();
    assert_eq!(owed().await, 1);
}

#[tokio::test]
async fn a_subscription_begins_where_it_says() {
    let relay = Relay::new().await;
    relay.fill(1..=5).await;
    let epoch = relay.epoch().await;
    let places = [
        (json!("latest"), 5),
        (json!("earliest"), 0),
        (json!(3), 2),
        (json!("3"), 2),
        (json!(6), 5),
        (json!(format!("{epoch}-4")), 3),
        (json!("2026-01-31T12:00:00Z"), 0),
        (Value::Null, 5),
    ];
    for (index, (from, reach)) in places.into_iter().enumerate() {
        let mut body = billing();
        body["name"] = json!(format!("s{index}"));
        body["from"] = from.clone();
        let made = relay.post(PATH, body).await.ok().json();
        assert_eq!(made["positions"][0]["reach"], reach, "{from}");
    }
    let mut ahead = billing();
    ahead["from"] = json!(7);
    relay.post(PATH, ahead).await.problem(409, "history_changed");
}

#[tokio::test]
async fn rewinding_moves_positions() {
    let relay = Relay::new().await;
    relay.fill(1..=5).await;
    relay.post(PATH, billing()).await.ok();
    let epoch = relay.epoch().await;
    let path = "/v1/subscriptions/billing/rewind";
    for (body, reach) in [
        (json!({"to": "latest"}), 5),
        (json!({"to": 2}), 2),
        (json!({"from": 2}), 1),
        (json!({"to": format!("{epoch}-3"), "topic": "orders"}), 3),
        (json!({"from": "earliest"}), 0),
        (json!({"to": "2026-02-01T00:00:00Z"}), 5),
        (json!({"to": 0}), 0),
    ] {
        let moved = relay.post(path, body.clone()).await.ok().json();
        assert_eq!(moved["positions"][0]["reach"], reach, "{body}");
    }
    relay.post(path, json!({"to": 6})).await.problem(409, "history_changed");
    for (body, field) in [
        (json!({}), "to"),
        (json!({"to": 1, "from": 1}), "to"),
        (json!({"to": 1, "topic": "other"}), "topic"),
        (json!({"to": "newest"}), "to"),
    ] {
        assert_eq!(relay.post(path, body).await.problem(422, "invalid")["field"], field);
    }
}

#[tokio::test]
async fn what_the_file_says_is_read_only() {
    let relay = Relay::new().await;
    let settings = SubscriptionSettings::new("https://x.example/".into(), vec!["whsec_x".into()]);
    let new = NewSubscription {
        name: "billing".parse().unwrap(),
        origin: Origin::File,
        topics: vec!["orders".parse().unwrap()],
        from: StartFrom::Earliest,
        settings,
    };
    relay.store.put_subscription(&new, NOW).await.unwrap();
    let path = "/v1/subscriptions/billing";
    let changed = relay.with_json(Method::PATCH, path, &json!({"concurrency": 1})).await;
    changed.problem(409, "read_only");
    let gone = typed(Method::DELETE, path).body(Body::empty()).unwrap();
    relay.send(gone).await.problem(409, "read_only");
    for word in ["pause", "resume"] {
        relay.post(&format!("{path}/{word}"), json!({})).await.ok();
    }
    relay.post(&format!("{path}/rewind"), json!({"to": "latest"})).await.ok();
    let rotated = relay.post(&format!("{path}/secrets/rotate"), json!({})).await;
    let told = rotated.problem(409, "read_only")["detail"].as_str().unwrap().to_owned();
    for part in ["change it there", "milkrun reload", "secrets: [{ env: NEW }, { env: OLD }]"] {
        assert!(told.contains(part), "{told}");
    }
    relay.post(&format!("{path}/dead-letters/redrive"), json!({"all": true})).await.ok();
}

#[tokio::test]
async fn dead_letters_are_listed_redriven_and_deleted() {
    let relay = Relay::new().await;
    relay.fill(1..=2).await;
    relay.post(PATH, billing()).await.ok();
    bury(&relay).await;
    let path = "/v1/subscriptions/billing/dead-letters";
    let list = relay.get(path).await.ok().json();
    let letter = &list["dead_letters"][0];
    assert_eq!(
        (&letter["from"], &letter["to"], &letter["count"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!((&letter["reason"], &letter["last"]["status"]), (&json!("attempts"), &json!(500)));
    assert_eq!(
        (&letter["event"]["version"], &letter["event"]["data"]["n"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(list["next"], Value::Null);
    assert_eq!(
        relay.get("/v1/subscriptions/billing").await.ok().json()["positions"][0]["dead_letters"],
        1
    );

    let redrive = format!("{path}/redrive");
    relay.post(&redrive, json!({})).await.problem(422, "invalid");
    relay.post(&redrive, json!({"ids": [1], "all": true})).await.problem(422, "invalid");
    let id = letter["id"].as_i64().unwrap();
    let redriven = relay.post(&redrive, json!({"ids": [id]})).await.ok().json();
    assert_eq!(redriven, json!({"redriven": 1}));
    assert_eq!(relay.get(path).await.ok().json()["dead_letters"], json!([]));

    bury(&relay).await;
    let delete =
        |query: &str| typed(Method::DELETE, &format!("{path}{query}")).body(Body::empty()).unwrap();
    relay.send(delete("")).await.problem(422, "invalid");
    relay.send(delete("?ids=x")).await.problem(400, "bad_parameter");
    assert_eq!(relay.send(delete("?all=true")).await.ok().json(), json!({"deleted": 1}));
    relay.get("/v1/subscriptions/none/dead-letters").await.problem(404, "not_found");
}

#[tokio::test]
async fn dead_letters_are_chosen_by_what_they_are() {
    let relay = Relay::new().await;
    relay.fill(1..=2).await;
    let mut ordered = billing();
    ordered["order"] = json!("key");
    relay.post(PATH, ordered).await.ok();
    bury(&relay).await;
    let path = "/v1/subscriptions/billing/dead-letters";
    for (query, count) in [
        ("reason=attempts&status=500&topic=orders&from=1&to=1", 1),
        ("reason=age", 0),
        ("from=2", 0),
        ("since=2026-01-31T12:00:00Z", 1),
        ("since=2026-01-31T12:00:01Z", 0),
    ] {
        let found = relay.get(&format!("{path}?{query}")).await.ok().json();
        assert_eq!(found["dead_letters"].as_array().unwrap().len(), count, "{query}");
    }
    for bad in ["reason=bored", "status=99", "from=x", "since=now"] {
        relay.get(&format!("{path}?{bad}")).await.problem(400, "bad_parameter");
    }
    let redrive = format!("{path}/redrive");
    for (bad, field) in [
        (json!({"ids": [1], "reason": "age"}), "ids"),
        (json!({"all": true, "from": 1}), "ids"),
        (json!({"rate": "10/s"}), "ids"),
        (json!({"reason": "bored"}), "reason"),
        (json!({"all": true, "rate": "fast"}), "rate"),
        (json!({"since": "now"}), "since"),
    ] {
        assert_eq!(relay.post(&redrive, bad).await.problem(422, "invalid")["field"], field);
    }
    let none = relay.post(&redrive, json!({"reason": "age"})).await.ok().json();
    assert_eq!(none, json!({"redriven": 0}));
    let one = relay.post(&redrive, json!({"reason": "attempts", "rate": "10/s"})).await.ok().json();
    assert_eq!(one, json!({"redriven": 1, "out_of_order": true}));
    bury(&relay).await;
    let delete = typed(Method::DELETE, &format!("{path}?status=500"));
    let deleted = relay.send(delete.body(Body::empty()).unwrap()).await.ok().json();
    assert_eq!(deleted, json!({"deleted": 1}));
}

#[tokio::test]
async fn attempts_carry_names() {
    let relay = Relay::new().await;
    relay.fill(1..=1).await;
    relay.post(PATH, billing()).await.ok();
    let subscription = relay.store.subscription(&"billing".parse().unwrap()).await.unwrap().id;
    let topic = relay.store.topic(&"orders".parse().unwrap()).await.unwrap().id;
    let attempt = |attempt, status, verdict: &str| Attempt {
        id: 0,
        subscription,
        topic,
        version: Version(1),
        attempt,
        started: NOW,
        duration_ms: 12,
        status: Some(status),
        answer: b"no \xff".to_vec(),
        error: None,
        verdict: verdict.to_owned(),
    };
    relay.store.trace(vec![attempt(1, 500, "retry"), attempt(2, 200, "delivered")]);
    let path = "/v1/subscriptions/billing/attempts";
    // Records are written behind the deliveries, so they are looked for until they are there.
    let all = tokio::time::timeout(DEADLINE, async {
        loop {
            let all = relay.get(path).await.ok().json();
            if all["attempts"].as_array().unwrap().len() == 2 {
                break all;
            }
            tokio::task::yield_now().await;
        }
    });
    let all = all.await.unwrap();
    assert_eq!(all["attempts"][0]["subscription"], "billing");
    assert_eq!(all["attempts"][0]["topic"], "orders");
    assert_eq!(all["attempts"][0]["answer"], "no \u{fffd}");
    for (query, count) in
        [("failed=true", 1), ("status=200", 1), ("limit=1", 1), ("since=2026-02-01T00:00:00Z", 0)]
    {
        let some = relay.get(&format!("{path}?{query}")).await.ok().json();
        assert_eq!(some["attempts"].as_array().unwrap().len(), count, "{query}");
    }
    let newest = relay.get(&format!("{path}?limit=1")).await.ok();
    let next = newest.json()["next"].clone();
    assert!(newest.header("link").contains(&format!("after={next}")), "{next}");
    let older = relay.get(&format!("{path}?after={next}")).await.ok().json();
    assert_eq!((&older["attempts"][0]["attempt"], &older["next"]), (&json!(1), &Value::Null));
    let trace = relay.get("/v1/topics/orders/events/1/trace").await.ok().json();
    assert_eq!(trace["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(trace["subscriptions"][0]["subscription"], "billing");
    let shown = relay.get("/v1/subscriptions/billing").await.ok().json();
    assert_eq!(shown["last_answers"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_full_position_says_so() {
    let relay = Relay::new().await;
    relay.fill(1..=2).await;
    let mut body = billing();
    body["max_exceptions"] = json!(2);
    relay.post(PATH, body).await.ok();
    let position =
        relay.store.subscription(&"billing".parse().unwrap()).await.unwrap().positions.remove(0);
    for (version, full) in [(1, false), (2, true)] {
        let exception = Exception {
            version: Version(version),
            kind: ExceptionKind::Retry,
            attempts: 1,
            tries: 1,
            due: NOW,
            first: NOW,
            successes: 0,
            stands_out: false,
            last: LastAnswer::default(),
            lane: None,
        };
        let settlement = Settlement {
            position: position.id,
            fence: position.fence,
            reach: Version(version),
            put: vec![exception],
            now: NOW,
            ..Settlement::default()
        };
        relay.store.settle(vec![settlement]).await.remove(0).unwrap();
        let shown = relay.get("/v1/subscriptions/billing").await.ok().json();
        assert_eq!(shown["positions"][0]["exceptions"], version);
        assert_eq!(shown["positions"][0]["exceptions_full"], full);
        assert_eq!(shown["exceptions_full"], full);
    }
}
