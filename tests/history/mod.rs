//! What happened, as it was seen from outside, and what of it must not have been: pure, and the same for
//! every test that kills, cuts or stops something.
//!
//! A test fills in a [`History`] and has it checked; what it found is a list of [`Finding`]s, each with a
//! kind. Every kind is planted once in `planted`, so that none is looked for in vain.

mod log;
mod planted;
mod sent;
mod written;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

pub(crate) use log::entries;

/// All of it.
#[derive(Debug, Default, Clone)]
pub(crate) struct History {
    /// By name.
    pub topics: BTreeMap<String, Topic>,
    /// By name.
    pub subscriptions: BTreeMap<String, Subscription>,
    /// What was written of progress, in the order of the commits.
    pub writes: Vec<Write>,
    /// What was done to the relay.
    pub faults: Vec<Fault>,
}

/// One topic.
#[derive(Debug, Default, Clone)]
pub(crate) struct Topic {
    /// The ids that have to be in the log: a list for each producer, in its order.
    pub emitted: Vec<Vec<String>>,
    /// What publishers were told to be in the log, and what any consumer got.
    pub told: Vec<Entry>,
    /// Ids whose publishers were told that nobody knows: in the log or not.
    pub unknown: BTreeSet<String>,
    /// What each reader read, page by page.
    pub readers: Vec<Vec<Reading>>,
    /// The log at the end.
    pub log: Vec<Entry>,
    /// Its epochs, oldest first, with the last version before each.
    pub epochs: Vec<(String, u64)>,
}

/// A version and what it is.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub version: u64,
    pub id: String,
    /// Its partition key; empty: none.
    pub key: String,
    /// The epoch it was seen in; empty: the first.
    pub epoch: String,
}

/// One answer to a reader who reads on.
#[derive(Debug, Clone)]
pub(crate) enum Reading {
    /// A page after this version, in this epoch.
    Page { after: u64, epoch: String, entries: Vec<Entry> },
    /// The history is another one from this version on (409).
    Changed { last_common: u64 },
}

/// One subscription, which is owed every version of its topic.
#[derive(Debug, Default, Clone)]
pub(crate) struct Subscription {
    pub topic: String,
    /// In the order of the versions within each key.
    pub in_order: bool,
    /// Whether its topic has events all the time, so that it tells when things went on.
    pub busy: bool,
    /// In the order in which they arrived.
    pub deliveries: Vec<Delivery>,
}

/// One request to a consumer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery {
    pub version: u64,
    pub started: Instant,
    /// When its answer was handed to the connection.
    pub finished: Option<Instant>,
    /// Whether that was a success.
    pub accepted: bool,
}

impl Delivery {
    /// When it was accepted, as far as the consumer knows.
    fn accepted_at(&self) -> Option<Instant> {
        self.finished.filter(|_| self.accepted)
    }
}

/// Progress that was written: of a position or a source.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    /// Whose.
    pub of: String,
    /// The fence it was written by.
    pub fence: i64,
    /// How far it is then; never falls.
    pub progress: i64,
}

/// Something that was done to the relay.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub what: String,
    pub began: Instant,
    /// When it was undone; the same moment for a kill.
    pub healed: Instant,
}

impl Fault {
    /// One that is over as soon as it is there.
    pub(crate) fn at(what: &str, moment: Instant) -> Self {
        Self { what: what.to_owned(), began: moment, healed: moment }
    }
}

/// What is allowed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// How long after a fault a consumer may still be reading what was sent before it.
    pub reading: Duration,
    /// What was accepted so long before a fault is settled, and not sent again; `None`: not checked.
    pub unsaved_max: Option<Duration>,
    /// Everything goes on so soon after the end of a fault; `None`: not checked.
    pub recovery_max: Option<Duration>,
}

/// What must not have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Emitted or acknowledged, and not in the log.
    Lost,
    /// A version that no event has.
    Gap,
    /// A version that was something else when it was seen first.
    Renumbered,
    /// Twice in the log.
    Duplicated,
    /// A producer's events in another order than it has them.
    Misplaced,
    /// A reader was not given a version between two pages or within one.
    Skipped,
    /// Versions that a reader has seen are gone, and he was not told before he read on.
    Unannounced,
    /// In the log, and never accepted by a consumer who is owed it.
    Undelivered,
    /// Sent before what comes before it within its key was accepted.
    Inverted,
    /// Sent again although it was settled: no fault explains it.
    SettledAgain,
    /// Written by somebody whose work was another's by then.
    Stale,
    /// Nothing for too long after a fault was over.
    Slow,
}

/// One of them.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    pub kind: Kind,
    pub text: String,
}

/// Figures of what was sent again, and of how long things stood still.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub requests: usize,
    pub events: usize,
    /// Sent again because it was in flight at a fault.
    pub in_flight: usize,
    /// Accepted before a fault, and not saved.
    pub unsaved: usize,
    /// How long before each fault the oldest of those was accepted.
    pub oldest: Vec<Duration>,
    /// Sent again without a fault between.
    pub unexplained: usize,
    /// How long after the end of each fault every busy subscription had been served again.
    pub recovered: Vec<Option<Duration>>,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub findings: Vec<Finding>,
    pub figures: Figures,
}

impl Report {
    fn found(&mut self, kind: Kind, text: String) {
        self.findings.push(Finding { kind, text });
    }

    /// How many of each kind.
    pub(crate) fn kinds(&self) -> BTreeMap<Kind, usize> {
        let mut kinds = BTreeMap::new();
        for finding in &self.findings {
            *kinds.entry(finding.kind).or_default() += 1;
        }
        kinds
    }

    /// The figures, of a history in which nothing was found; panics with what was, else.
    pub(crate) fn clean(self) -> Figures {
        let texts = self.findings.iter().take(20);
        let texts: Vec<String> = texts.map(|it| format!("{:?}: {}", it.kind, it.text)).collect();
        assert!(
            self.findings.is_empty(),
            "{:?}\n{}\n{:?}",
            self.kinds(),
            texts.join("\n"),
            self.figures
        );
        self.figures
    }
}

/// Looks for everything that must not have been.
pub(crate) fn check(history: &History, rules: &Rules) -> Report {
    let mut report = Report::default();
    report.figures.oldest = vec![Duration::ZERO; history.faults.len()];
    for (name, topic) in &history.topics {
        report.figures.events += topic.log.len();
        log::check(name, topic, &mut report);
    }
    for (name, subscription) in &history.subscriptions {
        let log = history.topics.get(&subscription.topic).map_or(&[][..], |topic| &topic.log);
        report.figures.requests += subscription.deliveries.len();
        sent::check(name, subscription, log, history, rules, &mut report);
    }
    sent::recovery(history, rules, &mut report);
    written::check(&history.writes, &mut report);
    report
}
