//! What is told of a source that has shown nothing new.

use tracing::warn;

use super::{Prober, Report, Silence, SourceSetup};
use crate::{
    event::Micros,
    notices::{LastError, Notice},
    store::SourceState,
};

impl Prober {
    /// The report with the silence of a source that has now appended so many events, ever.
    pub(super) fn listened(
        &self,
        setup: &SourceSetup,
        state: &SourceState,
        report: Report,
        appended: u64,
        now: Micros,
    ) -> Report {
        let before = Report::last(state);
        let report = report.following(before.as_ref());
        let silence = Silence::after(before.as_ref().and_then(|last| last.silence), appended, now);
        let failed = !report.is_success();
        let last_success =
            if failed { before.and_then(|last| last.last_success) } else { Some(now.to_string()) };
        let silence = Some(silence.fall_due(setup.silent_after, self.clock.believed()));
        Report { last_success, silence, ..report }
    }

    /// Tells of a silence that is told of in `report`, which was saved, and was not before.
    pub(super) fn tell_silence(&self, setup: &SourceSetup, state: &SourceState, report: &Report) {
        let before = Report::last(state).and_then(|last| last.silence);
        let (Some(silence), Some(silent_after)) = (report.silence, setup.silent_after) else {
            return;
        };
        let told_before =
            before.is_some_and(|before| before.told && before.appended == silence.appended);
        if !silence.told || told_before {
            return;
        }
        let last_error = (!report.is_success()).then(|| LastError {
            kind: report.result.clone(),
            message: report.message.clone().unwrap_or_default(),
        });
        warn!(
            event = "source.silent", source = %setup.name, since = %silence.since,
            error = last_error.as_ref().map(|error| &*error.message),
            "the source has shown nothing new for long"
        );
        self.notices.tell(Notice::Silent {
            source: setup.name.clone(),
            topic: setup.topic.clone(),
            since: silence.since,
            silent_after,
            last_success: report.last_success.clone(),
            last_error,
        });
    }
}
