//! How long a source has shown nothing new, and when that is told.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::warn;
use utoipa::ToSchema;

use super::{Prober, Report, SourceSetup};
use crate::{
    event::Micros,
    notices::{LastError, Notice},
    store::SourceState,
};

/// Since when a source has shown nothing new; kept with its report, so that a restart neither
/// forgets a silence nor tells of it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SourceSilence)]
pub struct Silence {
    /// When it was seen that the source had appended events, or when it was first asked.
    #[serde(rename = "since_us")]
    #[schema(value_type = i64)]
    since: Micros,
    /// Events it had appended by then, ever.
    appended: u64,
    /// Whether this silence was told of.
    told: bool,
}

impl Silence {
    /// The silence when, at `now`, a source has appended so many events, ever.
    pub(super) fn after(before: Option<Self>, appended: u64, now: Micros) -> Self {
        match before {
            Some(before) if before.appended == appended => before,
            _ => Self { since: now, appended, told: false },
        }
    }

    /// Notes that it is told of once it has lasted for `silent_after`.
    pub(super) fn fall_due(mut self, silent_after: Option<Duration>, now: Micros) -> Self {
        self.told |= silent_after.is_some_and(|limit| now.since(self.since) >= limit);
        self
    }
}

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
            source = %setup.name, since = %silence.since,
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
