//! What an attempt that is over means for its event and its endpoint.

use sinks::{Answer, Outcome};

use super::{
    endpoint::Endpoint,
    health::Ended,
    parcel::Plan,
    window::{Settled, Window},
};
use crate::{
    event::{Micros, Version},
    settle::{self, Attempted, Fault, Verdict},
    store::{Attempt, DeadReason, Exception, ExceptionKind, LastAnswer, NewDeadLetter},
};

/// An attempt that ended with an outcome.
pub(super) struct Landing<'a> {
    pub(super) position: i64,
    pub(super) topic: i64,
    pub(super) version: Version,
    pub(super) attempt: u32,
    pub(super) started: Micros,
    pub(super) ended: Micros,
    pub(super) outcome: &'a Outcome,
}

/// What became of it.
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    /// Its record for the trace.
    pub(super) record: Attempt,
    /// Whether a hold has now lasted too long.
    pub(super) given_up: bool,
}

/// Settles an attempt in its window, and lets the endpoint's health learn of it.
pub(super) fn land(
    landing: &Landing<'_>,
    plan: &Plan,
    ceiling: usize,
    window: &mut Window,
    endpoint: &Endpoint,
    chance: f64,
) -> Judged {
    let Landing { version, ended: now, outcome, .. } = *landing;
    let prior = window.exception(version).filter(|prior| prior.tries > 0);
    let fault = settle::fault(outcome);
    let (holding, successes) = {
        let health = endpoint.health();
        (health.is_holding(), health.successes())
    };
    let counts = match fault {
        None => true,
        Some(Fault::Event) => !holding,
        // Only when another event succeeded between two failures of this one.
        Some(Fault::Endpoint { .. }) => prior.is_some_and(|prior| successes > prior.successes),
    };
    let attempted = Attempted {
        counted: prior.map_or(0, |prior| prior.attempts) + u32::from(counts),
        counts,
        first: prior.map_or(landing.started, |prior| prior.first),
    };
    let verdict = settle::judge(attempted, outcome, &plan.settings.retry, now, chance);
    let stands_out = prior.is_some_and(|prior| stands_out(prior, successes));
    // What was said of the event alone tells nothing of the endpoint either.
    let of_the_event = matches!(verdict, Verdict::Dead(DeadReason::Refused) | Verdict::Gone);
    let ended = Ended {
        delivery: (landing.position, version),
        started: landing.started,
        fault,
        retry_after: settle::retry_after(outcome, now),
        stands_out: stands_out || of_the_event,
    };
    let hold = &plan.settings.hold;
    endpoint.change(|health| health.learn(ended, hold, ceiling, now));
    let given_up = fault.is_some() && endpoint.health().is_given_up(hold, now);
    let known = Known { successes, stands_out };
    let settled = settled(landing, attempted, verdict, known, window);
    window.settle(version, settled);
    Judged { verdict, record: record(landing, plan, verdict), given_up }
}

/// Whether an event is known to fail by itself: it was answered with a clear failure, and others
/// arrived after that. Once known, that stays.
fn stands_out(prior: &Exception, successes: u64) -> bool {
    let failed = prior.last.status.and_then(settle::fault_of) == Some(Fault::Event);
    prior.stands_out || (failed && successes > prior.successes)
}

/// What an exception remembers of its endpoint.
#[derive(Clone, Copy)]
struct Known {
    successes: u64,
    stands_out: bool,
}

fn settled(
    landing: &Landing<'_>,
    attempted: Attempted,
    verdict: Verdict,
    known: Known,
    window: &Window,
) -> Settled {
    let Landing { version, attempt, outcome, .. } = *landing;
    let Attempted { counted, first, .. } = attempted;
    match verdict {
        Verdict::Delivered => Settled::Delivered,
        Verdict::Gone => Settled::Back,
        Verdict::Dead(reason) => {
            let last = last_answer(outcome);
            Settled::Dead(NewDeadLetter { version, reason, attempts: attempt, first, last })
        }
        Verdict::RetryAt(due) => Settled::Retry(Exception {
            version,
            kind: ExceptionKind::Retry,
            attempts: counted,
            tries: attempt,
            due,
            first,
            successes: known.successes,
            stands_out: known.stands_out,
            last: last_answer(outcome),
            event: window.exception(version).and_then(|prior| prior.event.clone()),
            lane: None,
        }),
    }
}

fn last_answer(outcome: &Outcome) -> LastAnswer {
    match outcome {
        Outcome::Answered(Answer { status, .. }) => {
            LastAnswer { status: Some(*status), error: None }
        }
        Outcome::Silent { kind, message } => {
            LastAnswer { status: None, error: Some(format!("{}: {message}", kind.as_str())) }
        }
    }
}

fn record(landing: &Landing<'_>, plan: &Plan, verdict: Verdict) -> Attempt {
    let LastAnswer { status, error } = last_answer(landing.outcome);
    let answer = match landing.outcome {
        Outcome::Answered(answer) => answer.body.to_vec(),
        Outcome::Silent { .. } => Vec::new(),
    };
    let duration = landing.ended.since(landing.started);
    Attempt {
        subscription: plan.subscription,
        topic: landing.topic,
        version: landing.version,
        attempt: landing.attempt,
        started: landing.started,
        duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        status,
        answer,
        error,
        verdict: verdict.as_str().to_owned(),
    }
}
