//! Failures in a row, and whether they tell of the endpoint or of an event.

use std::collections::VecDeque;

use super::told::{DeliveryId, Ended};
use crate::{event::Micros, settle::Fault};

/// The most failures in a row that are remembered.
const FAILURES_MAX: usize = 1_000;

/// The failures since the last success.
#[derive(Debug, Clone, Default)]
pub(super) struct Failures {
    /// Each with whether it was the endpoint's own.
    pub(super) last: VecDeque<(DeliveryId, bool)>,
    /// A success since the last refusal.
    served: bool,
    /// What was begun before this was refused together with the first after a success.
    excused: Micros,
}

impl Failures {
    /// Forgets them at a success.
    pub(super) fn end(&mut self) {
        self.served = true;
        self.last.clear();
    }

    /// Takes in a failure; `refused`: it asked for fewer requests, for the first time of those that
    /// were in flight together. Answers whether the failures in a row are enough for a hold.
    pub(super) fn add(&mut self, ended: &Ended, refused: bool, after: u32, now: Micros) -> bool {
        if refused && std::mem::take(&mut self.served) {
            self.excused = now;
        }
        // Those that were refused together by an endpoint that takes something were refused once;
        // one that takes nothing is as dead as any.
        let together = ended.is_throttled() && !refused && ended.started < self.excused;
        let is_endpoints = ended.fault != Some(Fault::Event);
        if !together && (is_endpoints || !ended.stands_out) {
            self.last.push_back((ended.delivery, is_endpoints));
        }
        let after = usize::try_from(after).unwrap_or(FAILURES_MAX).clamp(1, FAILURES_MAX);
        while self.last.len() > after {
            self.last.pop_front();
        }
        self.last.len() >= after && self.tell_of_endpoint()
    }

    /// Forgets them at a hold; answers whether some were clear answers to events.
    pub(super) fn take_answered(&mut self) -> bool {
        let answered = self.last.iter().any(|(_, endpoint)| !endpoint);
        self.last.clear();
        answered
    }

    /// Whether they are of two events, or of one that got no proper answer.
    fn tell_of_endpoint(&self) -> bool {
        let first = self.last.front().map(|(delivery, _)| *delivery);
        self.last.iter().any(|(delivery, _)| Some(*delivery) != first)
            || self.last.iter().all(|(_, endpoint)| *endpoint)
    }
}
