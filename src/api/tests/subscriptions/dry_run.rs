//! What a call would do, and that it does nothing when that is all that was asked.

use super::*;

const ONE: &str = "/v1/subscriptions/billing";

/// A subscription that stands at version 2 of 5, with a dead letter and an event that is tried again.
async fn standing() -> Relay {
    let relay = Relay::new().await;
    relay.fill(1..=5).await;
    relay.post(PATH, billing()).await.ok();
    bury(&relay).await;
    relay
}

/// An event that waits until `due_us`.
fn waits(version: u64, kind: ExceptionKind, due_us: i64) -> Exception {
    Exception {
        version: Version(version),
        kind,
        attempts: 1,
        tries: 1,
        due: Micros(due_us),
        first: NOW,
        successes: 0,
        stands_out: false,
        last: LastAnswer::default(),
        lane: None,
    }
}

/// Saves where the subscription stands, as the dispatcher would.
async fn save(relay: &Relay, reach: u64, change: impl FnOnce(&mut Settlement)) {
    let subscription = relay.store.subscription(&"billing".parse().unwrap()).await.unwrap();
    let (position, fence) = (subscription.positions[0].id, subscription.positions[0].fence);
    let reach = Version(reach);
    let mut saved = Settlement { position, fence, reach, now: NOW, ..Settlement::default() };
    change(&mut saved);
    relay.store.settle(vec![saved]).await.remove(0).unwrap();
}

async fn shown(relay: &Relay) -> Value {
    relay.get(ONE).await.ok().json()
}

#[tokio::test]
async fn a_move_is_told_and_not_made() {
    let relay = standing().await;
    let before = shown(&relay).await;
    for (call, body, moves) in [
        ("rewind", json!({"from": 2}), json!([2, 4, 1, 0])),
        ("rewind", json!({"to": "earliest"}), json!([1, 5, 2, 0])),
        ("rewind", json!({"from": 5}), json!([5, 1, 0, 2])),
        ("rewind", json!({"from": "latest"}), json!([6, 0, 0, 3])),
        ("resume", json!({"from": 3}), json!([3, 3, 0, 0])),
        ("resume", json!({}), json!([3, 3, 0, 0])),
    ] {
        let path = format!("{ONE}/{call}?dry_run=true");
        let told = relay.post(&path, body.clone()).await.ok().json();
        let at = &told["moves"][0];
        assert_eq!(json!([at["from"], at["events"], at["again"], at["left_out"]]), moves, "{body}");
        assert_eq!((&told["dry_run"], &at["to"]), (&json!(true), &json!(5)));
        assert_eq!(shown(&relay).await, before, "{call} {body}");
    }
    let wrong = relay.post(&format!("{ONE}/rewind?dry_run=true"), json!({"from": 99})).await;
    wrong.problem(409, "history_changed");
    let path = format!("{ONE}/rewind?dry_run=maybe");
    relay.post(&path, json!({"from": 1})).await.problem(400, "bad_parameter");
    // Without it, it is done.
    let moved = relay.post(&format!("{ONE}/rewind"), json!({"from": 2})).await.ok().json();
    assert_eq!((&moved["positions"][0]["reach"], &moved["dry_run"]), (&json!(1), &Value::Null));
}

#[tokio::test]
async fn a_replay_is_told_and_not_started() {
    let relay = standing().await;
    let path = format!("{ONE}/replays?dry_run=true");
    let plan = relay.post(&path, json!({"from": 2, "to": 4})).await.ok();
    assert_eq!(plan.status, 200);
    let expected = json!({"dry_run": true, "topic": "orders", "from": 2, "to": 4, "events": 3});
    assert_eq!(plan.json(), expected);
    let list = relay.get(&format!("{ONE}/replays")).await.ok().json();
    assert_eq!(list["replays"], json!([]));
    relay.post(&path, json!({"from": 4, "to": 2})).await.problem(422, "invalid");
}

#[tokio::test]
async fn as_many_dead_letters_are_told_as_are_redriven_and_deleted() {
    let relay = standing().await;
    let redrive = format!("{ONE}/dead-letters/redrive");
    for (body, count) in [
        (json!({"all": true}), 1),
        (json!({"status": 500}), 1),
        (json!({"status": 503}), 0),
        (json!({"ids": [99]}), 0),
    ] {
        let told = relay.post(&format!("{redrive}?dry_run=true"), body.clone()).await.ok().json();
        assert_eq!((&told["redriven"], &told["dry_run"]), (&json!(count), &json!(true)), "{body}");
    }
    let delete = |query: &str| {
        let path = format!("{ONE}/dead-letters?{query}");
        typed(Method::DELETE, &path).body(Body::from("{\"all\": true}")).unwrap()
    };
    let told = json!({"deleted": 1, "dry_run": true});
    assert_eq!(relay.send(delete("dry_run=true")).await.ok().json(), told);
    let query = "status=503&dry_run=true";
    assert_eq!(relay.send(delete(query)).await.ok().json()["deleted"], 0);
    let redriven = relay.post(&redrive, json!({"all": true})).await.ok().json();
    assert_eq!(redriven, json!({"redriven": 1}));
}

#[tokio::test]
async fn a_redrive_tells_no_more_than_there_is_room_for() {
    let relay = Relay::new().await;
    relay.fill(1..=5).await;
    let mut full = billing();
    full["max_exceptions"] = json!(1);
    relay.post(PATH, full).await.ok();
    bury(&relay).await;
    let one = Exception {
        last: LastAnswer { status: Some(503), error: None },
        ..waits(2, ExceptionKind::Retry, NOW.0)
    };
    save(&relay, 2, |saved| saved.put = vec![one]).await;
    let redrive = format!("{ONE}/dead-letters/redrive");
    let told = relay.post(&format!("{redrive}?dry_run=true"), json!({"all": true})).await;
    assert_eq!(told.ok().json()["redriven"], 0);
    let done = relay.post(&redrive, json!({"all": true})).await.ok().json();
    assert_eq!(done, json!({"redriven": 0}));
    let waiting = relay.get(&format!("{ONE}/waiting")).await.ok().json();
    let one = &waiting["waiting"][0];
    assert_eq!(
        (&one["version"], &one["state"], &one["attempts"]),
        (&json!(2), &json!("retry"), &json!(1))
    );
    assert_eq!((&one["last"]["status"], &one["due"]), (&json!(503), &json!(NOW.to_string())));
    assert_eq!((&waiting["total"], &waiting["not_begun"]), (&json!(1), &json!(3)));
}

#[tokio::test]
async fn what_goes_with_a_subscription_is_told_before_it_is_deleted() {
    let relay = standing().await;
    let delete =
        |query: &str| typed(Method::DELETE, &format!("{ONE}{query}")).body(Body::empty()).unwrap();
    let told = relay.send(delete("?dry_run=true")).await.ok().json();
    assert_eq!(told, json!({"dry_run": true, "owed": 3, "dead_letters": 1}));
    relay.get(ONE).await.ok();
    assert_eq!(relay.send(delete("")).await.status, 204);
}

#[tokio::test]
async fn what_waits_is_listed_page_by_page() {
    let relay = Relay::new().await;
    relay.fill(1..=9).await;
    relay.post(PATH, billing()).await.ok();
    let put = vec![
        waits(1, ExceptionKind::Retry, 30),
        waits(2, ExceptionKind::Parked, 20),
        waits(3, ExceptionKind::Retry, 20),
        waits(4, ExceptionKind::Retry, 10),
    ];
    save(&relay, 5, |saved| (saved.open, saved.put) = (vec![Version(5)], put)).await;
    let (mut versions, mut path) = (Vec::new(), format!("{ONE}/waiting?limit=1"));
    loop {
        let page = relay.get(&path).await.ok().json();
        let one = &page["waiting"][0];
        assert_eq!(one["due"].is_null(), one["state"] == "parked", "{one}");
        versions.push(one["version"].as_u64().unwrap());
        assert_eq!(json!([page["total"], page["in_flight"], page["not_begun"]]), json!([4, 1, 4]));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("{ONE}/waiting?limit=1&after={next}");
    }
    assert_eq!(versions, [4, 2, 3, 1]);
    relay.get(&format!("{ONE}/waiting?after=x")).await.problem(400, "bad_parameter");
    relay.get("/v1/subscriptions/none/waiting").await.problem(404, "not_found");
}
