//! What is said of each answer, and how many there were.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::Read as _,
};

use flate2::read::GzDecoder;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{
    calls::{Call, Plan},
    client::{Answer, Came},
};

/// Larger bodies may be refused before they are sent, and a connection that is closed then may take
/// the answer with it (RFC 9112, section 9.6).
const BODY_BYTES: usize = 64 << 10;

/// All refusals there are. The document lists few of them for each operation, so that what is refused
/// is held against this list, and only what succeeds against the document.
const REFUSALS: [u16; 12] = [400, 403, 404, 405, 406, 408, 409, 410, 413, 415, 422, 429];

/// So many operations may have no call that succeeds, of a few dozen each.
const NEVER_MAX: usize = 3;

/// What no page of another origin needs to be told twice.
const CLOSED: [(&str, &str); 3] = [
    ("content-security-policy", "frame-ancestors 'none'"),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// What was answered so far.
#[derive(Default)]
pub(super) struct Judge {
    statuses: BTreeMap<u16, u64>,
    /// Of each operation, those that the document does not tell.
    untold: BTreeMap<String, BTreeSet<u16>>,
    /// Of each operation, how many calls succeeded, of how many.
    done: BTreeMap<String, (u64, u64)>,
    /// Calls that were to wait and were left.
    left: u64,
    /// Large bodies whose connection was closed before an answer was read.
    cut: u64,
}

impl Judge {
    /// What is wrong with what came of a call.
    pub(super) fn judge(&mut self, plan: &Plan, call: &Call, came: &Came) -> Result<(), String> {
        let answer = match came {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                self.left += 1;
                return Ok(());
            }
            Err(_) if call.body.len() > BODY_BYTES || call.is_huge() => {
                self.cut += 1;
                return Ok(());
            }
            Err(error) => return Err(error.clone()),
        };
        *self.statuses.entry(answer.status).or_default() += 1;
        if call.is_huge() && matches!(answer.status, 414 | 431) {
            return Ok(());
        }
        if let Some((header, _)) = CLOSED.iter().find(|(name, value)| answer.header(name) != *value)
        {
            return Err(format!("without `{header}`"));
        }
        if let Some(index) = call.operation {
            self.hold_against(plan, index, answer)?;
        }
        match answer.status {
            200..400 => sound(call, answer),
            400..500 => problem(call, answer),
            _ => Err("neither done nor refused".into()),
        }
    }

    /// Compares with what the document says of the operation.
    fn hold_against(&mut self, plan: &Plan, index: usize, answer: &Answer) -> Result<(), String> {
        let operation = &plan.operations[index];
        let name = format!("{} {}", operation.method, operation.path);
        let (done, all) = self.done.entry(name.clone()).or_default();
        *all += 1;
        *done += u64::from(answer.status < 400);
        if operation.statuses.contains(&answer.status) {
            return Ok(());
        }
        if answer.status < 400 {
            return Err(format!("the document tells only {:?}", operation.statuses));
        }
        self.untold.entry(name).or_default().insert(answer.status);
        Ok(())
    }

    /// Calls that are all refused would prove little.
    pub(super) fn check_spread(&self) {
        let never: Vec<_> = self.done.iter().filter(|(_, (done, _))| *done == 0).collect();
        assert!(never.len() <= NEVER_MAX, "these never succeeded: {never:?}\n{self}");
        let done: u64 = self.statuses.range(200..300).map(|(_, count)| count).sum();
        let refused: u64 = self.statuses.range(400..500).map(|(_, count)| count).sum();
        assert!(done * 10 > refused && refused * 10 > done, "{done} done, {refused} refused");
    }
}

impl fmt::Display for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} left while they waited, {} large ones cut off", self.left, self.cut)?;
        writeln!(f, "statuses: {:?}", self.statuses)?;
        for (operation, (done, all)) in &self.done {
            writeln!(f, "{operation}: {done} of {all} succeeded")?;
        }
        for (operation, statuses) in &self.untold {
            writeln!(f, "not in the document: {operation} {statuses:?}")?;
        }
        Ok(())
    }
}

/// The body as it was before compression.
fn plain(answer: &Answer) -> Result<Vec<u8>, String> {
    if answer.header("content-encoding") != "gzip" || answer.body.is_empty() {
        return Ok(answer.body.clone());
    }
    let mut out = Vec::new();
    let read = GzDecoder::new(answer.body.as_slice()).read_to_end(&mut out);
    read.map_err(|error| format!("no gzip: {error}"))?;
    Ok(out)
}

/// What is said to be JSON is.
fn sound(call: &Call, answer: &Answer) -> Result<(), String> {
    let kind = answer.header("content-type").split(';').next().unwrap_or_default();
    let is_lines = kind == "application/x-ndjson";
    let is_json = kind.ends_with("/json") || kind.ends_with("+json");
    let has_body = call.method != "HEAD" && !matches!(answer.status, 204 | 304);
    if !(is_lines || is_json) || !has_body {
        return Ok(());
    }
    let body = plain(answer)?;
    let mut lines: Vec<&[u8]> =
        if is_lines { body.split(|byte| *byte == b'\n').collect() } else { vec![&body] };
    if is_lines {
        // Behind the last end of a line there is nothing, or what was left.
        let rest = lines.pop().unwrap_or_default();
        if !rest.is_empty() && !answer.left {
            return Err("the last line has no end".into());
        }
    }
    // Data is as the producer wrote it: numbers that nobody can read, and halves of characters.
    let broken = lines.iter().find_map(|line| serde_json::from_slice::<IgnoredAny>(line).err());
    broken.map_or(Ok(()), |error| Err(format!("no JSON: {error}")))
}

/// A refusal is a problem with all of its members.
fn problem(call: &Call, answer: &Answer) -> Result<(), String> {
    if !REFUSALS.contains(&answer.status) {
        return Err("a refusal that there is not".into());
    }
    if answer.header("content-type") != "application/problem+json" {
        return Err("a refusal that is no problem".into());
    }
    if call.method == "HEAD" {
        return Ok(());
    }
    let problem: Value =
        serde_json::from_slice(&plain(answer)?).map_err(|error| format!("no JSON: {error}"))?;
    let texts = ["type", "title", "code", "detail"];
    let lacks = |name: &&&str| problem[**name].as_str().is_none_or(str::is_empty);
    if let Some(name) = texts.iter().find(lacks) {
        return Err(format!("a problem without `{name}`"));
    }
    if problem["status"] != answer.status {
        return Err("a problem of another status".into());
    }
    Ok(())
}
