//! What one attempt means for its event: pure arithmetic over the answer and the policy.

use std::time::Duration;

use sinks::{Answer, Outcome, RetryAfter, SilentKind};

use crate::{event::Micros, retry, settings::RetryPolicy, store::DeadReason};

/// The longest `Retry-After` that an event's next attempt waits for.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// The attempt that is judged.
#[derive(Debug, Clone, Copy)]
pub struct Attempted {
    /// Attempts that count against the event, this one included if it does.
    pub counted: u32,
    /// Whether this one counts; one that does not can never kill.
    pub counts: bool,
    /// When the event was first tried, shifted by the length of holds and pauses.
    pub first: Micros,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The event arrived.
    Delivered,
    /// It is tried again, not before this moment.
    RetryAt(Micros),
    /// It is given up.
    Dead(DeadReason),
    /// The endpoint is gone (410); the event stays owed.
    Gone,
    /// It was in a batch that failed, and goes again with half of it.
    Halve,
    /// It was in a batch of which only a part was accepted, and goes again.
    Back,
}

impl Verdict {
    /// The word for metrics and traces.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::RetryAt(_) | Self::Halve | Self::Back => "retry",
            Self::Dead(_) => "dead",
            Self::Gone => "gone",
        }
    }
}

/// Whose failure an attempt that did not deliver is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The event's: a clear answer to it.
    Event,
    /// The endpoint's: no HTTP answer, 429, 502, 503, 504.
    Endpoint {
        /// 429 and 503: too many at once.
        throttled: bool,
    },
}

/// Whose failure an outcome is; `None` for a success.
#[must_use]
pub fn fault(outcome: &Outcome) -> Option<Fault> {
    match outcome {
        Outcome::Answered(answer) => fault_of(answer.status),
        Outcome::Silent { .. } => Some(Fault::Endpoint { throttled: false }),
    }
}

/// Whose failure a status is; `None` for a success.
#[must_use]
pub const fn fault_of(status: u16) -> Option<Fault> {
    match status {
        200..300 => None,
        429 | 503 => Some(Fault::Endpoint { throttled: true }),
        502 | 504 => Some(Fault::Endpoint { throttled: false }),
        _ => Some(Fault::Event),
    }
}

/// Whether a failure is neither the event's nor the endpoint's, but the relay's own, its machine's
/// or its proxy's.
#[must_use]
pub fn is_ours(outcome: &Outcome) -> bool {
    let is_guards = |kind| matches!(kind, SilentKind::Forbidden | SilentKind::Proxy);
    is_of_the_machine(outcome)
        || matches!(outcome, Outcome::Silent { kind, .. } if is_guards(*kind))
}

/// Whether the relay's machine had no file, port or memory left for a request: nothing was sent,
/// nothing is known of the endpoint, and it may be well the next moment.
#[must_use]
pub fn is_of_the_machine(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Silent { kind: SilentKind::Machine, .. })
}

/// Whether the endpoint said that it is gone for good.
#[must_use]
pub fn is_gone(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Answered(answer) if answer.status == 410)
}

/// Judges one attempt that ended at `now`; `chance` in `[0, 1)` decides the jitter.
#[must_use]
pub fn judge(
    attempt: Attempted,
    outcome: &Outcome,
    policy: &RetryPolicy,
    now: Micros,
    chance: f64,
) -> Verdict {
    if let Outcome::Answered(answer) = outcome {
        match answer.status {
            200..300 => return Verdict::Delivered,
            410 => return Verdict::Gone,
            status if answer.never_retry || policy.never_retry.contains(&status) => {
                return Verdict::Dead(DeadReason::Refused);
            }
            _ => {}
        }
    }
    let not_before = now.plus(retry_after(outcome).min(RETRY_AFTER_MAX));
    again(attempt, not_before, policy, now, chance)
}

/// What follows on an attempt that failed at `now`: another, not before a moment, or the end.
#[must_use]
pub fn again(
    attempt: Attempted,
    not_before: Micros,
    policy: &RetryPolicy,
    now: Micros,
    chance: f64,
) -> Verdict {
    let delay = if attempt.counts {
        match retry::delay(policy, attempt.counted, chance) {
            Some(delay) => delay,
            None => return Verdict::Dead(DeadReason::Attempts),
        }
    } else {
        retry::pause(&policy.delays, attempt.counted, chance)
    };
    let due = now.plus(delay).max(not_before);
    let age = due.since(attempt.first);
    if attempt.counts && policy.max_age.is_some_and(|max| age > max) {
        return Verdict::Dead(DeadReason::Age);
    }
    Verdict::RetryAt(due)
}

/// How long the receiver asked to be left alone; zero when it did not, or only until a moment that
/// [`timed`] has not read.
#[must_use]
pub const fn retry_after(outcome: &Outcome) -> Duration {
    match outcome {
        Outcome::Answered(Answer { retry_after: Some(RetryAfter::Seconds(seconds)), .. }) => {
            Duration::from_secs(*seconds)
        }
        _ => Duration::ZERO,
    }
}

/// The outcome with a length of time where the receiver named a moment; it came when the wall
/// showed `now`.
#[must_use]
pub fn timed(mut outcome: Outcome, now: Micros) -> Outcome {
    if let Outcome::Answered(Answer { retry_after: Some(asked @ RetryAfter::At(_)), .. }) =
        &mut outcome
        && let RetryAfter::At(moment) = *asked
    {
        let left = Micros(moment.saturating_mul(1_000_000)).since(now);
        *asked = RetryAfter::Seconds(left.as_secs());
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Delays;

    const NOW: Micros = Micros(1_000_000_000_000);

    fn answer(status: u16) -> Answer {
        Answer { status, ..Answer::default() }
    }

    fn policy() -> RetryPolicy {
        let delays = Delays::Schedule { delays: vec![Duration::from_secs(10); 3], jitter: 0.0 };
        RetryPolicy { delays, never_retry: vec![422], ..RetryPolicy::default() }
    }

    fn counted(counted: u32) -> Attempted {
        Attempted { counted, counts: true, first: NOW }
    }

    fn after(seconds: u64) -> Verdict {
        Verdict::RetryAt(NOW.plus(Duration::from_secs(seconds)))
    }

    #[test]
    fn statuses_are_judged_by_the_table() {
        let dead = Verdict::Dead;
        for (status, attempts, verdict) in [
            (200, 1, Verdict::Delivered),
            (204, 9, Verdict::Delivered),
            (299, 4, Verdict::Delivered),
            (301, 1, after(10)),
            (404, 3, after(10)),
            (404, 4, dead(DeadReason::Attempts)),
            (410, 1, Verdict::Gone),
            (410, 4, Verdict::Gone),
            (422, 1, dead(DeadReason::Refused)),
            (500, 1, after(10)),
            (503, 4, dead(DeadReason::Attempts)),
        ] {
            let outcome = Outcome::Answered(answer(status));
            let got = judge(counted(attempts), &outcome, &policy(), NOW, 0.5);
            assert_eq!(got, verdict, "{status} after {attempts}");
        }
    }

    #[test]
    fn what_does_not_count_never_kills() {
        let silent = Outcome::Silent { kind: SilentKind::Refused, message: String::new() };
        let old = NOW.minus(Duration::from_hours(1_000));
        let attempt = Attempted { counted: 99, counts: false, first: old };
        let policy = RetryPolicy { max_age: Some(Duration::from_hours(1)), ..policy() };
        assert_eq!(judge(attempt, &silent, &policy, NOW, 0.5), after(10));
        let dead = judge(Attempted { counts: true, ..attempt }, &silent, &policy, NOW, 0.5);
        assert_eq!(dead, Verdict::Dead(DeadReason::Attempts));
    }

    #[test]
    fn the_receiver_can_refuse_an_event_but_not_a_success() {
        let no = |status| Outcome::Answered(Answer { never_retry: true, ..answer(status) });
        let verdict = |status| judge(counted(1), &no(status), &policy(), NOW, 0.5);
        assert_eq!(verdict(500), Verdict::Dead(DeadReason::Refused));
        assert_eq!(verdict(200), Verdict::Delivered);
        assert_eq!(verdict(410), Verdict::Gone);
    }

    #[test]
    fn retry_after_is_a_floor_of_at_most_a_day() {
        let asked = |retry_after| {
            let outcome =
                Outcome::Answered(Answer { retry_after: Some(retry_after), ..answer(503) });
            judge(counted(1), &timed(outcome, NOW), &policy(), NOW, 0.5)
        };
        assert_eq!(asked(RetryAfter::Seconds(3)), after(10));
        assert_eq!(asked(RetryAfter::Seconds(600)), after(600));
        assert_eq!(asked(RetryAfter::Seconds(u64::MAX)), after(86_400));
        assert_eq!(asked(RetryAfter::At(NOW.seconds() + 50)), after(50));
        assert_eq!(asked(RetryAfter::At(NOW.seconds() - 50)), after(10));
        assert_eq!(asked(RetryAfter::At(i64::MAX)), after(86_400));
    }

    #[test]
    fn age_is_counted_to_the_next_attempt() {
        let policy = RetryPolicy { max_age: Some(Duration::from_secs(30)), ..policy() };
        let tried = |ago| {
            let first = NOW.minus(Duration::from_secs(ago));
            let outcome = Outcome::Answered(answer(500));
            judge(Attempted { first, ..counted(1) }, &outcome, &policy, NOW, 0.5)
        };
        assert_eq!(tried(20), after(10));
        assert_eq!(tried(21), Verdict::Dead(DeadReason::Age));
    }

    /// One event's life by the plainest reading of the rules.
    fn expected(
        counted: u32,
        status: u16,
        never_retry: bool,
        policy: &RetryPolicy,
    ) -> &'static str {
        match status {
            200..=299 => "delivered",
            410 => "gone",
            _ if never_retry || policy.never_retry.contains(&status) => "dead",
            _ if counted >= policy.max_attempts.unwrap_or(4) => "dead",
            _ => "retry",
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(crate::cases()))]

        #[test]
        fn an_event_lives_by_the_rules(
            statuses in proptest::collection::vec((100_u16..600, proptest::bool::weighted(0.02), 0_u64..200_000), 1..30),
            max_attempts in proptest::option::of(1_u32..8),
        ) {
            let policy = RetryPolicy { max_attempts, ..policy() };
            let mut now = NOW;
            for (counted, (status, never_retry, asked)) in (1..).zip(statuses) {
                let retry_after = Some(RetryAfter::Seconds(asked));
                let outcome = Outcome::Answered(Answer { never_retry, retry_after, ..answer(status) });
                let verdict = judge(Attempted { first: NOW, ..self::counted(counted) }, &outcome, &policy, now, 0.5);
                proptest::prop_assert_eq!(verdict.as_str(), expected(counted, status, never_retry, &policy));
                let Verdict::RetryAt(due) = verdict else { break };
                let wait = due.since(now);
                proptest::prop_assert!(wait >= Duration::from_secs(asked).min(RETRY_AFTER_MAX));
                proptest::prop_assert!(wait >= Duration::from_secs(10) && wait <= RETRY_AFTER_MAX);
                now = due;
            }
        }
    }
}
