//! A complete newest-first walk is numbered, oldest first, out of its journal.

use tracing::error;

use super::{
    Memory, Prober, Report, SourceSetup, Stepped,
    progress::{Ending, Tally},
    step::duplicates,
};
use crate::store::{SourceProgress, SourceState, StoreError};

/// Events numbered in one transaction.
const CHUNK: usize = 1_000;

impl Prober {
    /// Numbers one piece of the journal; the last one moves the cursor.
    pub(super) async fn number(
        &self,
        setup: &SourceSetup,
        memory: &mut Memory,
        state: &SourceState,
        ending: &Ending,
        tally: &Tally,
    ) -> Result<Stepped, StoreError> {
        let events = match self.store.journal(&setup.name, CHUNK).await {
            Err(StoreError::Unreadable { table: "journal", problem }) => {
                return self.walk_anew(setup, memory, state, &problem).await;
            }
            read => read?,
        };
        let (reading, count) = (self.clock.read(), events.len());
        if (count as u64) < state.journaled {
            let progress = SourceProgress {
                source: state.id,
                fence: state.fence,
                journal_done: count,
                ..SourceProgress::default()
            };
            let placed = self.append(setup, memory, (events, progress), reading).await?;
            memory.duplicates += duplicates(&placed);
            return Ok(Stepped::Again);
        }
        // It was planned when the mark was saved, by the wall of then.
        let left = ending.next_poll.since(memory.due.now_for_mark(state, &self.clock));
        let ending = &Ending { next_poll: reading.wall.plus(left), ..ending.clone() };
        let report = Report::complete("ok", tally, ending, reading.wall).without(memory.duplicates);
        let appended = state.appended + count as u64;
        let report = self.listened(setup, state, report, appended, reading.wall);
        let progress = SourceProgress { journal_done: count, ..report.progress(ending, state) };
        let placed = self.append(setup, memory, (events, progress), reading).await?;
        self.end(setup, memory, state, ending, report, &placed).await?;
        Ok(Stepped::Due(reading.steady_at(ending.next_poll)))
    }

    /// Forgets a journal that is damaged. The cursor has not moved, so the next walk lists all of
    /// it again; what was numbered already is known.
    async fn walk_anew(
        &self,
        setup: &SourceSetup,
        memory: &mut Memory,
        state: &SourceState,
        problem: &str,
    ) -> Result<Stepped, StoreError> {
        error!(
            event = "source.walk_damaged", source = %setup.name, problem,
            "what a walk had listed is damaged in the file; the walk is made anew"
        );
        let progress = SourceProgress {
            source: state.id,
            fence: state.fence,
            mark: Some(None),
            journal_clear: true,
            ..SourceProgress::default()
        };
        self.append(setup, memory, (Vec::new(), progress), self.clock.read()).await?;
        Ok(Stepped::Again)
    }
}
