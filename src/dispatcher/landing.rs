//! What a request that is over means for its events and its endpoint.

use sinks::{Answer, Outcome};

use super::{
    endpoint::Endpoint,
    parcel::Addressee,
    window::{Settled, Window},
};
use crate::{
    event::{Micros, Version},
    health::{Ended, Learnt},
    settings::Order,
    settle::{self, Attempted, Fault, Verdict},
    store::{Attempt, DeadReason, Exception, ExceptionKind, LastAnswer, NewDeadLetter},
};

/// A request that ended with an outcome.
pub(super) struct Landing<'a> {
    pub(super) addressee: &'a Addressee,
    /// It went to an address that is no longer the endpoint's, of which it tells nothing.
    pub(super) is_moved: bool,
    pub(super) position: i64,
    pub(super) topic: i64,
    /// In rising order; not empty.
    pub(super) versions: &'a [Version],
    pub(super) attempt: u32,
    pub(super) started: Micros,
    pub(super) ended: Micros,
    pub(super) outcome: &'a Outcome,
    /// In `[0, 1)`: decides the jitter.
    pub(super) chance: f64,
}

/// What became of it.
pub(super) struct Judged {
    /// One for each version, in order.
    pub(super) verdicts: Vec<Verdict>,
    /// Their records for the trace.
    pub(super) records: Vec<Attempt>,
    /// What the endpoint's health learnt.
    pub(super) learnt: Learnt,
    /// How it ended.
    pub(super) last: LastAnswer,
    /// Whether the endpoint said that it is gone.
    pub(super) gone: bool,
    /// Whether a hold has now lasted too long.
    pub(super) given_up: bool,
}

/// What is known of the endpoint when an attempt is judged.
#[derive(Clone, Copy)]
struct Known {
    holding: bool,
    /// Deliveries that succeeded so far.
    successes: u64,
}

/// Settles a request in its window, and lets the endpoint's health learn of it; `ceiling` is what
/// the settings permit in flight.
pub(super) fn land(
    landing: &Landing<'_>,
    ceiling: usize,
    window: &mut Window,
    endpoint: &Endpoint,
) -> Judged {
    let known = {
        let health = endpoint.health();
        Known { holding: health.is_holding(), successes: health.successes() }
    };
    let verdicts = landing.verdicts(window, known);
    let mut learnt = Learnt::default();
    let mut given_up = false;
    if !landing.is_moved && !settle::is_of_the_machine(landing.outcome) {
        learnt = landing.teach(&verdicts, ceiling, window, endpoint, known);
        let hold = &landing.addressee.settings.hold;
        given_up = landing.fault().is_some() && endpoint.health().is_given_up(hold, landing.ended);
    }
    if verdicts.contains(&Verdict::Halve) {
        window.split(landing.versions);
    } else {
        for (version, verdict) in landing.versions.iter().zip(&verdicts) {
            let settled = landing.settled(*version, *verdict, window, known);
            window.settle(*version, settled);
        }
    }
    let records = landing.versions.iter().zip(&verdicts);
    let records = records.map(|(version, verdict)| landing.record(*version, *verdict)).collect();
    let last = last_answer(landing.outcome);
    let gone = settle::is_gone(landing.outcome) && !landing.is_moved;
    Judged { verdicts, records, learnt, last, gone, given_up }
}

impl Landing<'_> {
    fn fault(&self) -> Option<Fault> {
        settle::fault(self.outcome)
    }

    fn is_alone(&self) -> bool {
        self.versions.len() == 1
    }

    /// The last version that a success stands for.
    fn accepted_up_to(&self) -> Version {
        match self.outcome {
            Outcome::Answered(Answer { accepted_up_to: Some(up_to), .. }) => Version(*up_to),
            _ => Version::MAX,
        }
    }

    fn verdicts(&self, window: &Window, known: Known) -> Vec<Verdict> {
        let at_most_once = self.addressee.settings.is_at_most_once();
        let never_left = settle::is_of_the_machine(self.outcome);
        let verdict = |version: &Version| match self.verdict(*version, window, known) {
            // What was settled before it was sent is never sent again.
            Verdict::RetryAt(_) | Verdict::Gone | Verdict::Halve | Verdict::Back
                if at_most_once && !never_left =>
            {
                Verdict::Dead(DeadReason::Attempts)
            }
            verdict => verdict,
        };
        self.versions.iter().map(verdict).collect()
    }

    fn verdict(&self, version: Version, window: &Window, known: Known) -> Verdict {
        let prior = tried(window, version);
        let policy = &self.addressee.settings.retry;
        let attempted = |counts: bool| Attempted {
            counted: prior.map_or(0, |prior| prior.attempts) + u32::from(counts),
            counts,
            first: prior.map_or(self.started, |prior| prior.first),
        };
        let accepted = self.accepted_up_to();
        match self.fault() {
            None if version <= accepted => Verdict::Delivered,
            // The first that was not accepted has failed; of those behind it nothing is known.
            None if self.versions.iter().find(|sent| **sent > accepted) == Some(&version) => {
                settle::again(attempted(true), self.ended, policy, self.ended, self.chance)
            }
            None => Verdict::Back,
            Some(Fault::Event) if !self.is_alone() && settle::is_gone(self.outcome) => {
                Verdict::Gone
            }
            Some(Fault::Event) if !self.is_alone() => Verdict::Halve,
            Some(fault) => {
                let counts = self.counts(fault, prior, known);
                settle::judge(attempted(counts), self.outcome, policy, self.ended, self.chance)
            }
        }
    }

    /// Whether a failure counts against its event.
    fn counts(&self, fault: Fault, prior: Option<&Exception>, known: Known) -> bool {
        match fault {
            Fault::Event => !known.holding,
            // Only when another event succeeded between two failures of this one.
            Fault::Endpoint { .. } => {
                !settle::is_ours(self.outcome)
                    && prior.is_some_and(|prior| known.successes > prior.successes)
            }
        }
    }

    fn teach(
        &self,
        verdicts: &[Verdict],
        ceiling: usize,
        window: &Window,
        endpoint: &Endpoint,
        known: Known,
    ) -> Learnt {
        let first = self.versions.first().copied().unwrap_or_default();
        let prior = tried(window, first);
        // What was said of the events alone tells nothing of the endpoint: those that were refused
        // for good, and a batch, which is looked into first.
        let of_the_events = !self.is_alone()
            || verdicts
                .iter()
                .any(|one| matches!(one, Verdict::Dead(DeadReason::Refused) | Verdict::Gone));
        let ended = Ended {
            delivery: (self.position, first),
            started: self.started,
            fault: self.fault(),
            retry_after: settle::retry_after(self.outcome),
            stands_out: of_the_events || stands_out(prior, known.successes),
            is_ours: settle::is_ours(self.outcome),
            is_alone: self.addressee.settings.order == Order::Strict,
        };
        let arrived = verdicts.iter().filter(|verdict| **verdict == Verdict::Delivered).count();
        endpoint.learn(ended, &self.addressee.settings.hold, ceiling, arrived, self.ended)
    }

    fn settled(
        &self,
        version: Version,
        verdict: Verdict,
        window: &Window,
        known: Known,
    ) -> Settled {
        let prior = tried(window, version);
        let first = prior.map_or(self.started, |prior| prior.first);
        match verdict {
            Verdict::Delivered => Settled::Delivered,
            Verdict::Gone | Verdict::Back | Verdict::Halve => Settled::Back,
            Verdict::Dead(reason) => {
                let last = last_answer(self.outcome);
                let attempts = self.attempt;
                Settled::Dead(NewDeadLetter { version, reason, attempts, first, last })
            }
            Verdict::RetryAt(due) => {
                let counts = self.fault().is_none_or(|fault| self.counts(fault, prior, known));
                Settled::Retry(Exception {
                    version,
                    kind: ExceptionKind::Retry,
                    attempts: prior.map_or(0, |prior| prior.attempts) + u32::from(counts),
                    tries: self.attempt,
                    due,
                    first,
                    successes: known.successes,
                    stands_out: stands_out(prior, known.successes),
                    last: last_answer(self.outcome),
                    lane: None,
                })
            }
        }
    }

    fn record(&self, version: Version, verdict: Verdict) -> Attempt {
        let LastAnswer { status, error } = last_answer(self.outcome);
        let answer = match self.outcome {
            Outcome::Answered(answer) => answer.body.to_vec(),
            Outcome::Silent { .. } => Vec::new(),
        };
        let duration = self.ended.since(self.started);
        Attempt {
            id: 0,
            subscription: self.addressee.subscription,
            topic: self.topic,
            version,
            attempt: self.attempt,
            started: self.started,
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            status,
            answer,
            error,
            verdict: verdict.as_str().to_owned(),
        }
    }
}

/// What is known of an event that was tried before.
fn tried(window: &Window, version: Version) -> Option<&Exception> {
    window.exception(version).filter(|prior| prior.tries > 0)
}

/// Whether an event is known to fail by itself: it was answered with a clear failure, and others
/// arrived after that. Once known, that stays.
fn stands_out(prior: Option<&Exception>, successes: u64) -> bool {
    prior.is_some_and(|prior| {
        let failed = prior.last.status.and_then(settle::fault_of) == Some(Fault::Event);
        prior.stands_out || (failed && successes > prior.successes)
    })
}

fn last_answer(outcome: &Outcome) -> LastAnswer {
    match outcome {
        Outcome::Answered(Answer { status, note, .. }) => {
            LastAnswer { status: Some(*status), error: note.clone() }
        }
        Outcome::Silent { kind, message } => {
            LastAnswer { status: None, error: Some(format!("{}: {message}", kind.as_str())) }
        }
    }
}
