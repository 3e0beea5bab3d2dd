//! Events whose times producers wrote in their own way, as they go out.

use base64::{Engine, prelude::BASE64_STANDARD};
use milkrun::wire::{self, Candidate};
use probes::moment::{Moment, Reading};
use serde_json::{Value, json};

/// What becomes of each spelling that is understood; the tests of `probes` hold it to that.
const SPELLINGS: &str = include_str!("../../probes/src/moment/spellings.tsv");

/// A line for the scripts of each time that goes out: an event in structured mode, and the seconds
/// since 1970 that a library has to find in it.
pub(super) fn lines() -> Vec<Value> {
    let outcomes = SPELLINGS.lines().filter_map(|line| line.split('\t').nth(2));
    let times = outcomes.filter(|outcome| !outcome.starts_with('!'));
    let lines: Vec<Value> = times.map(line).collect();
    assert!(lines.len() > 100, "only {} times were found", lines.len());
    lines
}

fn line(time: &str) -> Value {
    let candidate = Candidate {
        id: "1".into(),
        source: "/s".into(),
        kind: "t".into(),
        time: Some(time.into()),
        ..Candidate::default()
    };
    let event = candidate.admit().unwrap();
    let body = event.attributes.as_str().replacen('{', r#"{"specversion":"1.0","#, 1);
    let moment = Moment::read(time, &Reading::default()).unwrap();
    json!({
        "check": "time",
        "headers": { "content-type": wire::STRUCTURED },
        "body": BASE64_STANDARD.encode(body),
        "time": time,
        "seconds": moment.in_format(Some("unix"), None).parse::<i64>().unwrap(),
    })
}
