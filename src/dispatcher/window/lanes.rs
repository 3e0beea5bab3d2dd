//! Which versions wait for which: first in, first out per lane.
//!
//! A lane is one ordering key; its members are the versions of that key that are not settled. The
//! lowest member may go, and only while none of its lane is in flight. A member that is dead and
//! stops its key never goes, and so nothing above it does.

use std::collections::{BTreeSet, HashMap};

use crate::{event::Version, sift::FREE};

/// All lanes of a position; empty when it has no order.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    of: HashMap<Version, u64>,
    lanes: HashMap<u64, Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    members: BTreeSet<Version>,
    flying: usize,
}

impl Lanes {
    /// Adds a version that is not settled.
    pub(super) fn enter(&mut self, version: Version, lane: u64) {
        if lane != FREE && self.of.insert(version, lane).is_none() {
            self.lanes.entry(lane).or_default().members.insert(version);
        }
    }

    /// Notes that a version is in flight.
    pub(super) fn begin(&mut self, version: Version) {
        if let Some(lane) = self.lane_mut(version) {
            lane.flying += 1;
        }
    }

    /// Notes that a version is no longer in flight.
    pub(super) fn end(&mut self, version: Version) {
        if let Some(lane) = self.lane_mut(version) {
            lane.flying = lane.flying.saturating_sub(1);
        }
    }

    /// Removes a version that is settled and not in flight.
    pub(super) fn leave(&mut self, version: Version) -> Option<u64> {
        let number = self.of.remove(&version)?;
        if let Some(lane) = self.lanes.get_mut(&number) {
            lane.members.remove(&version);
            if lane.members.is_empty() {
                self.lanes.remove(&number);
            }
        }
        Some(number)
    }

    /// The lane of a member.
    pub(super) fn of(&self, version: Version) -> Option<u64> {
        self.of.get(&version).copied()
    }

    /// The member of a lane that is next, if none is in flight.
    pub(super) fn next(&self, lane: u64) -> Option<Version> {
        let lane = self.lanes.get(&lane).filter(|lane| lane.flying == 0)?;
        lane.members.first().copied()
    }

    /// The lowest member of a lane.
    pub(super) fn lowest(&self, lane: u64) -> Option<Version> {
        self.lanes.get(&lane)?.members.first().copied()
    }

    /// Whether a version may go together with `others`, which are to go in one request with it.
    pub(super) fn may_go(&self, version: Version, others: &[Version]) -> bool {
        let Some(lane) = self.of.get(&version).and_then(|lane| self.lanes.get(lane)) else {
            return true;
        };
        lane.flying == 0 && lane.members.range(..version).all(|lower| others.contains(lower))
    }

    /// Whether a version that is no member yet may go together with `others`, which have begun.
    pub(super) fn is_open(&self, lane: u64, version: Version, others: &[Version]) -> bool {
        let Some(lane) = self.lanes.get(&lane) else { return true };
        lane.members.range(..version).all(|member| others.contains(member))
    }

    fn lane_mut(&mut self, version: Version) -> Option<&mut Lane> {
        self.lanes.get_mut(self.of.get(&version)?)
    }
}
