//! What is kept and told of a poll that gave no page: a failure, or an answer to wait for.

use probes::Failure;
use tracing::{debug, info, warn};

use super::{
    Memory, Prober, Report, SourceSetup, Stepped, pace,
    progress::{Stage, Tally, Underway},
    trouble::{Failing, Waits},
};
use crate::{
    clock::{Reading, chance},
    event::Micros,
    store::{NewGap, SourceProgress, SourceState, StoreError},
};

/// The poll that gave no page.
pub(super) struct Asked<'a> {
    pub(super) setup: &'a SourceSetup,
    pub(super) state: &'a SourceState,
    /// The page that was asked for; `None`: the first.
    pub(super) mark: Option<String>,
    /// Of its walk, this request included.
    pub(super) tally: Tally,
}

impl Asked<'_> {
    /// The mark again, with how long the producer wants to be left alone, so that this pause makes
    /// the walk no older.
    fn paused(&self, until: Option<Micros>) -> Option<String> {
        let (mark, until) = (self.mark.clone()?, Some(until?));
        let requests = self.tally.requests.saturating_sub(1);
        let tally = Tally { requests, ..self.tally.clone() };
        Some(Underway { stage: Stage::Page(mark), tally, until }.json())
    }
}

impl Prober {
    /// Keeps what a failed poll tells; nothing else of it counts.
    pub(super) async fn failed(
        &self,
        memory: &mut Memory,
        asked: Asked<'_>,
        failure: Failure,
    ) -> Result<Stepped, StoreError> {
        let Asked { setup, state, tally, .. } = &asked;
        let reading = self.clock.read();
        let now = reading.wall;
        let kind = failure.kind.as_str();
        if memory.failed(tally.requests, kind) {
            warn!(
                event = "source.poll_failed", source = %setup.name, kind, error = %failure,
                "poll failed"
            );
        } else {
            debug!(source = %setup.name, kind, error = %failure, failures = memory.failures, "poll failed again");
        }
        let next_poll = setup.schedule.after_failure(now, memory.failures, failure.pace, chance());
        let before = Report::last(state).and_then(|last| last.failing);
        let failing = Failing::after(before, &failure, &setup.name, tally.requests, now);
        let report = Report {
            message: Some(failing.message.clone()),
            failing: Some(failing),
            ..Report::new(kind, tally, now).without(memory.duplicates)
        };
        let gap = failure.gap;
        let new_gap = gap
            .as_ref()
            .map(|gap| NewGap { reason: gap.reason.to_owned(), detail: gap.detail.clone() });
        let paused = asked.paused(pace::between_pages(now, failure.pace));
        let progress = SourceProgress {
            mark: if failure.restart { Some(None) } else { paused.map(Some) },
            journal_clear: failure.restart,
            cursor: failure.cursor,
            gap: new_gap,
            next_poll: Some(next_poll),
            ..SourceProgress::default()
        };
        self.keep_failed(memory, &asked, report, progress, reading).await?;
        if let Some(gap) = gap {
            self.tell_gap(setup, gap.reason, &gap.detail);
        }
        Ok(Stepped::Due(reading.steady_at(next_poll)))
    }

    /// Keeps that the producer is not ready: its walk stays where it is, and nothing failed.
    pub(super) async fn waits(
        &self,
        memory: &mut Memory,
        asked: Asked<'_>,
        failure: Failure,
    ) -> Result<Stepped, StoreError> {
        let Asked { setup, state, tally, .. } = &asked;
        let reading = self.clock.read();
        let now = reading.wall;
        let (failing, waits) =
            Report::last(state).map_or((None, None), |last| (last.failing, last.waits));
        let waits = Waits::after(waits, now);
        let next_poll = setup.schedule.after_wait(now, waits.count, failure.pace);
        if waits.count == 1 {
            info!(
                event = "source.not_ready", source = %setup.name, until = %next_poll,
                "the producer is not ready: {failure}"
            );
        }
        self.tell_wait(setup);
        let failing =
            Failing::waiting(failing, &waits, &failure, &setup.name, self.clock.believed());
        let report = Report {
            message: Some(failure.message),
            failing,
            waits: Some(waits),
            ..Report::new(failure.kind.as_str(), tally, now).without(memory.duplicates)
        };
        let mark = asked.paused(Some(next_poll)).map(Some);
        let progress =
            SourceProgress { mark, next_poll: Some(next_poll), ..SourceProgress::default() };
        self.keep_failed(memory, &asked, report, progress, reading).await?;
        Ok(Stepped::Due(reading.steady_at(next_poll)))
    }

    async fn keep_failed(
        &self,
        memory: &mut Memory,
        asked: &Asked<'_>,
        report: Report,
        progress: SourceProgress,
        reading: Reading,
    ) -> Result<(), StoreError> {
        let Asked { setup, state, .. } = asked;
        let report = self.listened(setup, state, report, state.appended, reading.wall);
        let progress = SourceProgress {
            source: state.id,
            fence: state.fence,
            report: Some(report.json()),
            ..progress
        };
        self.append(setup, memory, (Vec::new(), progress), reading).await?;
        self.tell_silence(setup, state, &report);
        self.tell_trouble(setup, state, &report);
        Ok(())
    }
}
