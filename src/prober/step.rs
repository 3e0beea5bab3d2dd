//! One step of one source: poll when it is due, one page, on disk before the next.

use probes::{Ask, FailureKind, Listed, Next, Page, Walk};
use tracing::{debug, warn};

use super::{
    Memory, Prober, Report, SourceSetup, Stepped,
    failed::Asked,
    pace,
    progress::{Ending, Stage, Tally, Underway},
};
use crate::{
    clock::{Reading, chance},
    intake::{self, Admitted},
    store::{Append, NewEvent, Placed, SourceProgress, SourceState, SourceStatus, StoreError},
    telemetry::{PollLabel, TopicLabel},
};

/// How long to leave a store alone that did not do what was asked.
const STORE_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

/// How long to wait for a file, port or memory that this machine lacks.
const MACHINE_PAUSE: std::time::Duration = std::time::Duration::from_secs(5);

impl Prober {
    /// Does what is due for a source: one page of its walk, or one piece of its journal.
    pub async fn step(&self, setup: &SourceSetup, memory: &mut Memory) -> Stepped {
        match self.try_step(setup, memory).await {
            Ok(stepped) => stepped,
            Err(StoreError::Stale) => {
                // It was steered, or is somebody else's: the walk ends quietly.
                self.metrics.stale.inc();
                Stepped::Again
            }
            Err(StoreError::Closed) => Stepped::Idle,
            Err(error) => {
                warn!(
                    event = "source.page_unsaved", source = %setup.name, %error,
                    "the store did not keep a page; it is asked for again"
                );
                Stepped::Due(self.clock.steady().plus(STORE_PAUSE))
            }
        }
    }

    async fn try_step(
        &self,
        setup: &SourceSetup,
        memory: &mut Memory,
    ) -> Result<Stepped, StoreError> {
        let state = self.store.source(&setup.name).await?;
        // Once the store has another configuration, this setup must not act under its fence.
        let outdated = state.config_hash != setup.config_hash;
        if outdated || state.status != SourceStatus::Active || !state.accepts(&setup.contract) {
            return Ok(Stepped::Idle);
        }
        let underway: Option<Underway> =
            state.mark.as_deref().and_then(|mark| serde_json::from_str(mark).ok());
        let now_for_mark = memory.due.now_for_mark(&state, &self.clock);
        let fresh = underway.as_ref().is_some_and(|underway| {
            underway.is_fresh(state.mark_at, now_for_mark, setup.walk_resume)
        });
        let due = memory.due.next_poll(&state, &self.clock);
        match underway {
            // Its events are on disk already, so its age is no reason to ask again.
            Some(Underway { stage: Stage::Number(ending), tally, .. }) => {
                self.number(setup, memory, &state, &ending, &tally).await
            }
            _ if self.clock.steady() < due => Ok(Stepped::Due(due)),
            Some(Underway { stage: Stage::Page(mark), tally, .. }) if fresh => {
                self.poll(setup, memory, &state, Some(mark), tally).await
            }
            _ => {
                memory.duplicates = 0;
                self.poll(setup, memory, &state, None, Tally::new(self.clock.now())).await
            }
        }
    }

    /// Makes one request and keeps what came.
    async fn poll(
        &self,
        setup: &SourceSetup,
        memory: &mut Memory,
        state: &SourceState,
        mark: Option<String>,
        mut tally: Tally,
    ) -> Result<Stepped, StoreError> {
        // It is closed when everything stops: nothing was begun then.
        let Ok(_walk) = self.walks.acquire().await else { return Ok(Stepped::Idle) };
        let ask = Ask {
            // An operator, or a start, wants to see for itself.
            validators_since: self.began.max(state.asked_at).timestamp(),
            ..Ask::new(state.cursor.as_ref(), mark.as_ref(), self.clock.now().timestamp())
        };
        let asked = self.clock.steady();
        let page = setup.probe.page(&self.network, &self.budget, ask).await;
        self.metrics.poll_seconds.observe(self.clock.steady().since(asked).as_secs_f64());
        self.show_bytes();
        tally.requests += 1;
        let result = match &page {
            Ok(Page { next: Next::Done(Walk { unchanged: true, .. }), .. }) => "unchanged",
            Ok(_) => "ok",
            Err(failure) => failure.kind.as_str(),
        };
        let label = PollLabel { source: setup.name.to_string(), result: result.to_owned() };
        self.metrics.polls.get_or_create(&label).inc();
        let stepped = match page {
            Ok(page) => {
                memory.succeeded(tally.requests, matches!(page.next, Next::Done(_)));
                self.keep(setup, memory, state, mark.is_none(), page, tally).await
            }
            Err(failure) => {
                let asked = Asked { setup, state, mark, tally };
                match failure.kind {
                    FailureKind::Waiting => self.waits(memory, asked, failure).await,
                    // Whoever opens connections counts and logs that: the source is as it was.
                    FailureKind::Machine => {
                        Ok(Stepped::Due(self.clock.steady().plus(MACHINE_PAUSE)))
                    }
                    _ => self.failed(memory, asked, failure).await,
                }
            }
        };
        self.show_bytes();
        stepped
    }

    /// Keeps a page; on disk when this returns.
    async fn keep(
        &self,
        setup: &SourceSetup,
        memory: &mut Memory,
        state: &SourceState,
        first: bool,
        page: Page,
        mut tally: Tally,
    ) -> Result<Stepped, StoreError> {
        let Page { drafts, rejected, field_errors, items, next, learnt, pace, held, .. } = page;
        let Admitted { mut events, rejected } = intake::admit(drafts, rejected);
        tally.items += items as u64;
        tally.new += events.len() as u64;
        tally.rejected += rejected.len() as u64;
        if tally.rejected_reason.is_none() {
            tally.rejected_reason = rejected.first().map(|item| item.reason.clone());
        }
        let unchanged = matches!(&next, Next::Done(walk) if walk.unchanged);
        tally.empty_pages += u64::from(items == 0 && !unchanged);
        self.tell_field_errors(setup, &field_errors);
        tally.field_errors.join(field_errors);
        self.tell_rejected(setup, rejected.len(), rejected.first().map(|item| &*item.reason));
        // One for all that is computed of this page: the wall may be set before it is on disk.
        let reading = self.clock.read();
        let now = reading.wall;
        let newest_first = setup.probe.listed() == Listed::NewestFirst;
        let mut progress = SourceProgress {
            source: state.id,
            fence: state.fence,
            cursor: learnt,
            rejected,
            journal_clear: first && state.journaled > 0,
            ..SourceProgress::default()
        };
        let walk = match next {
            Next::Page(mark) => {
                let until = pace::between_pages(now, pace);
                let underway = Underway { stage: Stage::Page(mark), tally, until };
                return self
                    .go_on(setup, memory, state, underway, (events, progress), reading)
                    .await;
            }
            Next::Done(walk) => walk,
        };
        let result = if walk.unchanged { "unchanged" } else { "ok" };
        let behind = matches!(walk.stopped_by, "max_pages" | "ceiling") && tally.new > 0;
        memory.idle = if tally.new > 0 { 0 } else { memory.idle.saturating_add(1) };
        let next_poll = setup.schedule.after(now, behind, memory.idle, pace, chance());
        let ending = Ending::of(walk, next_poll);
        if newest_first {
            if !first && state.journaled > 0 {
                let underway = Underway { stage: Stage::Number(ending), tally, until: None };
                return self
                    .go_on(setup, memory, state, underway, (events, progress), reading)
                    .await;
            }
            // The whole walk is one page: the journal would only be a detour.
            events.reverse();
        }
        let report = Report::complete(result, &tally, &ending, now).without(memory.duplicates);
        let appended = state.appended + events.len() as u64;
        let report = self.listened(setup, state, report, appended, now);
        progress = SourceProgress {
            rejected: progress.rejected,
            journal_clear: progress.journal_clear,
            ..report.progress(&ending, state)
        };
        let placed = self.append(setup, memory, (events, progress), reading).await?;
        drop(held);
        self.end(setup, memory, state, &ending, report, &placed).await?;
        Ok(Stepped::Due(reading.steady_at(ending.next_poll)))
    }

    /// Keeps a page of a walk that is not at its end, with where it is.
    async fn go_on(
        &self,
        setup: &SourceSetup,
        memory: &mut Memory,
        state: &SourceState,
        underway: Underway,
        (mut events, mut progress): (Vec<NewEvent>, SourceProgress),
        reading: Reading,
    ) -> Result<Stepped, StoreError> {
        if setup.probe.listed() == Listed::NewestFirst {
            progress.journal = std::mem::take(&mut events);
        }
        progress.mark = Some(Some(underway.json()));
        let next_poll = underway.until.unwrap_or(reading.wall);
        progress.next_poll = Some(next_poll);
        if let Some(report) = Report::last(state).filter(|report| report.waits.is_some()) {
            // What was waited for is there.
            progress.report = Some(Report { waits: None, ..report }.json());
        }
        let placed = self.append(setup, memory, (events, progress), reading).await?;
        memory.duplicates += duplicates(&placed);
        let due = Stepped::Due(reading.steady_at(next_poll));
        Ok(if underway.until.is_some() { due } else { Stepped::Again })
    }

    /// Announces a complete walk, and corrects its report by what only the last append could tell.
    pub(super) async fn end(
        &self,
        setup: &SourceSetup,
        memory: &mut Memory,
        state: &SourceState,
        ending: &Ending,
        mut report: Report,
        placed: &[Placed],
    ) -> Result<(), StoreError> {
        if let Some((reason, detail)) = &ending.gap {
            self.tell_gap(setup, reason, detail);
        }
        let warnings = ending.warnings.join("; ");
        if !warnings.is_empty() && warnings != memory.warned {
            warn!(event = "source.warned", source = %setup.name, "{warnings}");
        }
        memory.warned = warnings;
        debug!(source = %setup.name, requests = report.requests, items = report.items, new = report.new, stopped_by = %ending.stopped_by, "walk complete");
        let duplicates = duplicates(placed);
        if duplicates > 0 {
            let reading = self.clock.read();
            let appended = state.appended + placed.len() as u64 - duplicates;
            report =
                self.listened(setup, state, report.without(duplicates), appended, reading.wall);
            let progress = SourceProgress {
                source: state.id,
                fence: state.fence,
                report: Some(report.json()),
                ..SourceProgress::default()
            };
            self.append(setup, memory, (Vec::new(), progress), reading).await?;
        }
        self.tell_silence(setup, state, &report);
        self.tell_trouble(setup, state, &report);
        Ok(())
    }

    /// One append with its progress, whose moments come from `reading`; repeated by the next step
    /// when its outcome is unknown, and recognised then.
    pub(super) async fn append(
        &self,
        setup: &SourceSetup,
        memory: &mut Memory,
        (events, progress): (Vec<NewEvent>, SourceProgress),
        reading: Reading,
    ) -> Result<Vec<Placed>, StoreError> {
        let topic = setup.topic.clone();
        let (next_poll, marked) = (progress.next_poll, progress.mark.is_some());
        let append = Append { topic, events, progress: Some(progress), now: reading.wall };
        let placed = self.store.append(append).await?;
        memory.due.stored(next_poll, marked, reading);
        let known = duplicates(&placed);
        let label = TopicLabel { topic: setup.topic.to_string() };
        self.metrics.appended.get_or_create(&label).inc_by(placed.len() as u64 - known);
        self.metrics.duplicates.get_or_create(&label).inc_by(known);
        Ok(placed)
    }
}

pub(super) fn duplicates(placed: &[Placed]) -> u64 {
    placed.iter().filter(|placed| placed.duplicate).count() as u64
}
