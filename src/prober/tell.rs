//! What is told of a source's polls: notices, metrics and the log.

use probes::FieldErrors;
use tracing::{info, warn};

use super::{Prober, Report, SourceSetup};
use crate::{
    notices::{Notice, SourceTrouble},
    store::SourceState,
    telemetry::{FieldLabel, SourceLabel},
};

impl Prober {
    pub(super) fn tell_gap(&self, setup: &SourceSetup, reason: &str, detail: &str) {
        warn!(
            event = "gap.recorded", source = %setup.name, topic = %setup.topic, reason, detail,
            "gap recorded"
        );
        self.metrics.gaps.get_or_create(&label(setup)).inc();
        self.notices.tell(Notice::Gap {
            source: setup.name.clone(),
            topic: setup.topic.clone(),
            reason: reason.to_owned(),
            detail: detail.to_owned(),
        });
    }

    pub(super) fn tell_rejected(&self, setup: &SourceSetup, count: usize, reason: Option<&str>) {
        if let Some(reason) = reason {
            info!(
                event = "source.items_rejected", source = %setup.name, count, reason,
                "items rejected"
            );
            self.metrics.rejected.get_or_create(&label(setup)).inc_by(count as u64);
        }
    }

    pub(super) fn tell_field_errors(&self, setup: &SourceSetup, errors: &FieldErrors) {
        for (field, error) in &errors.0 {
            let (count, reason) = (error.count, &error.reason);
            info!(
                event = "source.fields_rejected", source = %setup.name, field, count, reason,
                "fields left out"
            );
            let label = FieldLabel { source: setup.name.to_string(), field: field.clone() };
            self.metrics.field_errors.get_or_create(&label).inc_by(count);
        }
    }

    pub(super) fn tell_wait(&self, setup: &SourceSetup) {
        self.metrics.waits.get_or_create(&label(setup)).inc();
    }

    /// Tells of a source that is failing, or is no more, by `report`, which was saved, and was not
    /// before.
    pub(super) fn tell_trouble(&self, setup: &SourceSetup, state: &SourceState, report: &Report) {
        let told = |report: Option<Report>| report?.failing.filter(|failing| failing.told);
        let (before, now) = (told(Report::last(state)), told(Some(report.clone())));
        let (source, topic) = (setup.name.clone(), setup.topic.clone());
        match (before, now) {
            (None, Some(failing)) => {
                warn!(
                    event = "source.failing",
                    source = %setup.name, since = %failing.since, walks = failing.walks,
                    kind = failing.kind, error = failing.message, "the source is failing"
                );
                self.notices.tell(Notice::SourceFailing(SourceTrouble {
                    source,
                    topic,
                    since: failing.since,
                    walks: failing.walks,
                    kind: failing.kind,
                    message: failing.message,
                    help: failing.help,
                }));
            }
            (Some(failing), None) => {
                let (since, walks) = (failing.since, failing.walks);
                info!(
                    event = "source.recovered", source = %setup.name, %since, walks,
                    "the source has recovered"
                );
                self.notices.tell(Notice::SourceRecovered { source, topic, since, walks });
            }
            _ => {}
        }
    }

    pub(super) fn show_bytes(&self) {
        let held = i64::try_from(self.budget.held_bytes()).unwrap_or(i64::MAX);
        self.metrics.walk_bytes.set(held);
    }
}

fn label(setup: &SourceSetup) -> SourceLabel {
    SourceLabel { source: setup.name.to_string() }
}
