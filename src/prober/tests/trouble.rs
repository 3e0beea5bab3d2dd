//! What is told of a source that fails or is not ready: steady, once, and over restarts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use probes::{FieldError, Listed};
use serde_json::{Value, json};

use super::support::*;
use crate::prober::Memory;

fn refused(body: &'static str) -> Response<Bytes> {
    let answer = Response::builder().status(403).header("content-type", "text/plain");
    answer.body(Bytes::from_static(body.as_bytes())).unwrap()
}

/// A source that answers as `way` says.
async fn source(way: &Arc<AtomicU64>) -> Bench {
    let way = way.clone();
    let answer = at_once(move |_| match way.load(Ordering::SeqCst) {
        0 => items([1]),
        202 => status(202),
        403 => refused("you may not"),
        code => status(u16::try_from(code).unwrap()),
    });
    Bench::new(|_| {}, answer).await
}

/// Polls `count` times, each when it is due.
async fn polls(bench: &Bench, count: usize) {
    let mut memory = Memory::default();
    for _ in 0..count {
        bench.turn().await;
        bench.prober.step(&bench.setup, &mut memory).await;
    }
}

async fn kinds(bench: &mut Bench) -> Vec<String> {
    bench.notices().await.into_iter().map(|(kind, _)| kind).collect()
}

/// Whether it is shown as failing.
async fn is_failing(bench: &Bench) -> bool {
    bench.report().await.is_failing()
}

#[tokio::test]
async fn five_failed_walks_are_told_of_once_over_restarts_and_so_is_their_end() {
    let way = Arc::new(AtomicU64::new(403));
    let mut bench = source(&way).await;
    let since = bench.clock.now();
    polls(&bench, 4).await;
    assert_eq!((kinds(&mut bench).await, is_failing(&bench).await), (Vec::new(), false));
    bench.restart();
    polls(&bench, 1).await;
    assert_eq!(
        (kinds(&mut bench).await, is_failing(&bench).await),
        (vec!["source.failing".into()], true)
    );
    bench.restart();
    polls(&bench, 7).await;
    assert!(is_failing(&bench).await, "a restart shows it again");
    assert_eq!(bench.notices().await.len(), 1);
    let failing = bench.report().await.failing.unwrap();
    assert_eq!((failing.since, failing.walks), (since, 12));
    let data = &bench.notices().await[0].1;
    let expected = json!({
        "source": "shop", "topic": "orders", "since": since.to_string(), "walks": 5,
        "kind": "status", "help": "check `http.auth` and what the key may read",
        "message": "https://shop.example.com/orders: answered 403 Forbidden: expected a success",
    });
    assert_eq!(*data, expected);
    way.store(0, Ordering::SeqCst);
    polls(&bench, 3).await;
    let (kind, data) = &bench.notices().await[1];
    assert_eq!(kind, "source.recovered");
    assert_eq!((&data["walks"], &data["since"]), (&json!(12), &json!(since.to_string())));
    assert!(data["failed_s"].as_u64().unwrap() > 60, "{data}");
    assert_eq!((bench.notices().await.len(), is_failing(&bench).await), (2, false));
    assert_eq!(bench.report().await.failing, None);
    // And the next time is told of again.
    way.store(403, Ordering::SeqCst);
    polls(&bench, 5).await;
    assert_eq!(kinds(&mut bench).await.last().unwrap(), "source.failing");
}

#[tokio::test]
async fn a_failure_has_the_words_of_the_producer() {
    let mut bench = source(&Arc::new(AtomicU64::new(403))).await;
    bench.walk().await;
    bench.restart();
    let report: Value = serde_json::from_str(&bench.state().await.report.unwrap()).unwrap();
    let answer =
        json!({ "status": 403, "type": "text/plain", "length": 11, "first": "you may not" });
    assert_eq!(report["failing"]["answer"], answer);
    assert_eq!(report["failing"]["message"], report["message"]);
}

#[tokio::test]
async fn one_cause_has_one_message() {
    let count = AtomicU64::new(7);
    let answer = at_once(move |_| {
        let count = count.fetch_add(1, Ordering::SeqCst);
        Response::new(Bytes::from(format!(r#"{{"error":"busy","request":"a{count}-f"}}"#)))
    });
    let bench = Bench::new(|spec| spec.fail_when = Some("page.error".into()), answer).await;
    let mut messages = Vec::new();
    for _ in 0..4 {
        polls(&bench, 1).await;
        messages.push(bench.report().await.message.unwrap());
    }
    messages.dedup();
    assert_eq!(messages.len(), 1, "{messages:?}");
}

#[tokio::test]
async fn another_cause_is_told_and_the_failure_lasts() {
    let way = Arc::new(AtomicU64::new(500));
    let bench = source(&way).await;
    let since = bench.clock.now();
    polls(&bench, 2).await;
    way.store(404, Ordering::SeqCst);
    polls(&bench, 1).await;
    let failing = bench.report().await.failing.unwrap();
    assert!(failing.message.contains("404"), "{failing:?}");
    assert!(failing.help.unwrap().contains("`milkrun probe shop --dry-run`"));
    assert_eq!((failing.since, failing.walks), (since, 3));
}

#[tokio::test]
async fn waiting_is_no_failure() {
    let way = Arc::new(AtomicU64::new(202));
    let mut bench = source(&way).await;
    let began = bench.clock.now();
    let mut memory = Memory::default();
    let mut pauses = Vec::new();
    for _ in 0..7 {
        bench.turn().await;
        bench.prober.step(&bench.setup, &mut memory).await;
        pauses.push(bench.state().await.next_poll.since(bench.clock.now()).as_secs());
    }
    assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(memory.failures, 0);
    let report = bench.report().await;
    let waits = report.waits.unwrap();
    assert_eq!((&*report.result, waits.count, waits.since), ("waiting", 7, began));
    assert_eq!(report.failing, None);
    assert_eq!(kinds(&mut bench).await, [""; 0]);
    assert!(bench.metrics.encode(&[]).contains("milkrun_source_waits_total{source=\"shop\"} 7\n"));
    way.store(0, Ordering::SeqCst);
    polls(&bench, 1).await;
    assert_eq!(bench.report().await.waits, None);
    assert_eq!(bench.ids().await, ["1"]);
}

#[tokio::test]
async fn who_is_not_ready_for_an_hour_is_failing() {
    let way = Arc::new(AtomicU64::new(202));
    let mut bench = source(&way).await;
    let began = bench.clock.now();
    while bench.clock.now().since(began) < Duration::from_mins(59) {
        polls(&bench, 1).await;
        bench.restart();
    }
    assert_eq!(kinds(&mut bench).await, [""; 0]);
    polls(&bench, 5).await;
    let told = bench.notices().await;
    assert_eq!(told.len(), 1);
    assert_eq!((&*told[0].0, &told[0].1["kind"]), ("source.failing", &json!("waiting")));
    assert_eq!(told[0].1["since"], began.to_string());
    way.store(0, Ordering::SeqCst);
    polls(&bench, 1).await;
    assert_eq!(kinds(&mut bench).await, ["source.failing", "source.recovered"]);
}

#[tokio::test]
async fn nothing_that_was_left_out_goes_untold() {
    for listed in [Listed::OldestFirst, Listed::NewestFirst] {
        let answer = at_once(|request| {
            let text = match page_of(request) {
                1 => r#"[{"id":4,"t":"soon"},{"x":1}]"#,
                2 => r#"[{"id":3,"t":"later"},{"id":2,"t":"2026-01-01T00:00:00Z"}]"#,
                _ => "[]",
            };
            Response::new(Bytes::from_static(text.as_bytes()))
        });
        let spec = |spec: &mut probes::http::Spec| {
            spec.listed = listed;
            spec.time = Some(serde_json::from_value(json!("t")).unwrap());
            spec.pages = probes::http::Pages::PageNumber(probes::http::PageNumber::default());
        };
        let mut bench = Bench::new(spec, answer).await;
        // Only what is on disk counts: the walk goes on in another process.
        while bench.state().await.walks == 0 {
            bench.turn().await;
            bench.step().await;
            bench.restart();
        }
        let report = bench.report().await;
        assert_eq!((&*report.result, report.new, report.rejected), ("ok", 3, 1), "{listed:?}");
        let FieldError { count, reason } = &report.field_errors.0["time"];
        assert_eq!(*count, 2, "{listed:?}");
        let message = report.message.unwrap();
        for part in [&**reason, "1 of 4 items were no events: id: `id` finds nothing", "`time`"] {
            assert!(message.contains(part), "{message}");
        }
        // At the end of a newest-first walk an empty page is asked for again.
        let asked = if listed == Listed::NewestFirst { 3 } else { 1 };
        assert_eq!(report.empty_pages, asked);
        let line = "milkrun_source_field_errors_total{source=\"shop\",field=\"time\"} 2\n";
        assert!(bench.metrics.encode(&[]).contains(line));
    }
}

#[tokio::test]
async fn a_streak_of_304_is_told_until_a_whole_answer() {
    let ill = Arc::new(AtomicU64::new(0));
    let way = ill.clone();
    let answer = at_once(move |request| {
        if way.load(Ordering::SeqCst) > 0 {
            return status(500);
        }
        let known = request.headers().contains_key("if-none-match");
        let mut answer = if known { status(304) } else { items([1]) };
        answer.headers_mut().insert("etag", "\"1\"".parse().unwrap());
        answer
    });
    let mut bench = Bench::new(|_| {}, answer).await;
    polls(&bench, 2).await;
    let since = bench.report().await.unchanged_since;
    assert_eq!(since, Some(bench.clock.now().to_string()));
    polls(&bench, 1).await;
    ill.store(1, Ordering::SeqCst);
    polls(&bench, 1).await;
    ill.store(0, Ordering::SeqCst);
    polls(&bench, 1).await;
    let report = bench.report().await;
    assert_eq!((report.unchanged, report.unchanged_since), (3, since));
    // A start, and an operator, want to see for themselves.
    bench.restart();
    polls(&bench, 1).await;
    let report = bench.report().await;
    assert_eq!((&*report.result, report.unchanged, report.unchanged_since), ("ok", 0, None));
    polls(&bench, 1).await;
    assert_eq!(bench.report().await.result, "unchanged");
    bench.clock.advance(Duration::from_secs(2));
    let (name, now) = (&bench.setup.name, bench.clock.now());
    bench.store.steer_source(name, crate::store::Steer::Poll, now).await.unwrap();
    bench.walk().await;
    assert_eq!(bench.report().await.result, "ok");
}
