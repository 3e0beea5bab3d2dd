//! Reading again: the bytes, the wait, the stream.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::subscribe;
use crate::support::{
    Api, LONG, Place, Receiver,
    producer::{id, item},
    within,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_replayed_is_byte_for_byte_what_was_pushed() {
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    let receiver = Receiver::accepting().await;
    subscribe(relay.api(), "sink", &receiver.url(), &json!({})).await;
    relay.api().publish("numbers", 1, 20).await;
    let pretty = "{\r\n  \"pretty\": [1,\n 2]\n}";
    publish_raw(relay.api(), "pretty", pretty).await;
    receiver.until_accepted(21).await;

    let path = "/v1/topics/numbers/events?after=0";
    let batch = relay.api().get_as(path, "application/cloudevents-batch+json").await.body;
    let plain = relay.api().get_as(path, "application/json").await.body;
    let lines = relay.api().get_as(&format!("{path}&limit=100"), "application/x-ndjson").await.body;
    for pushed in receiver.deliveries() {
        let body = std::str::from_utf8(&pushed.body).unwrap();
        assert!(batch.contains(body), "{body} is not in {batch}");
    }
    let events: Vec<Value> = serde_json::from_str(&batch).unwrap();
    assert_eq!(events.len(), 21);
    for n in 1..=20 {
        assert!(plain.contains(&item(n)), "{plain}");
        assert!(lines.contains(&item(n)), "{lines}");
    }
    assert!(plain.contains(pretty), "{plain}");
    let flat = pretty.replace(['\r', '\n'], " ");
    assert_eq!(lines.lines().filter(|line| line.contains(&flat)).count(), 1, "{lines}");

    let stream = relay.api().get_as(&format!("{path}&limit=21"), "text/event-stream").await.body;
    for n in 1..=20 {
        assert!(stream.contains(&item(n)), "{stream}");
    }
    assert!(stream.contains(&flat), "{stream}");

    let one = relay.api().get("/v1/topics/numbers/events/21").await;
    assert!(one.body.contains(pretty), "{one:?}");
    assert!(relay.stop().await.success());
}

async fn publish_raw(api: &Api, id: &str, data: &str) {
    let body = format!(
        "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"/x\",\"type\":\"t\",\"data\":{data}}}"
    );
    let request = api.request("POST", "/v1/topics/numbers/events");
    let request = request.header("content-type", "application/cloudevents+json").body(body);
    api.send(request).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measured_a_waiting_reader_hears_of_an_event_within_100_ms() {
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    let mut took = Vec::new();
    for n in 1..=9 {
        let (api, before) = (relay.api().clone(), n - 1);
        let waiting = tokio::spawn(async move {
            let path = format!("/v1/topics/numbers/events?after={before}&wait=30s");
            let page = api.get(&path).await.ok();
            (Instant::now(), page["events"].as_array().unwrap().len())
        });
        // Long enough for the request to be there; when it is not, it answers at once all the same.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let published = Instant::now();
        relay.api().publish("numbers", n, n).await;
        let (heard, events) = within(LONG, "the waiting reader", waiting).await.unwrap();
        assert_eq!(events, 1);
        took.push(heard.saturating_duration_since(published));
    }
    took.sort_unstable();
    println!(
        "a waiting reader heard {:?} (median), {:?} (longest) after the publisher began, commit included",
        took[4], took[8]
    );
    assert!(took[4] < Duration::from_millis(100), "{took:?}");
    assert!(relay.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_resumes_after_the_last_id_without_a_hole() {
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    relay.api().publish("numbers", 1, 30).await;
    let mut seen = Vec::new();
    let mut last = None;
    while seen.len() < 60 {
        let (ids, events) =
            read_stream(relay.api(), last.as_deref(), 13.min(60 - seen.len())).await;
        seen.extend(events);
        last = ids.last().cloned();
        let count = seen.len() as u64;
        // What happens between two streams is not missed either.
        relay.api().publish("numbers", 31, 31 + count.min(29)).await;
    }
    let ids: Vec<String> = seen.iter().take(60).map(|event| event["id"].to_string()).collect();
    let expected: Vec<String> = (1..=60).map(|n| json!(id(n)).to_string()).collect();
    assert_eq!(ids, expected);
    assert!(relay.stop().await.success());
}

/// Reads so many events of the stream, from after `last` on, then hangs up.
async fn read_stream(api: &Api, last: Option<&str>, count: usize) -> (Vec<String>, Vec<Value>) {
    let path = if last.is_some() { "" } else { "?after=0" };
    let mut request = api
        .request("GET", &format!("/v1/topics/numbers/events{path}"))
        .header("accept", "text/event-stream");
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let mut response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let (mut text, mut ids, mut events) = (String::new(), Vec::new(), Vec::new());
    let read = async {
        while events.len() < count {
            let chunk = response.chunk().await.unwrap().expect("the stream goes on");
            text.push_str(std::str::from_utf8(&chunk).unwrap());
            while let Some(end) = text.find("\n\n") {
                let block: String = text.drain(..end + 2).collect();
                let field = |name: &str| {
                    let mut lines = block.lines();
                    lines
                        .find_map(|line| line.strip_prefix(name))
                        .map(|value| value.trim().to_owned())
                };
                if let (Some(id), Some(data)) = (field("id:"), field("data:"))
                    && events.len() < count
                {
                    ids.push(id);
                    events.push(serde_json::from_str(&data).unwrap());
                }
            }
        }
    };
    within(LONG, "events of the stream", read).await;
    (ids, events)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_whose_place_is_gone_is_told_so() {
    let place = Place::new("topics: { numbers: { retention: { count: 20 } } }\n");
    let relay = place.start().await;
    relay.api().publish("numbers", 1, 50).await;
    // The first thing a started relay does is to look for what is over its limits.
    assert!(relay.stop().await.success());
    let relay = place.start().await;
    let first = relay.api().get("/v1/topics/numbers/events?at=50").await.ok();
    let epoch = first["epoch"].as_str().unwrap().to_owned();
    let events = "/v1/topics/numbers/events";
    let ahead = relay.api().get(&format!("{events}?after=51")).await;
    ahead.problem(409, "history_changed");
    let other = if epoch == "00000000" { "00000001" } else { "00000000" };
    let dead = relay.api().get(&format!("{events}?after={other}-10")).await;
    dead.problem(409, "history_changed");
    crate::support::eventually("the oldest events trimmed", || async {
        let shown = relay.api().get("/v1/topics/numbers").await.ok();
        (shown["oldest"].as_u64() == Some(31)).then_some(())
    })
    .await;
    let trimmed = relay.api().get(&format!("{events}?after=5")).await;
    assert_eq!(trimmed.status, 410, "{trimmed:?}");
    assert_eq!(trimmed.json()["oldest"].as_u64(), Some(31), "{trimmed:?}");
    relay.api().get(&format!("{events}?after=30")).await.ok();
    assert!(relay.stop().await.success());
}
