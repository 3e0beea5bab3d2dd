//! How many requests an endpoint is sent at once, when it bears fewer than the settings say.

use serde::{Deserialize, Serialize};

use crate::event::Micros;

/// A limit that rises with successes and is halved by refusals.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Limit {
    /// The most that may be in flight; `None`: what the settings say.
    pub(super) permitted: Option<usize>,
    /// Successes since `permitted` last rose.
    #[serde(skip)]
    round: usize,
    #[serde(skip)]
    halved: Micros,
}

impl Limit {
    /// How many may be started while so many are in flight.
    pub(super) fn free(&self, in_flight: usize) -> usize {
        self.permitted.map_or(usize::MAX, |permitted| permitted.saturating_sub(in_flight))
    }

    /// One at a time, as after a hold.
    pub(super) const fn reopen(&mut self) {
        self.permitted = Some(1);
        self.round = 0;
    }

    /// One more for each success, which doubles with every round, if it `doubles`; else one more a
    /// round. Up to `ceiling`, where there is no limit. Answers whether it is another now.
    pub(super) fn rise(&mut self, doubles: bool, ceiling: usize) -> bool {
        let Some(permitted) = self.permitted else { return false };
        self.round += 1;
        let rises = doubles || self.round >= permitted;
        if rises {
            self.permitted = Some(permitted + 1);
            self.round = 0;
        }
        if permitted + 1 >= ceiling {
            self.permitted = None;
        }
        rises || self.permitted.is_none()
    }

    /// Whether what was begun at `started` met the present limit, and not one before.
    pub(super) fn met(&self, started: Micros) -> bool {
        started >= self.halved
    }

    /// Halves what is permitted. Answers whether it is another now.
    pub(super) fn halve(&mut self, ceiling: usize, now: Micros) -> bool {
        let before = self.permitted;
        self.permitted = Some((before.unwrap_or(ceiling).min(ceiling) / 2).max(1));
        self.halved = now;
        self.round = 0;
        self.permitted != before
    }
}
