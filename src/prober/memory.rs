//! What one worker remembers between steps, and when it steps again.

use super::due::Due;
use crate::event::Micros;

/// What one worker remembers between steps; losing it loses nothing.
#[derive(Debug, Default)]
pub struct Memory {
    /// Failures since a walk was complete or came further than any that failed.
    pub failures: u32,
    /// The furthest request of a walk, from 1, that was one of them.
    failed_at: u64,
    /// Their kinds: each is logged once.
    told: Vec<&'static str>,
    /// Walks in a row that found nothing.
    pub idle: u32,
    /// Duplicates of the walk under way.
    pub(super) duplicates: u64,
    /// What the last walk warned of, so that it is logged once.
    pub(super) warned: String,
    /// When the source is due.
    pub(super) due: Due,
}

impl Memory {
    /// Notes a page. A walk that fails half-way and starts anew succeeds up to there every time:
    /// that is no recovery.
    pub(super) fn succeeded(&mut self, request: u64, complete: bool) {
        if complete || request >= self.failed_at {
            self.failures = 0;
            self.failed_at = 0;
            self.told.clear();
        }
    }

    /// Notes a failure; whether it is the first of its kind.
    pub(super) fn failed(&mut self, request: u64, kind: &'static str) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.failed_at = self.failed_at.max(request);
        let first = !self.told.contains(&kind);
        if first {
            self.told.push(kind);
        }
        first
    }
}

/// When to step again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stepped {
    /// At once: the walk goes on.
    Again,
    /// At this moment by the steady reading, or when something was changed.
    Due(Micros),
    /// When something was changed.
    Idle,
}
