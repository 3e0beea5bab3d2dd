//! What is kept of a walk beside the probe's own mark.

use std::time::Duration;

use probes::{FieldErrors, Walk};
use serde::{Deserialize, Serialize};

use crate::event::Micros;

/// A walk under way, as the store keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Underway {
    pub(super) stage: Stage,
    pub(super) tally: Tally,
    /// Until when the producer asked to be left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<Micros>,
}

impl Underway {
    /// Whether the walk may go on where it was. A pause that the producer asked for does not make
    /// it older: else a producer that asks for longer ones would never be walked to the end.
    pub(super) fn is_fresh(&self, mark_at: Micros, now: Micros, walk_resume: Duration) -> bool {
        let since = self.until.map_or(mark_at, |until| until.max(mark_at));
        now.since(since) <= walk_resume
    }

    /// As the store keeps it.
    pub(super) fn json(&self) -> String {
        // Texts and numbers only: this cannot fail.
        serde_json::to_string(self).expect("plain data is JSON")
    }
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
}

/// What a walk counted so far. What came later has a default: a mark of an earlier release is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    pub(super) began: Micros,
    pub(super) requests: u64,
    pub(super) items: u64,
    pub(super) new: u64,
    pub(super) rejected: u64,
    /// Why the first item was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rejected_reason: Option<String>,
    /// Pages without an item.
    #[serde(default)]
    pub(super) empty_pages: u64,
    #[serde(default, skip_serializing_if = "FieldErrors::is_empty")]
    pub(super) field_errors: FieldErrors,
}

impl Tally {
    pub(super) fn new(began: Micros) -> Self {
        Self {
            began,
            requests: 0,
            items: 0,
            new: 0,
            rejected: 0,
            rejected_reason: None,
            empty_pages: 0,
            field_errors: FieldErrors::default(),
        }
    }

    /// What of the items was left out, for a person.
    pub(super) fn left_out(&self) -> Vec<String> {
        let mut told = Vec::new();
        if self.rejected > 0 {
            let reason = self.rejected_reason.as_deref().unwrap_or("see the rejected items");
            told.push(format!(
                "{} of {} items were no events: {reason}",
                self.rejected, self.items
            ));
        }
        told.extend(self.field_errors.told());
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_of_an_earlier_release_is_read() {
        let mark = r#"{"stage":{"page":"{}"},
            "tally":{"began":5,"requests":2,"items":3,"new":1,"rejected":1}}"#;
        let underway: Underway = serde_json::from_str(mark).unwrap();
        assert_eq!(underway.until, None);
        assert_eq!(
            underway.tally,
            Tally { requests: 2, items: 3, new: 1, rejected: 1, ..Tally::new(Micros(5)) }
        );
        let told = ["1 of 3 items were no events: see the rejected items"];
        assert_eq!(underway.tally.left_out(), told);
    }

    #[test]
    fn a_pause_that_was_asked_for_is_no_age() {
        let minutes = |minutes| Micros(0).plus(Duration::from_mins(minutes));
        let stage = Stage::Page(String::new());
        let mut underway = Underway { stage, tally: Tally::new(Micros(0)), until: None };
        let fresh = |underway: &Underway, now| {
            underway.is_fresh(Micros(0), minutes(now), Duration::from_mins(10))
        };
        assert_eq!([fresh(&underway, 10), fresh(&underway, 11)], [true, false]);
        underway.until = Some(minutes(60));
        assert_eq!([30, 60, 70, 71].map(|now| fresh(&underway, now)), [true, true, true, false]);
        // The pause before an earlier page is over.
        let page = minutes(90);
        assert!(underway.is_fresh(page, minutes(100), Duration::from_mins(10)));
        assert_eq!(
            serde_json::from_str::<Underway>(&underway.json()).unwrap().until,
            underway.until
        );
    }
}
