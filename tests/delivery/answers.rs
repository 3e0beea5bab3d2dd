//! Every answer and every silence: the verdict of each, as the table of `docs/delivery.md` has it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::HeaderMap;
use milkrun::{
    event::Micros,
    outbound::Guard,
    settings::RetryPolicy,
    settle::{self, Attempted, Fault, Verdict},
    store::DeadReason,
};
use sinks::{Outcome, Parcel, Sink, Target, webhook::Webhook};

use super::endpoint;

const NOW: Micros = Micros(1_700_000_000_000_000);

/// The table: what the receiver did, and what it counts as.
fn table() -> Vec<(String, String)> {
    let text = include_str!("../../docs/delivery.md");
    let rows = text.split("| The receiver |").nth(1).expect("the table").split("\n\n").next();
    let rows = rows.unwrap().lines().skip(2).map(|row| {
        let mut cells = row.split('|').map(str::trim).skip(1);
        (cells.next().unwrap().to_owned(), cells.next().unwrap().to_owned())
    });
    rows.collect()
}

/// What the first row counts a status as that has it.
fn promised(table: &[(String, String)], status: u16) -> &str {
    let has = |cell: &str| {
        cell.strip_prefix("answers ").is_some_and(|list| {
            list.split(", ").any(|part| match part.split_once('–') {
                Some((from, to)) => (from.parse().unwrap()..=to.parse().unwrap()).contains(&status),
                None => part.parse() == Ok(status),
            })
        })
    };
    let row = table.iter().find(|(cell, _)| has(cell));
    row.map_or_else(|| panic!("the table has no {status}"), |(_, counts)| counts)
}

/// What a silence of a kind, as `dns`, counts as.
fn promised_of_silence<'a>(table: &'a [(String, String)], kind: &str) -> &'a str {
    let row = table.iter().find(|(cell, _)| cell.contains(&format!("`{kind}`")));
    row.map_or_else(|| panic!("the table has no `{kind}`"), |(_, counts)| counts)
}

/// What an outcome counts as, in the words of the table, and the verdict of a first attempt.
fn judged(outcome: &Outcome) -> (&'static str, Verdict) {
    let attempt = Attempted { counted: 1, counts: true, first: NOW };
    let verdict = settle::judge(attempt, outcome, &RetryPolicy::default(), NOW, 0.5);
    let counts = match settle::fault(outcome) {
        _ if settle::is_gone(outcome) => "gone",
        _ if settle::is_ours(outcome) => "ours",
        None => "success",
        Some(Fault::Event) => "event failure",
        Some(Fault::Endpoint { throttled: true }) => "endpoint failure, throttled",
        Some(Fault::Endpoint { throttled: false }) => "endpoint failure",
    };
    (counts, verdict)
}

/// The verdict that goes with what an outcome counts as.
fn follows(counts: &str, verdict: Verdict) -> bool {
    let first_delay = NOW.plus(Duration::from_secs(5));
    verdict
        == match counts {
            "success" => Verdict::Delivered,
            "gone" => Verdict::Gone,
            _ => Verdict::RetryAt(first_delay),
        }
}

struct Sender(Webhook);

impl Sender {
    fn new(guard: &Guard) -> Self {
        Self(Webhook::new(guard.network().unwrap(), "test"))
    }

    fn on_loopback() -> Self {
        Self::new(&Guard::new(vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]))
    }

    async fn push(&self, url: &str, timeout_ms: u64) -> Outcome {
        let target = Target {
            uri: url.parse().unwrap(),
            headers: HeaderMap::new(),
            auth: None,
            identity: None,
            greeted: false,
            user_agent: None,
            manner: sinks::Manner::default(),
            timeout: Duration::from_millis(timeout_ms),
        };
        let parcel = Parcel {
            target: Arc::new(target),
            id: "00ff-0a1b2c3d-1".into(),
            timestamp: NOW.seconds(),
            secrets: Arc::default(),
            headers: HeaderMap::new(),
            body: Bytes::from_static(b"{}"),
            gzip: false,
            is_batch: false,
        };
        self.0.push(parcel).await
    }
}

#[tokio::test]
async fn every_status_has_the_verdict_of_the_table() {
    let (table, address, sender) = (table(), endpoint::start().await, Sender::on_loopback());
    for status in 100..=599_u16 {
        let outcome = sender.push(&format!("http://{address}/status/{status}"), 60_000).await;
        let (counts, verdict) = judged(&outcome);
        assert_eq!(counts, promised(&table, status), "{status}: {outcome:?}");
        assert!(follows(counts, verdict), "{status}: {verdict:?}");
        if let Outcome::Answered(answer) = &outcome {
            assert_eq!(answer.status, status);
        } else {
            // Only what is no last answer leaves the sender without one.
            assert!((100..200).contains(&status), "{status}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn every_silence_has_the_verdict_of_the_table() {
    let (table, address, sender) = (table(), endpoint::start().await, Sender::on_loopback());
    let (closed, unknown) = (endpoint::closed().await, endpoint::start_unknown().await);
    let at = |path: &str| format!("http://{address}/{path}");
    let long = 60_000;
    for (kind, url, timeout_ms) in [
        ("dns", "http://no-such-name.invalid/".to_owned(), long),
        ("refused", format!("http://{closed}/"), long),
        ("tls", format!("https://{address}/"), long),
        ("tls", format!("https://localhost:{}/", unknown.port()), long),
        ("reset", at("reset-before"), long),
        ("reset", at("reset-head"), long),
        ("reset", at("reset-body"), long),
        ("reset", at("cut-head"), long),
        ("reset", at("cut-body"), long),
        ("timeout", at("nothing"), 200),
        ("timeout", at("drip-head"), 200),
        ("timeout", at("drip-body"), 200),
        ("timeout", at("drip-body/500"), 200),
        ("other", at("huge-header"), long),
        ("other", at("not-http"), long),
    ] {
        let outcome = sender.push(&url, timeout_ms).await;
        let Outcome::Silent { kind: told, message } = &outcome else {
            panic!("{url}: {outcome:?}")
        };
        assert_eq!(told.as_str(), kind, "{url}: {message}");
        let (counts, verdict) = judged(&outcome);
        assert_eq!(counts, promised_of_silence(&table, kind), "{url}: {message}");
        assert!(follows(counts, verdict), "{url}: {verdict:?}");
    }
}

#[tokio::test]
async fn what_is_ours_has_a_row_too() {
    let (table, address) = (table(), endpoint::start().await);
    let url = format!("http://{address}/status/200");
    let outcome = Sender::new(&Guard::new(vec![])).push(&url, 60_000).await;
    assert_eq!(silence(&outcome), "forbidden_address");
    assert_eq!(judged(&outcome).0, promised_of_silence(&table, "forbidden_address"));

    let proxy =
        milkrun::outbound::check_proxy(&format!("http://{}", endpoint::closed().await)).unwrap();
    let guard = Guard::new(vec!["127.0.0.0/8".parse().unwrap()]).with_proxy(Some(proxy));
    let outcome = Sender::new(&guard).push(&url, 60_000).await;
    assert_eq!(silence(&outcome), "proxy");
    assert_eq!(judged(&outcome).0, promised_of_silence(&table, "proxy"));
    // Without a token there is no answer either.
    let silent = Outcome::Silent { kind: sinks::SilentKind::Token, message: String::new() };
    assert_eq!(judged(&silent).0, promised_of_silence(&table, "token"));
    let silent = Outcome::Silent { kind: sinks::SilentKind::Machine, message: String::new() };
    assert_eq!(judged(&silent).0, promised_of_silence(&table, "machine"));
}

fn silence(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Silent { kind, .. } => kind.as_str(),
        Outcome::Answered(answer) => panic!("answered {}", answer.status),
    }
}

/// An answer that never ends is read to its 64th KiB: its status stands.
#[tokio::test]
async fn an_endless_answer_is_cut() {
    let (address, sender) = (endpoint::start().await, Sender::on_loopback());
    for (status, counts) in [(200, "success"), (500, "event failure")] {
        let outcome = sender.push(&format!("http://{address}/endless/{status}"), 60_000).await;
        let Outcome::Answered(answer) = &outcome else { panic!("{outcome:?}") };
        assert_eq!((answer.status, answer.body.len()), (status, 1 << 10));
        assert_eq!(judged(&outcome).0, counts);
    }
}

/// Once the answer was heard, what becomes of the connection does not matter.
#[tokio::test]
async fn a_reset_after_the_answer_changes_nothing() {
    let (address, sender) = (endpoint::start().await, Sender::on_loopback());
    for _ in 0..crate::support::scaled(50, 1_000) {
        let outcome = sender.push(&format!("http://{address}/reset-after"), 60_000).await;
        assert_eq!(judged(&outcome), ("success", Verdict::Delivered), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_refusal_for_good_is_one() {
    let policy = RetryPolicy { never_retry: vec![422], ..RetryPolicy::default() };
    let (address, sender) = (endpoint::start().await, Sender::on_loopback());
    for (status, expected) in [(422, Verdict::Dead(DeadReason::Refused)), (204, Verdict::Delivered)]
    {
        let outcome = sender.push(&format!("http://{address}/status/{status}"), 60_000).await;
        let attempt = Attempted { counted: 1, counts: true, first: NOW };
        assert_eq!(settle::judge(attempt, &outcome, &policy, NOW, 0.5), expected);
    }
}
