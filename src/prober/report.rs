//! What is told of the last poll of a source, as the API shows it.

use probes::FieldErrors;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    progress::{Ending, Tally},
    silence::Silence,
    trouble::{Failing, Waits},
};
use crate::{
    event::Micros,
    store::{NewGap, SourceProgress, SourceState},
};

/// What the last poll of a source found, and what is wrong with it for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SourceReport)]
pub struct Report {
    /// When it ended, RFC 3339.
    pub at: String,
    /// `ok`, `unchanged`, `waiting`, or the kind of failure.
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
    /// The failure, or what an operator should know: gaps, warnings, what was left out and why.
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
    /// What is wrong, while the last walks failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<Failing>,
    /// The answers in a row that were not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<Waits>,
    /// Attributes that could not be read and were left out, by field: how often in the last walk
    /// that showed items, and why the first time.
    #[serde(default, skip_serializing_if = "FieldErrors::is_empty")]
    #[schema(value_type = Object)]
    pub field_errors: FieldErrors,
    /// Pages without an item in the last walk that was no 304.
    #[serde(default)]
    pub empty_pages: u64,
    /// How many walks in a row were answered that nothing changed (304).
    #[serde(default)]
    pub unchanged: u64,
    /// Since when, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unchanged_since: Option<String>,
}

impl Report {
    /// That of the last poll of a source; `None` when there was none, or it cannot be read.
    pub(crate) fn last(state: &SourceState) -> Option<Self> {
        serde_json::from_str(state.report.as_deref()?).ok()
    }

    /// When the source last had new events; `None`: it has had none yet.
    pub(crate) fn last_event(&self) -> Option<Micros> {
        self.silence.filter(|silence| silence.appended > 0).map(|silence| silence.since)
    }

    /// Whether it was told that the source is failing.
    pub(crate) fn is_failing(&self) -> bool {
        self.failing.as_ref().is_some_and(|failing| failing.told)
    }

    /// Whether it was told that the source has had nothing new for long.
    pub(crate) fn is_silent(&self) -> bool {
        self.silence.is_some_and(|silence| silence.told)
    }

    /// What the last append of a walk that ends so carries.
    pub(super) fn progress(&self, ending: &Ending, state: &SourceState) -> SourceProgress {
        SourceProgress {
            source: state.id,
            fence: state.fence,
            mark: Some(None),
            cursor: Some(ending.cursor.clone()),
            complete: true,
            gap: ending.gap.clone().map(|(reason, detail)| NewGap { reason, detail }),
            next_poll: Some(ending.next_poll),
            report: Some(self.json()),
            ..SourceProgress::default()
        }
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
            failing: None,
            waits: None,
            field_errors: tally.field_errors.clone(),
            empty_pages: tally.empty_pages,
            unchanged: 0,
            unchanged_since: None,
        }
    }

    /// That of a walk that ended as `ending` says.
    pub(super) fn complete(result: &str, tally: &Tally, ending: &Ending, now: Micros) -> Self {
        let gap = ending.gap.as_ref().map(|(_, detail)| detail.clone());
        let warnings = ending.warnings.iter().cloned();
        let told: Vec<String> = gap.into_iter().chain(warnings).chain(tally.left_out()).collect();
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

    /// The report with what goes on from the one before.
    pub(super) fn following(mut self, before: Option<&Self>) -> Self {
        let streak = before.map_or(0, |before| before.unchanged);
        let since = before.and_then(|before| before.unchanged_since.clone());
        match &*self.result {
            // A whole answer ends the streak.
            "ok" => return self,
            "unchanged" => {
                self.unchanged = streak + 1;
                self.unchanged_since = since.or_else(|| Some(self.at.clone()));
            }
            _ => (self.unchanged, self.unchanged_since) = (streak, since),
        }
        // Who saw no page has nothing new to say of their items.
        if let Some(before) = before
            && self.items == 0
            && self.empty_pages == 0
        {
            self.field_errors = before.field_errors.clone();
            self.empty_pages = before.empty_pages;
        }
        self
    }

    pub(super) fn json(&self) -> String {
        // Texts and numbers only: this cannot fail.
        serde_json::to_string(self).expect("plain data is JSON")
    }
}
