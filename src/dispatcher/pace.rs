//! How fast a subscription is served: the rate it asked for, the rate its endpoint allows, and the
//! rate that an endpoint which answers 429 or 503 is found to bear. Pure.
//!
//! A limit on what is in flight cannot hold back a fast endpoint, for one request after another may
//! be too much for it. So the first refusal of a round sets a rate: somewhat less than what the
//! endpoint took in the second before. Counted is when requests were begun, not when their answers
//! were read, for a process that stood still reads them late. From there it rises quickly to just
//! below what was borne, slowly beyond, and then faster and faster, until the next refusal or until
//! it matters no more.

use std::{collections::VecDeque, ops::RangeInclusive, time::Duration};

use crate::event::Micros;

/// Starts may be so much early, so that a timer of a millisecond does not halve a rate.
const EARLY: Duration = Duration::from_millis(10);
/// Successes are counted in pieces of so many microseconds, of which a second has twenty.
const PIECE_US: i64 = 50_000;
const SECOND: i64 = 20;
/// How far back they are remembered: answers that took longer tell of no rate.
const PIECES_MAX: usize = 200;
/// The first pause after a refusal; doubles with each refusal that no success comes between.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Fewer a second are too few to tell a rate from.
const FEW: f64 = 20.0;
/// Then so many refusals in a row tell that it is no chance.
const IN_A_ROW: u32 = 3;
/// A refusal so soon after the rate was lowered is not the rate's fault.
const UNEXPLAINED_FOR: Duration = Duration::from_millis(3_500);
/// After so many of those, refusals have nothing to do with the rate, for a while.
const UNEXPLAINED_MAX: u32 = 3;
const IMMUNE_FOR: Duration = Duration::from_mins(1);
/// A found rate that was raised to so many times what was borne is forgotten.
const FORGOTTEN_AT: f64 = 20.0;

/// The pace of one subscription.
#[derive(Debug, Default)]
pub struct Pace {
    /// The lower of the rates asked for and allowed, a second.
    set: Option<f64>,
    found: Option<Found>,
    /// When the next start would be right on time.
    next: Micros,
    /// What arrived of that which was begun in each piece, in order.
    meter: VecDeque<(i64, u64)>,
    /// Refusals since the last success.
    refused: u32,
    /// The last refusal is not explained by the rate; what comes next tells more.
    doubted: bool,
    /// Such refusals since the rate was lowered, each with a success right after it.
    unexplained: u32,
    /// Until then a refusal sets no rate.
    immune: Micros,
}

/// A rate that was found out.
#[derive(Debug, Clone, Copy)]
struct Found {
    borne: f64,
    since: Micros,
    /// Whether nothing had been taken that a rate could be told from: it ends with the first
    /// success.
    guessed: bool,
}

impl Found {
    /// What it has risen to.
    fn rate(self, now: Micros) -> f64 {
        let seconds = now.since(self.since).as_secs_f64();
        let share = if seconds < 3.5 {
            0.88 + 0.02 * seconds
        } else if seconds < 13.5 {
            0.95 + 0.004 * (seconds - 3.5)
        } else {
            0.99 * 1.1_f64.powf(seconds - 13.5)
        };
        self.borne * share.min(FORGOTTEN_AT)
    }
}

/// How long `events` take at a rate.
fn step(events: usize, rate: f64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "a request has few events")]
    let step = Duration::try_from_secs_f64(events as f64 / rate);
    step.unwrap_or(PAUSE_MAX)
}

impl Pace {
    /// Sets the rate that is not to be exceeded, in events a second.
    pub fn set(&mut self, rate: Option<f64>) {
        self.set = rate;
    }

    /// When the next event may be started.
    #[must_use]
    pub fn ready_at(&self) -> Micros {
        self.next.minus(EARLY)
    }

    /// Notes that `events` are started at `now`.
    pub fn spend(&mut self, events: usize, now: Micros) {
        if self.found.is_some_and(|found| found.rate(now) >= found.borne * FORGOTTEN_AT) {
            self.found = None;
        }
        let found = self.found.map(|found| found.rate(now));
        let Some(rate) = [self.set, found].into_iter().flatten().reduce(f64::min) else { return };
        // Time that was not used is lost, but for the little that a timer may be late.
        let from = self.next.max(now.minus(EARLY));
        self.next = from.plus(step(events, rate));
    }

    /// Notes that `events` whose rate was not known when they were started leave at `now`: the next
    /// start is a whole step behind them.
    pub fn left(&mut self, events: usize, now: Micros) {
        if let Some(rate) = self.set {
            self.next = self.next.max(now.plus(step(events, rate)));
        }
    }

    /// Notes that `events` arrived in a request begun at `started`.
    pub fn succeeded(&mut self, events: usize, started: Micros, now: Micros) {
        self.refused = 0;
        self.found = self.found.filter(|found| !found.guessed);
        if std::mem::take(&mut self.doubted) {
            self.unexplained += 1;
            if self.unexplained >= UNEXPLAINED_MAX {
                (self.found, self.immune) = (None, now.plus(IMMUNE_FOR));
            }
        }
        self.count(started.0 / PIECE_US, events as u64);
    }

    fn count(&mut self, piece: i64, events: u64) {
        let at = self.meter.partition_point(|(known, _)| *known < piece);
        match self.meter.get_mut(at) {
            Some((known, count)) if *known == piece => *count += events,
            _ => self.meter.insert(at, (piece, events)),
        }
        while self.meter.len() > PIECES_MAX {
            self.meter.pop_front();
        }
    }

    /// Notes that the endpoint refused a request begun at `started` because of too many, once for
    /// all that were in flight together.
    pub fn refuse(&mut self, started: Micros, now: Micros) {
        self.refused = self.refused.saturating_add(1);
        let borne = self.borne(started);
        let alone = borne < FEW && self.refused < IN_A_ROW;
        if now < self.immune || alone {
            return;
        }
        // A limiter refuses the next one too; what failed by itself tells of nothing.
        if self.refused == 1 && self.is_soon(now) {
            self.doubted = true;
            return;
        }
        let pause = PAUSE.saturating_mul(1 << (self.refused - 1).min(10)).min(PAUSE_MAX);
        self.next = self.next.max(now.plus(pause + EARLY));
        self.unexplained = 0;
        let doubted = std::mem::take(&mut self.doubted);
        if self.refused > 1
            && !doubted
            && let Some(found) = &mut self.found
        {
            // It rises again from where it was when the endpoint takes something.
            found.since = now;
            return;
        }
        // What was measured just after a pause is too little to believe.
        let least = self.found.map_or(1.0, |found| found.rate(now) / 2.0);
        // An endpoint that took nothing is out of order, which tells of no rate.
        let guessed = borne == 0.0 && self.found.is_none();
        self.found = Some(Found { borne: borne.max(least), since: now, guessed });
    }

    /// What the endpoint took of the second before `started`. What was begun earlier than a refused
    /// request is mostly answered before it.
    fn borne(&self, started: Micros) -> f64 {
        let last = started.0 / PIECE_US;
        #[expect(clippy::cast_precision_loss, reason = "no endpoint takes 2^52 events a second")]
        let taken = |pieces: RangeInclusive<i64>| {
            let within = self.meter.iter().filter(|(piece, _)| pieces.contains(piece));
            within.map(|(_, count)| *count).sum::<u64>() as f64
        };
        #[expect(clippy::cast_precision_loss, reason = "a piece is short")]
        let left = 1.0 - (started.0 % PIECE_US) as f64 / PIECE_US as f64;
        taken(last - SECOND + 1..=last) + left * taken(last - SECOND..=last - SECOND)
    }

    /// Whether the rate was lowered just now. Below what was borne a limiter refuses nothing; an
    /// endpoint that fails now and then with 503 does, and would be slowed to nothing.
    fn is_soon(&self, now: Micros) -> bool {
        let soon = |found: Found| !found.guessed && now.since(found.since) < UNEXPLAINED_FOR;
        self.found.is_some_and(soon)
    }

    /// Forgets what was found out, as when an operator resumes.
    pub fn forget(&mut self) {
        *self = Self { set: self.set, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000;

    #[test]
    fn a_rate_is_kept_to() {
        let mut pace = Pace::default();
        pace.set(Some(100.0));
        let mut now = Micros(1_000_000_000);
        let mut started = 0;
        let end = now.plus(Duration::from_secs(2));
        while now < end {
            while pace.ready_at() <= now {
                pace.spend(1, now);
                started += 1;
            }
            now = Micros(now.0 + 3 * MS);
        }
        assert!((200..=203).contains(&started), "{started}");
        let mut free = Pace::default();
        free.spend(1_000_000, now);
        assert!(free.ready_at() <= now);
    }

    /// An endpoint that takes so many in each second and refuses the rest.
    fn serve(most: u64, seconds: u64, latency_ms: i64, in_flight: usize) -> (u64, u64) {
        let mut pace = Pace::default();
        let start = Micros(5_000_000_000);
        let (mut now, end) = (start, start.plus(Duration::from_secs(seconds)));
        let mut flying: VecDeque<(Micros, Micros, bool)> = VecDeque::new();
        let (mut second, mut taken, mut cut) = (0, 0, Micros(0));
        let (mut good, mut bad) = (0, 0);
        while now < end {
            while flying.front().is_some_and(|(lands, ..)| *lands <= now) {
                let Some((_, started, arrived)) = flying.pop_front() else { break };
                let settled = now.since(start).as_secs() >= 10;
                if arrived {
                    pace.succeeded(1, started, now);
                    good += u64::from(settled);
                } else {
                    bad += u64::from(settled);
                    if started >= cut {
                        cut = now;
                        pace.refuse(started, now);
                    }
                }
            }
            while flying.len() < in_flight && pace.ready_at() <= now {
                pace.spend(1, now);
                if now.seconds() != second {
                    (second, taken) = (now.seconds(), 0);
                }
                taken += 1;
                flying.push_back((Micros(now.0 + latency_ms * MS), now, taken <= most));
            }
            now = Micros(now.0 + MS / 2);
        }
        (good, bad)
    }

    #[test]
    fn what_an_endpoint_bears_is_found_out() {
        for (most, latency_ms, in_flight) in
            [(2_000, 1, 16), (2_000, 5, 16), (50, 1, 16), (500, 20, 64), (2_000, 1, 1)]
        {
            let (good, bad) = serve(most, 100, latency_ms, in_flight);
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let (share, used) =
                (bad as f64 / (good + bad) as f64, good as f64 / (90 * most.min(2_000)) as f64);
            assert!(share <= 0.02, "{most}/s, {latency_ms} ms: {share:.3} refused");
            assert!(used >= 0.85 || in_flight == 1, "{most}/s, {latency_ms} ms: {used:.3} used");
        }
    }

    #[test]
    fn an_endpoint_that_refuses_everything_is_asked_less_and_less() {
        let (good, bad) = serve(0, 70, 1, 16);
        assert_eq!(good, 0);
        assert!(bad <= 60_000 / 4_900, "{bad}");
    }

    #[test]
    fn an_endpoint_that_fails_now_and_then_is_not_slowed_to_nothing() {
        let mut pace = Pace::default();
        let start = Micros(5_000_000_000);
        let (mut now, mut started, mut chance) = (start, 0_u64, 1_u64);
        while now.since(start) < Duration::from_mins(2) {
            if pace.ready_at() <= now {
                pace.spend(1, now);
                started += 1;
                // Every seventh or so, whatever the rate.
                chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if (chance >> 33).is_multiple_of(7) {
                    pace.refuse(now, now);
                } else {
                    pace.succeeded(1, now, now);
                }
            }
            now = Micros(now.0 + MS);
        }
        assert!(started > 80_000, "{started} of 120000");
    }

    #[test]
    fn an_outage_tells_of_no_rate() {
        let mut pace = Pace::default();
        let mut now = Micros(1_000_000_000);
        for _ in 0..5 {
            pace.refuse(now, now);
            now = now.plus(Duration::from_secs(10));
        }
        pace.spend(1, now);
        pace.succeeded(1, now, now);
        now = now.plus(Duration::from_secs(2));
        for _ in 0..1_000 {
            assert!(pace.ready_at() <= now);
            pace.spend(1, now);
        }
    }

    #[test]
    fn what_a_standstill_delayed_does_not_count_as_slow() {
        let mut pace = Pace::default();
        let start = Micros(5_000_000_000);
        for n in 0..400 {
            let begun = Micros(start.0 + n * MS / 2);
            pace.succeeded(1, begun, begun);
        }
        let refused = Micros(start.0 + 200 * MS);
        pace.refuse(refused, refused.plus(Duration::from_secs(3)));
        let borne = pace.found.map(|found| found.borne);
        assert!(borne.is_some_and(|borne| borne >= 400.0), "{borne:?}");
    }

    #[test]
    fn a_found_rate_is_forgotten_when_it_matters_no_more() {
        let mut pace = Pace::default();
        let now = Micros(1_000_000_000);
        pace.succeeded(100, now, now);
        pace.refuse(now, now);
        let later = now.plus(Duration::from_mins(2));
        pace.spend(1, later);
        assert!(pace.found.is_none());
        assert!(pace.ready_at() <= later);
    }
}
