//! What is kept of a walk beside the probe's own mark, and what is told of a poll.

use probes::Walk;
use serde::{Deserialize, Serialize};

use super::silence::Silence;
use crate::{
    event::Micros,
    store::{NewGap, SourceProgress, SourceState},
};

/// A walk under way, as the store keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Underway {
    pub(super) stage: Stage,
    pub(super) tally: Tally,
}

/// What is to be done next.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// Ask for the page at this mark.
    Page(String),
    /// Number what is in the journal, and then end the walk so.
    Number(Ending),
}

/// The end of a newest-first walk whose events are in the journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Ending {
    pub(super) cursor: String,
    pub(super) gap: Option<(String, String)>,
    pub(super) stopped_by: String,
    pub(super) warnings: Vec<String>,
    pub(super) next_poll: Micros,
}

impl Ending {
    pub(super) fn of(walk: Walk, next_poll: Micros) -> Self {
        Self {
            cursor: walk.cursor,
            gap: walk.gap.map(|gap| (gap.reason.to_owned(), gap.detail)),
            stopped_by: walk.stopped_by.to_owned(),
            warnings: walk.warnings,
            next_poll,
        }
    }

    /// What the last append of the walk carries.
    pub(super) fn progress(&self, state: &SourceState, report: &Report) -> SourceProgress {
        SourceProgress {
            source: state.id,
            fence: state.fence,
            mark: Some(None),
            cursor: Some(self.cursor.clone()),
            complete: true,
            gap: self.gap.clone().map(|(reason, detail)| NewGap { reason, detail }),
            next_poll: Some(self.next_poll),
            report: Some(report.json()),
            ..SourceProgress::default()
        }
    }
}

/// What a walk counted so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    pub(super) began: Micros,
    pub(super) requests: u64,
    pub(super) items: u64,
    pub(super) new: u64,
    pub(super) rejected: u64,
}

impl Tally {
    pub(super) fn new(began: Micros) -> Self {
        Self { began, requests: 0, items: 0, new: 0, rejected: 0 }
    }
}

/// What the last poll of a source found, as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// When it ended, RFC 3339.
    pub at: String,
    /// `ok`, `unchanged`, or the kind of failure.
    pub result: String,
    /// Requests of the walk.
    pub requests: u64,
    /// Items on its pages, known and rejected ones included.
    pub items: u64,
    /// Events appended.
    pub new: u64,
    /// Events that the log knew already.
    pub duplicates: u64,
    /// Items that were no events.
    pub rejected: u64,
    /// Why the walk ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<String>,
    /// The failure, or what an operator should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// From the first request to the end, milliseconds.
    pub duration_ms: u64,
    /// When a walk was last complete, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success: Option<String>,
    /// Since when there has been nothing new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence: Option<Silence>,
}

impl Report {
    /// That of the last poll of a source; `None` when there was none, or it cannot be read.
    pub(super) fn last(state: &SourceState) -> Option<Self> {
        serde_json::from_str(state.report.as_deref()?).ok()
    }

    /// Whether the poll was the end of a complete walk.
    pub(super) fn is_success(&self) -> bool {
        matches!(&*self.result, "ok" | "unchanged")
    }

    pub(super) fn new(result: &str, tally: &Tally, now: Micros) -> Self {
        Self {
            at: now.to_string(),
            result: result.to_owned(),
            requests: tally.requests,
            items: tally.items,
            new: tally.new,
            duplicates: 0,
            rejected: tally.rejected,
            stopped_by: None,
            message: None,
            duration_ms: u64::try_from(now.since(tally.began).as_millis()).unwrap_or(u64::MAX),
            last_success: None,
            silence: None,
        }
    }

    /// That of a walk that ended as `ending` says.
    pub(super) fn complete(result: &str, tally: &Tally, ending: &Ending, now: Micros) -> Self {
        let gap = ending.gap.as_ref().map(|(_, detail)| detail.clone());
        let told: Vec<String> = gap.into_iter().chain(ending.warnings.iter().cloned()).collect();
        Self {
            stopped_by: Some(ending.stopped_by.clone()),
            message: (!told.is_empty()).then(|| told.join("; ")),
            ..Self::new(result, tally, now)
        }
    }

    /// The report with what the log knew already taken out of what is new.
    pub(super) fn without(mut self, duplicates: u64) -> Self {
        self.new = self.new.saturating_sub(duplicates);
        self.duplicates += duplicates;
        self
    }

    pub(super) fn json(&self) -> String {
        // Texts and numbers only: this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}
