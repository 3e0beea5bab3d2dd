//! What is counted of deliveries.

use sinks::Outcome;

use super::Worker;
use crate::{
    dispatcher::landing::Judged,
    event::Micros,
    settle::Verdict,
    store::{DeadReason, NewDeadLetter},
    telemetry::Class,
};

impl Worker {
    /// Counts what became of events that were recorded at these moments.
    pub(super) fn count(&self, judged: &Judged, outcome: &Outcome, recorded: &[Micros]) {
        let (now, failed) = (self.tools.clock.now(), Class::of_failed(outcome));
        for (verdict, recorded) in judged.verdicts.iter().zip(recorded) {
            let has_arrived = *verdict == Verdict::Delivered;
            self.deliveries.attempted(if has_arrived { Class::Success } else { failed }, 1);
            // How long ago a replayed event was recorded tells nothing of how it is delivered.
            if has_arrived && self.replay.is_none() {
                self.deliveries.seconds.observe(now.since(*recorded).as_secs_f64());
            }
        }
    }

    /// Logs what was given up after attempts: one line for all of a save.
    pub(super) fn log_given_up(&self, dead: &[NewDeadLetter]) {
        let mut given_up = dead.iter().filter(|letter| !is_unsent(letter));
        let Some(last) = given_up.next_back() else { return };
        let count = given_up.count() as u64 + 1;
        let (subscription, topic) = (self.assignment.addressee.name.as_str(), &self.topic.topic);
        let (reason, error): (&str, _) = (last.reason.into(), last.last.error.as_deref());
        tracing::warn!(
            event = "dead_letter.added",
            subscription, %topic, count, version = last.version.0, reason,
            status = last.last.status, error,
            "events became dead letters"
        );
    }

    /// What died of its filter or transform, is damaged or too large to be sent, died without an
    /// attempt that was judged: it counts, and is logged and traced, all the same.
    pub(super) fn count_unsent(&mut self, dead: &[NewDeadLetter]) {
        let mut unsent = dead.iter().filter(|letter| is_unsent(letter));
        let Some(last) = unsent.next_back() else { return };
        let count = unsent.clone().count() as u64 + 1;
        self.deliveries.attempted(Class::Ours, count);
        let (subscription, topic) = (self.assignment.addressee.name.as_str(), &self.topic.topic);
        let error = last.last.error.as_deref();
        tracing::warn!(
            event = "dead_letter.added",
            subscription, %topic, count, version = last.version.0, error,
            "events died unsent"
        );
        let now = self.tools.clock.steady();
        for letter in unsent.chain([last]) {
            let (tried, error) = ((letter.version, letter.attempts + 1), letter.last.error.clone());
            self.record_unsent(tried, now, "dead", error);
        }
        // There may be no other save that would bring them.
        self.tools.store.trace(std::mem::take(&mut self.records));
    }
}

/// Whether it died without an attempt that was judged.
fn is_unsent(letter: &NewDeadLetter) -> bool {
    use DeadReason::{Damaged, Expression, TooLarge};
    matches!(letter.reason, Expression | Damaged | TooLarge)
}
