//! What the health of an endpoint is told, and what it answers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    event::{Micros, Version},
    settings::HoldPolicy,
    settle::Fault,
};

/// A delivery's identity among all of a subscription.
pub type DeliveryId = (i64, Version);

/// What a trial is to be made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// The next event not yet tried.
    New,
    /// The oldest that is due.
    Oldest,
}

/// What a position may start now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// So many.
    Free(usize),
    /// One, on hold.
    Trial(Turn),
    /// Nothing.
    Wait,
}

/// An attempt that ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// Which.
    pub delivery: DeliveryId,
    /// When it was begun.
    pub started: Micros,
    /// What was wrong, if anything.
    pub fault: Option<Fault>,
    /// How long the receiver asked to be left alone.
    pub retry_after: Duration,
    /// Whether the event stood out before, so that its failure tells nothing of the endpoint.
    pub stands_out: bool,
    /// Whether the failure was the relay's own: such a hold is never given up.
    pub is_ours: bool,
    /// Whether the order lets no other event be tried that could tell of the endpoint.
    pub is_alone: bool,
}

impl Ended {
    /// Whether the endpoint said that it was sent too much.
    pub(super) const fn is_throttled(&self) -> bool {
        matches!(self.fault, Some(Fault::Endpoint { throttled: true }))
    }

    /// How long it asked to be left alone with that.
    pub(super) fn asked(&self, policy: &HoldPolicy) -> Duration {
        if self.is_throttled() { self.retry_after.min(policy.max) } else { Duration::ZERO }
    }
}

/// What an attempt that ended has changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Learnt {
    /// The state is another and is to be saved.
    pub changed: bool,
    /// Too many at once, told for the first time of all that were in flight together.
    pub refused: bool,
    /// The hold that began.
    pub held: Option<Held>,
    /// When the hold had begun that ended.
    pub recovered: Option<Micros>,
}

/// A hold that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// When.
    pub since: Micros,
    /// How long the endpoint asked to be left alone; zero: it failed too often.
    pub asked: Duration,
}
