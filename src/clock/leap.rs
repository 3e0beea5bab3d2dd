//! A wall that is set: seen by its distance from the steady reading, and believed at once when it
//! went back, only after hours when it went forth.

use std::{
    sync::atomic::{AtomicI64, Ordering::Relaxed},
    time::Duration,
};

use parking_lot::Mutex;

use crate::event::Micros;

/// A wall that was set forth is believed after so long.
pub const CONFIRMED_AFTER: Duration = Duration::from_hours(6);
/// A smaller difference between two looks is the steering of the clock by NTP, and no leap.
pub const LEAP_MIN_US: i64 = 1_000_000;

/// What happened to the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leap {
    /// The wall was set by so many microseconds; below 0: back.
    Set(i64),
    /// The machine was suspended for so long.
    Slept(Duration),
    /// The wall was set forth hours ago, by so many microseconds in all, and is believed now.
    Confirmed(i64),
}

/// What is known of the distance from the steady reading to the wall, in microseconds.
#[derive(Debug, Default)]
pub(super) struct Leaps {
    /// The distance that is believed.
    believed: AtomicI64,
    /// The last distance seen, and since when the wall is ahead of what is believed.
    seen: Mutex<(i64, Option<Micros>)>,
}

impl Leaps {
    /// The present moment as far as it is believed.
    pub(super) fn believed(&self, steady: Micros, wall: Micros) -> Micros {
        let most = steady.0.saturating_add(self.believed.load(Relaxed)).saturating_add(LEAP_MIN_US);
        Micros(wall.0.min(most))
    }

    /// Takes in a pair of readings; what of them is worth telling.
    pub(super) fn look(&self, steady: Micros, wall: Micros) -> Option<Leap> {
        let distance = wall.0.saturating_sub(steady.0);
        let mut seen = self.seen.lock();
        let (before, ahead_since) = *seen;
        let set = distance.saturating_sub(before);
        let believed = self.believed.load(Relaxed);
        let leapt = set.abs() >= LEAP_MIN_US;
        let is_ahead = distance > believed && (leapt || ahead_since.is_some());
        let since = is_ahead.then(|| if leapt { steady } else { ahead_since.unwrap_or(steady) });
        let confirmed = since.is_some_and(|since| steady.since(since) >= CONFIRMED_AFTER);
        if !is_ahead || confirmed {
            self.believed.store(distance, Relaxed);
        }
        *seen = (distance, since.filter(|_| !confirmed));
        match (leapt, confirmed) {
            (true, _) => Some(Leap::Set(set)),
            (false, true) => Some(Leap::Confirmed(distance.saturating_sub(believed))),
            (false, false) => None,
        }
    }
}
