//! The log: what is in it, what readers saw of it, and what publishers were told.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Entry, Kind, Reading, Report, Topic};

/// Events as lines of NDJSON.
pub(crate) fn entries(lines: &[String]) -> Vec<Entry> {
    let entry = |line: &String| {
        let event: Value = serde_json::from_str(line).expect("an event");
        entry(&event)
    };
    lines.iter().map(entry).collect()
}

fn entry(event: &Value) -> Entry {
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    Entry {
        version: event["version"].as_u64().expect("a version"),
        id: text("id"),
        key: text("partitionkey"),
        epoch: String::new(),
    }
}

impl Reading {
    /// What an answer to `…/events?after=` says; `None`: nothing, as when nobody answers.
    pub(crate) fn of(after: u64, status: u16, body: &str) -> Option<Self> {
        let answer: Value = serde_json::from_str(body).ok()?;
        match status {
            200 => {
                let epoch = answer["epoch"].as_str()?.to_owned();
                let events = answer["events"].as_array()?.iter();
                let seen = |event| Entry { epoch: epoch.clone(), ..entry(event) };
                Some(Self::Page { after, entries: events.map(seen).collect(), epoch })
            }
            409 => Some(Self::Changed { last_common: answer["last_common"].as_u64()? }),
            _ => None,
        }
    }
}

pub(super) fn check(name: &str, topic: &Topic, report: &mut Report) {
    for (n, entry) in (1..).zip(&topic.log) {
        if entry.version != n {
            report.found(Kind::Gap, format!("{name}: {} where {n} is due", entry.version));
            break;
        }
    }
    check_ids(name, topic, report);
    let log: BTreeMap<u64, &Entry> = topic.log.iter().map(|entry| (entry.version, entry)).collect();
    for told in &topic.told {
        check_seen(name, topic, told, &log, report);
    }
    for (number, reader) in topic.readers.iter().enumerate() {
        check_reader(&format!("{name}, reader {number}"), topic, reader, &log, report);
    }
}

/// Each id is there once, and those of one producer in its order.
fn check_ids(name: &str, topic: &Topic, report: &mut Report) {
    let mut places: BTreeMap<&str, u64> = BTreeMap::new();
    for entry in &topic.log {
        if let Some(before) = places.insert(&entry.id, entry.version) {
            let text = format!("{name}: {} is {before} and {}", entry.id, entry.version);
            report.found(Kind::Duplicated, text);
        }
    }
    let known: BTreeSet<&String> = topic.emitted.iter().flatten().collect();
    for list in &topic.emitted {
        let mut last = 0;
        for id in list {
            let Some(place) = places.get(&**id) else {
                report.found(Kind::Lost, format!("{name}: {id} was emitted"));
                continue;
            };
            if *place < last {
                let text = format!("{name}: {id} is {place}, and one before it {last}");
                report.found(Kind::Misplaced, text);
            }
            last = *place;
        }
    }
    // Where it is known what there can be, nothing else is.
    let told: BTreeSet<&String> = topic.told.iter().map(|told| &told.id).collect();
    for entry in topic.log.iter().filter(|_| !topic.emitted.is_empty()) {
        let may_be = [&known, &told].iter().any(|ids| ids.contains(&entry.id));
        if !may_be && !topic.unknown.contains(&entry.id) {
            let text = format!("{name}: {} at {}, which nobody has", entry.id, entry.version);
            report.found(Kind::Misplaced, text);
        }
    }
}

/// Whether an epoch began below a version after it was seen.
fn is_cut(topic: &Topic, seen: &Entry) -> bool {
    let of = topic.epochs.iter().position(|(name, _)| *name == seen.epoch);
    let later = topic.epochs.iter().skip(of.map_or(0, |of| of + 1));
    later.into_iter().any(|(_, after)| *after < seen.version)
}

/// What was seen once stays what it is, unless an epoch tells that it is gone.
fn check_seen(
    name: &str,
    topic: &Topic,
    seen: &Entry,
    log: &BTreeMap<u64, &Entry>,
    report: &mut Report,
) {
    if is_cut(topic, seen) {
        return;
    }
    match log.get(&seen.version) {
        Some(entry) if entry.id == seen.id => {}
        Some(entry) => {
            let text = format!("{name}: {} was {} and is {}", seen.version, seen.id, entry.id);
            report.found(Kind::Renumbered, text);
        }
        None => {
            let text = format!("{name}: {} was told to be {}", seen.id, seen.version);
            report.found(Kind::Lost, text);
        }
    }
}

/// A reader goes on where he was, and is told before he reads on where that is gone.
fn check_reader(
    name: &str,
    topic: &Topic,
    readings: &[Reading],
    log: &BTreeMap<u64, &Entry>,
    report: &mut Report,
) {
    let mut last: Option<Entry> = None;
    for reading in readings {
        match reading {
            Reading::Changed { last_common } => {
                let common = Entry { version: *last_common, ..Entry::default() };
                last = last.map(|last| if last.version > *last_common { common } else { last });
            }
            Reading::Page { after, epoch, entries } => {
                if let Some(last) = &last
                    && last.epoch != *epoch
                    && last.version != 0
                    && !last.epoch.is_empty()
                    && is_cut(topic, last)
                {
                    let text = format!(
                        "{name}: read on in {epoch} after {} of {}, which is gone",
                        last.version, last.epoch
                    );
                    report.found(Kind::Unannounced, text);
                }
                let reached = last.as_ref().map_or(*after, |last| last.version);
                if reached < *after {
                    let text = format!("{name}: read on after {after}, and had {reached}");
                    report.found(Kind::Skipped, text);
                }
                let mut due = *after + 1;
                for entry in entries {
                    if entry.version != due {
                        let text = format!("{name}: {} where {due} is due", entry.version);
                        report.found(Kind::Skipped, text);
                    }
                    due = entry.version + 1;
                    check_seen(name, topic, entry, log, report);
                }
                last = entries.last().cloned().or(last);
            }
        }
    }
}
