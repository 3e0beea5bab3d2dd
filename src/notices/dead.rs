//! Dead letters of one subscription, counted until they may be told of again.

use super::{DEAD_EVERY, notice::DeadLetters};
use crate::event::Micros;

/// The first is told at once, what follows once a minute, with its count.
#[derive(Debug)]
pub(super) struct Dead {
    /// The latest, with the count since the last notice.
    letters: Option<DeadLetters>,
    /// Not to be told before.
    due: Micros,
}

impl Dead {
    pub(super) const fn new(letters: DeadLetters, now: Micros) -> Self {
        Self { letters: Some(letters), due: now }
    }

    pub(super) fn add(&mut self, letters: DeadLetters) {
        let counted = self.letters.as_ref().map_or(0, |before| before.count);
        let count = letters.count.saturating_add(counted);
        self.letters = Some(DeadLetters { count, ..letters });
    }

    /// What is to be told at `now`; with `all`, whether its minute is over or not.
    pub(super) fn take(&mut self, now: Micros, all: bool) -> Option<DeadLetters> {
        if now < self.due && !all {
            return None;
        }
        let letters = self.letters.take()?;
        self.due = now.plus(DEAD_EVERY);
        Some(letters)
    }

    pub(super) const fn due(&self) -> Micros {
        self.due
    }

    /// Whether nothing is to be told, and whatever comes may be told at once.
    pub(super) fn is_over(&self, now: Micros) -> bool {
        self.letters.is_none() && now >= self.due
    }
}
