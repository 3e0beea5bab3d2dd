//! What was read ahead of the reach, in version order.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use crate::event::{Event, Micros, Version};

/// One version ahead of the reach.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) version: Version,
    pub(super) entry: Entry,
}

#[derive(Debug)]
pub(super) enum Entry {
    Waiting(Waiting),
    Skipped,
    /// Started out of turn, or known before it was read.
    Taken,
    Broken(String),
    /// What the log has of it is damaged.
    Damaged(String),
}

/// An event that may be started.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) event: Arc<Event>,
    pub(super) lane: u64,
    pub(super) priority: u8,
    /// The wanted version before it, if that is known.
    pub(super) previous: Option<Version>,
    /// Since when it is here.
    pub(super) since: Micros,
}

/// The slots, and an index of those that may overtake.
#[derive(Debug, Default)]
pub(super) struct Ready {
    slots: VecDeque<Slot>,
    waiting: usize,
    bytes: usize,
    /// (9 − priority, version) of what has a priority above 0.
    ranks: BTreeSet<(u8, Version)>,
}

impl Ready {
    /// The last version.
    pub(super) fn end(&self) -> Option<Version> {
        self.slots.back().map(|slot| slot.version)
    }

    /// Events that wait, and their bytes.
    pub(super) const fn size(&self) -> (usize, usize) {
        (self.waiting, self.bytes)
    }

    /// All slots, those included that nobody wants.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The event that waits at the front.
    pub(super) fn front(&self) -> Option<&Waiting> {
        match &self.slots.front()?.entry {
            Entry::Waiting(waiting) => Some(waiting),
            _ => None,
        }
    }

    pub(super) fn push(&mut self, version: Version, entry: Entry) {
        if let Entry::Waiting(waiting) = &entry {
            self.waiting += 1;
            self.bytes += waiting.event.size_bytes();
            if waiting.priority > 0 {
                self.ranks.insert((9_u8.saturating_sub(waiting.priority), version));
            }
        }
        self.slots.push_back(Slot { version, entry });
    }

    /// Takes the front slot off, whatever it is.
    pub(super) fn pop(&mut self) -> Option<Slot> {
        let slot = self.slots.pop_front()?;
        if let Entry::Waiting(waiting) = &slot.entry {
            self.forget(slot.version, waiting.priority, waiting.event.size_bytes());
        }
        Some(slot)
    }

    /// Takes the front slot off if no event waits in it.
    pub(super) fn pop_settled(&mut self) -> Option<Slot> {
        let front = self.slots.front()?;
        if matches!(front.entry, Entry::Waiting(_)) { None } else { self.pop() }
    }

    /// Takes the event of the highest priority, if one is higher than that at the front, and leaves
    /// its slot.
    pub(super) fn take_best(&mut self) -> Option<Waiting> {
        let (rank, version) = self.ranks.first().copied()?;
        let at = self.slots.partition_point(|slot| slot.version < version);
        let slot = self.slots.get_mut(at).filter(|slot| at > 0 && slot.version == version)?;
        let Entry::Waiting(waiting) = std::mem::replace(&mut slot.entry, Entry::Taken) else {
            return None;
        };
        self.forget(version, 9 - rank, waiting.event.size_bytes());
        Some(waiting)
    }

    /// Lets go of everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn forget(&mut self, version: Version, priority: u8, bytes: usize) {
        self.waiting -= 1;
        self.bytes -= bytes;
        if priority > 0 {
            self.ranks.remove(&(9_u8.saturating_sub(priority), version));
        }
    }
}
