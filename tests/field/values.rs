//! Numbers, times and texts: they stay what the producer wrote.

use serde_json::{Value, json};

use super::{dry, producer, source};
use crate::support::{Place, Receiver, relay::SECRET};

#[tokio::test]
async fn moments_written_with_an_exponent_are_read_exactly() {
    let producer = producer().await;
    let lines = "items: \"\"\ntime: { path: ts, unit: s }";
    let seconds = dry(&producer, "epoch-scientific", lines).await;
    assert_eq!(seconds.all("id"), json!(["a1", "a2", "a3"]));
    let time = |at: usize| seconds.events()[at]["time"].clone();
    assert_eq!((time(0), time(2)), (json!("2014-11-07T04:42:13Z"), json!("2023-11-14T22:13:20Z")));
    // Its number is one of milliseconds.
    assert_eq!(time(1), Value::Null);
    let millis = dry(&producer, "epoch-scientific", &lines.replace("unit: s", "unit: ms")).await;
    assert_eq!(millis.events()[1]["time"], "2019-10-21T08:41:25.959Z");
}

/// Of the three none is recent; so the last is made to be.
#[tokio::test]
async fn a_start_in_the_past_drops_what_is_older_and_nothing_else() {
    let now = super::now().as_second();
    let text = |body: &str| crate::support::raw::json(body);
    let (mantissa, rest) = (now / 1_000_000_000, now % 1_000_000_000);
    let body = super::answer("epoch-scientific", 1);
    let body = body.split("\n\n").nth(1).unwrap();
    let recent = body.replace("1.7e9", &format!("{mantissa}.{rest:09}E9"));
    assert_ne!(recent, body);
    let producer = crate::support::Raw::start(move |_, base| {
        Some(crate::support::raw::recorded(&text(&recent), base))
    })
    .await;
    let lines = "items: \"\"\ntime: { path: ts, unit: s }\nstart: 30d";
    let dry = dry(&producer, "epoch", lines).await;
    // One whose time cannot be read may be recent.
    assert_eq!(dry.all("id"), json!(["a2", "a3"]));
}

#[tokio::test]
async fn times_leave_as_rfc_3339() {
    let producer = producer().await;
    let lines = "items: issues\ntime: fields.updated";
    let place = Place::new(
        &source(&producer, "jira-issues", lines).replace("id: id\n", "id: [id, fields.updated]\n"),
    );
    let relay = place.start().await;
    relay.until_head("field", 3).await;
    let log = relay.api().log("field").await;
    let events: Vec<Value> = log.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let times: Vec<&str> = events.iter().map(|event| event["time"].as_str().unwrap()).collect();
    let expected = [
        "2026-03-01T12:00:00.000+00:00",
        "2026-03-01T05:30:00.500-07:00",
        "2026-03-01T21:31:00.000+09:00",
    ];
    let moment = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
    for (time, expected) in times.iter().zip(expected) {
        assert_eq!(moment(time), moment(expected));
        // RFC 3339, section 5.6: `Z`, or hours and minutes with a colon.
        let offset = &time[19..].trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
        assert!(*offset == "Z" || (offset.len() == 6 && &offset[3..4] == ":"), "{time}");
    }
    let ids: Vec<&Value> = events.iter().map(|event| &event["id"]).collect();
    assert_eq!(
        json!(ids),
        json!([
            "10001:2026-03-01T12:00:00.000+0000",
            "10002:2026-03-01T05:30:00.500-0700",
            "10003:2026-03-01T21:31:00.000+0900"
        ])
    );
}

/// Starts a relay whose subscription has these settings, and gives what it sent.
async fn delivered(
    name: &str,
    lines: &str,
    settings: &str,
    count: usize,
) -> (Vec<String>, Vec<String>) {
    let producer = producer().await;
    let receiver = Receiver::accepting().await;
    let mut place = Place::new(&format!(
        "{}subscriptions:\n  - name: hook\n    topic: field\n    from: earliest\n    format: data\n    \
         concurrency: 1\n    webhook: {{ url: \"{}\", secret: {{ env: HOOK_SECRET }} }}\n{settings}",
        source(&producer, name, lines),
        receiver.url()
    ));
    place.env("HOOK_SECRET", SECRET);
    let relay = place.start().await;
    receiver.until_accepted(count).await;
    let sent = receiver.deliveries();
    let sent = sent.iter().map(|one| String::from_utf8(one.body.to_vec()).unwrap()).collect();
    (sent, relay.api().log("field").await)
}

/// An event without its data, which hold numbers and texts that not every reader can take.
#[derive(serde::Deserialize)]
struct Head {
    id: String,
    partitionkey: Option<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_keep_their_digits_through_keys_filters_and_transforms() {
    let settings = "    filter: \"data.id == 7615917337495251231\"\n    \
                    transform: { a: data.a, b: data.b, c: data.c }\n";
    let (sent, log) = delivered("kurrent-numbers", "items: \"\"\nkey: id", settings, 1).await;
    assert_eq!(sent, ["{\"a\":0.1234567890123456789,\"b\":12345678901234567890,\"c\":1.50}"]);
    let events: Vec<Head> = log.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (event, id) in events.iter().zip(["7615917337495251231", "7615917337495251232"]) {
        assert_eq!((event.id.as_str(), event.partitionkey.as_deref()), (id, Some(id)));
    }
    let bytes = super::answer("kurrent-numbers", 1);
    let first = bytes.split("\n\n[").nth(1).unwrap().split(",{").next().unwrap();
    assert!(log[0].contains(first), "{first} is not in {}", log[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_an_emoji_costs_no_event() {
    let settings = "    filter: \"'smile' in data.title\"\n    transform: { t: data.title }\n";
    let (sent, log) = delivered("surrogate", "items: \"\"\nkey: key", settings, 1).await;
    assert_eq!(sent, ["{\"t\":\"smile \u{fffd}\"}"]);
    assert!(
        log[0].contains("{\"id\":\"a1\",\"title\":\"smile \\ud83d\",\"key\":\"k\"}"),
        "{}",
        log[0]
    );
    let events: Vec<Head> = log.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<&str> = events.iter().map(|event| event.id.as_str()).collect();
    // The third has half an emoji in its id; the fourth in the name of another field.
    assert_eq!(ids.first(), Some(&"a1"));
    assert!(ids.contains(&"a2") && ids.contains(&"a4"), "{ids:?}");
    assert_eq!(events[0].partitionkey.as_deref(), Some("k"));
}
