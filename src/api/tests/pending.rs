//! Events that wait: published, listed, changed, committed, cancelled.

use super::*;
use crate::pending::Releaser;

const PATH: &str = "/v1/topics/orders/pending";

fn due(id: u32, deliverat: &str) -> Value {
    let mut event = event(id);
    event["deliverat"] = json!(deliverat);
    event
}

async fn publish(relay: &Relay, query: &str, events: &[Value]) -> Reply {
    let path = format!("/v1/topics/orders/events{query}");
    let request = request(Method::POST, &path).header("content-type", crate::wire::BATCH);
    relay.send(request.body(Body::from(json!(events).to_string())).unwrap()).await
}

/// Moves into the log what is due, as the janitor does.
async fn release(relay: &Relay) {
    let clock = Clock::Manual(relay.clock.clone());
    Releaser::new(relay.store.clone(), clock, Metrics::new()).step().await.unwrap();
}

async fn without_body(relay: &Relay, method: Method, path: &str) -> Reply {
    let request = typed(method, path);
    relay.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn an_event_waits_until_it_is_due() {
    let relay = Relay::new().await;
    let events = [due(1, "2026-01-31T12:01:00Z"), event(2), due(3, "2026-01-31T11:00:00+01:00")];
    let answer = publish(&relay, "", &events).await.ok().json();
    let id = answer["events"][0]["pending"].as_i64().unwrap();
    assert_eq!(answer["events"][0], json!({"pending": id, "duplicate": false}));
    assert_eq!(answer["events"][1]["version"], 1);
    assert_eq!(answer["events"][2]["version"], 2, "an hour late is now");
    assert_eq!(versions(&relay.get("/v1/topics/orders/events").await.ok().json()), [1, 2]);
    relay.get("/v1/topics/orders/events/3").await.problem(404, "not_found");
    let list = relay.get(PATH).await.ok().json();
    assert_eq!(list["next"], Value::Null);
    let one = &list["pending"][0];
    assert_eq!((&one["id"], &one["due"]), (&json!(id), &json!("2026-01-31T12:01:00.000000Z")));
    assert_eq!(one["since"], "2026-01-31T12:00:00.000000Z");
    assert_eq!(one["event"], events[0], "as it was published");
    assert_eq!(*one, relay.get(&format!("{PATH}/{id}")).await.ok().json());
    let again = publish(&relay, "", &events[..1]).await.ok().json();
    assert_eq!(again["events"][0], json!({"pending": id, "duplicate": true}));

    relay.clock.advance(Duration::from_secs(59));
    release(&relay).await;
    assert_eq!(relay.get("/v1/topics/orders").await.ok().json()["head"], 2);
    relay.clock.advance(Duration::from_secs(1));
    release(&relay).await;
    let page = relay.get("/v1/topics/orders/events?after=2").await.ok().json();
    assert_eq!(page["events"][0]["deliverat"], "2026-01-31T12:01:00Z");
    relay.get(&format!("{PATH}/{id}")).await.problem(404, "not_found");
    let late = publish(&relay, "", &events[..1]).await.ok().json();
    assert_eq!(
        (&late["events"][0]["version"], &late["events"][0]["duplicate"]),
        (&json!(3), &json!(true))
    );
}

#[tokio::test]
async fn a_pending_event_is_changed_and_cancelled() {
    let relay = Relay::new().await;
    let events: Vec<Value> = (1..=3).map(|id| due(id, "2026-02-01T12:00:00Z")).collect();
    let answer = publish(&relay, "", &events).await.ok().json();
    let path = |index: usize| format!("{PATH}/{}", answer["events"][index]["pending"]);
    let first = relay.get(&format!("{PATH}?limit=2")).await.ok();
    assert_eq!(first.json()["pending"].as_array().unwrap().len(), 2);
    let next = first.json()["next"].as_i64().unwrap();
    assert!(first.header("link").contains(&format!("after={next}")), "{}", first.header("link"));
    let rest = relay.get(&format!("{PATH}?limit=2&after={next}")).await.ok().json();
    assert_eq!((rest["pending"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));

    let sooner = json!({"deliverat": "2026-01-31T12:00:01Z"});
    let changed = relay.with_json(Method::PATCH, &path(0), &sooner).await.ok().json();
    assert_eq!(changed["due"], "2026-01-31T12:00:01.000000Z");
    assert_eq!(changed, relay.get(&path(0)).await.ok().json());
    for bad in
        [json!({}), json!({"deliverat": "soon"}), json!({"deliverat": "2027-02-02T12:00:00Z"})]
    {
        let refused = relay.with_json(Method::PATCH, &path(0), &bad).await;
        refused.problem(422, "invalid");
    }
    assert_eq!(without_body(&relay, Method::DELETE, &path(1)).await.status.as_u16(), 204);
    without_body(&relay, Method::DELETE, &path(1)).await.problem(404, "not_found");
    relay.clock.advance(Duration::from_hours(48));
    release(&relay).await;
    let page = relay.get("/v1/topics/orders/events").await.ok().json();
    let ids: Vec<&Value> = page["events"].as_array().unwrap().iter().map(|e| &e["id"]).collect();
    assert_eq!(ids, [&json!("1"), &json!("3")]);
}

#[tokio::test]
async fn a_prepared_event_waits_for_its_commit() {
    let relay = Relay::new().await;
    let events = [event(1), due(2, "2026-01-31T13:00:00Z"), event(3)];
    let answer = publish(&relay, "?prepare=true", &events).await.ok().json();
    let path = |index: usize| format!("{PATH}/{}", answer["events"][index]["pending"]);
    assert_eq!(relay.get(&path(0)).await.ok().json()["due"], Value::Null);
    relay.clock.advance(Duration::from_mins(1));
    release(&relay).await;
    assert_eq!(relay.get("/v1/topics/orders").await.ok().json()["head"], 0);
    let soon = json!({"deliverat": "2026-01-31T12:05:00Z"});
    relay.with_json(Method::PATCH, &path(0), &soon).await.problem(409, "conflict");
    let commit = |index: usize| format!("{}/commit", path(index));
    let now = without_body(&relay, Method::POST, &commit(0)).await.ok().json();
    assert_eq!((&now["due"], &now["version"]), (&json!("2026-01-31T12:01:00.000000Z"), &json!(1)));
    assert_eq!(now["epoch"], relay.epoch().await);
    // In the log at once, and out of everybody's reach.
    assert_eq!(versions(&relay.get("/v1/topics/orders/events").await.ok().json()), [1]);
    let again = without_body(&relay, Method::POST, &commit(0)).await.problem(404, "not_found");
    let told = again["detail"].as_str().unwrap();
    assert!(told.contains("/v1/topics/orders/events?id=ID&source=SOURCE"), "{told}");
    without_body(&relay, Method::DELETE, &path(0)).await.problem(404, "not_found");
    let then = without_body(&relay, Method::POST, &commit(1)).await.ok().json();
    assert_eq!(
        (&then["due"], &then["version"]),
        (&json!("2026-01-31T13:00:00.000000Z"), &Value::Null)
    );
    without_body(&relay, Method::POST, &commit(1)).await.problem(409, "conflict");
    without_body(&relay, Method::DELETE, &path(1)).await.problem(409, "conflict");
    assert_eq!(without_body(&relay, Method::DELETE, &path(2)).await.status.as_u16(), 204);
    relay.clock.advance(Duration::from_hours(1));
    release(&relay).await;
    assert_eq!(relay.get("/v1/topics/orders").await.ok().json()["head"], 2);
}

/// One commits while another cancels: exactly one of them is told that it did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_commit_and_a_cancel_only_one_succeeds() {
    const PAIRS: u32 = 100;
    let relay = Arc::new(Relay::new().await);
    let events: Vec<Value> = (1..=PAIRS).map(event).collect();
    let answer = publish(&relay, "?prepare=true", &events).await.ok().json();
    let mut committed = 0;
    for (index, id) in (0_u32..).zip(answer["events"].as_array().unwrap()) {
        let path = format!("{PATH}/{}", id["pending"]);
        let ask = |method: Method, path: String| {
            let relay = relay.clone();
            tokio::spawn(async move { without_body(&relay, method, &path).await.status.as_u16() })
        };
        let commit = ask(Method::POST, format!("{path}/commit"));
        if index.is_multiple_of(2) {
            tokio::task::yield_now().await;
        }
        let cancel = ask(Method::DELETE, path);
        match (commit.await.unwrap(), cancel.await.unwrap()) {
            (200, 404) => committed += 1,
            (404, 204) => {}
            other => panic!("event {index}: {other:?}"),
        }
    }
    release(&relay).await;
    assert_eq!(relay.get("/v1/topics/orders").await.ok().json()["head"], committed);
}

#[tokio::test]
async fn an_event_is_due_within_a_year() {
    let relay = Relay::new().await;
    let events = [event(1), due(2, "2027-02-02T12:00:00Z")];
    let refused = publish(&relay, "", &events).await.problem(422, "invalid");
    assert_eq!((&refused["index"], &refused["field"]), (&json!(1), &json!("deliverat")));
    assert_eq!(relay.get("/v1/topics/orders").await.ok().json()["head"], 0);
    publish(&relay, "?prepare=maybe", &events).await.problem(400, "bad_parameter");
    relay.get("/v1/topics/none/pending").await.problem(404, "not_found");
    relay.get(&format!("{PATH}/none")).await.problem(400, "malformed");
}
