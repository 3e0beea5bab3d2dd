//! When a source is due, whatever becomes of the wall meanwhile: the store keeps moments of the wall,
//! and a worker remembers which steady ones they stand for.

use super::Report;
use crate::{clock::Clock, event::Micros, store::SourceState};

/// Moments of one source as they were first seen.
#[derive(Debug, Default)]
pub(super) struct Due {
    next_poll: Option<Seen>,
    mark_at: Option<Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    stored: Micros,
    steady: Micros,
}

impl Due {
    /// Notes that the next poll is due at a moment of the present wall; answers the steady one.
    pub(super) fn plan(&mut self, next_poll: Micros, clock: &Clock) -> Micros {
        let steady = next_poll.shifted(-clock.to_store());
        self.next_poll = Some(Seen { stored: next_poll, steady });
        steady
    }

    /// The steady moment at which the next poll is due.
    pub(super) fn next_poll(&mut self, state: &SourceState, clock: &Clock) -> Micros {
        seen(&mut self.next_poll, state.next_poll, || clock.of_stored(saved(state)))
    }

    /// The present moment by the wall that the mark was saved under.
    pub(super) fn now_for_mark(&mut self, state: &SourceState, clock: &Clock) -> Micros {
        let at = state.mark_at;
        let saved = seen(&mut self.mark_at, at, || clock.of_stored(at));
        at.plus(clock.steady().since(saved))
    }
}

fn seen(slot: &mut Option<Seen>, stored: Micros, by_us: impl Fn() -> i64) -> Micros {
    if let Some(seen) = slot
        && seen.stored == stored
    {
        return seen.steady;
    }
    let steady = stored.shifted(by_us());
    *slot = Some(Seen { stored, steady });
    steady
}

/// When another process, or an operator, last saved the source, as far as can be told.
fn saved(state: &SourceState) -> Micros {
    let reported = Report::last(state).and_then(|report| report.at.parse().ok());
    state.mark_at.max(state.asked_at).max(reported.unwrap_or_default())
}
