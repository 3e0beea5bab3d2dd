//! When a source is due, whatever becomes of the wall meanwhile: the store keeps moments of the wall,
//! and a worker remembers which steady ones they stand for.

use super::Report;
use crate::{
    clock::{Clock, Reading},
    event::Micros,
    store::SourceState,
};

/// Moments of one source as they were computed, or first seen.
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
    /// Notes moments that were stored, computed from `reading`: when the next poll is due, if that
    /// was among them, and the moment of the mark, if one was.
    pub(super) fn stored(&mut self, next_poll: Option<Micros>, marked: bool, reading: Reading) {
        let seen = |stored| Some(Seen { stored, steady: reading.steady_at(stored) });
        if let Some(next_poll) = next_poll {
            self.next_poll = seen(next_poll);
        }
        if marked {
            self.mark_at = seen(reading.wall);
        }
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

/// When another process, or an operator, last saved the source, as far as can be told. One that
/// nobody asked or polled is due since it was made.
fn saved(state: &SourceState) -> Micros {
    let reported = Report::last(state).and_then(|report| report.at.parse().ok());
    let saved = state.mark_at.max(state.asked_at).max(reported.unwrap_or_default());
    if saved == Micros::default() { state.next_poll } else { saved }
}
