//! A complete newest-first walk is numbered, oldest first, out of its journal.

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
        let events = self.store.journal(&setup.name, CHUNK).await?;
        let (now, count) = (self.clock.now(), events.len());
        if (count as u64) < state.journaled {
            let progress = SourceProgress {
                source: state.id,
                fence: state.fence,
                journal_done: count,
                ..SourceProgress::default()
            };
            let placed = self.append(setup, events, progress, now).await?;
            memory.duplicates += duplicates(&placed);
            return Ok(Stepped::Again);
        }
        let report = Report::complete("ok", tally, ending, now).without(memory.duplicates);
        let appended = state.appended + count as u64;
        let report = self.listened(setup, state, report, appended, now);
        let progress = SourceProgress { journal_done: count, ..ending.progress(state, &report) };
        let placed = self.append(setup, events, progress, now).await?;
        self.end(setup, memory, state, ending, report, &placed).await?;
        Ok(self.at(memory, ending.next_poll))
    }
}
