//! The newest events of each topic, in memory, shared by every reader.
//!
//! Rings of all topics share one limit in bytes; what was committed first goes first. A ring is
//! contiguous: a commit that does not follow on empties it.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::{Mutex, RwLock};

use super::Read;
use crate::event::{Event, Version};

/// What an event takes in memory besides its attributes and data: itself, three counts of who shares
/// what, and its place in the ring.
const OVERHEAD_BYTES: usize = 224;

type Ring = Arc<RwLock<VecDeque<Arc<Event>>>>;

/// All rings of a store.
#[derive(Debug)]
pub struct Tail {
    limit_bytes: usize,
    rings: RwLock<HashMap<i64, Ring>>,
    order: Mutex<Order>,
}

/// What was pushed, oldest first.
#[derive(Debug, Default)]
struct Order {
    pushes: VecDeque<(i64, Version)>,
    bytes: usize,
}

fn weight(event: &Event) -> usize {
    let size = event.size_bytes();
    // The allocator rounds up, by an eighth in the mean.
    size + size / 8 + OVERHEAD_BYTES
}

impl Tail {
    /// An empty tail that holds at most `limit_bytes`.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, rings: RwLock::default(), order: Mutex::default() }
    }

    /// Takes in committed events of one topic, in version order.
    pub fn push(&self, topic: i64, events: &[Arc<Event>]) {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return };
        let mut order = self.order.lock();
        let ring = self.ring(topic);
        {
            let mut ring = ring.write();
            if ring.back().is_some_and(|newest| newest.version.next() != first.version) {
                order.bytes -= ring.drain(..).map(|event| weight(&event)).sum::<usize>();
                order.pushes.retain(|(pushed, _)| *pushed != topic);
            }
            ring.extend(events.iter().cloned());
        }
        order.bytes += events.iter().map(|event| weight(event)).sum::<usize>();
        order.pushes.push_back((topic, last.version));
        self.shrink(&mut order);
    }

    /// Lets go of a topic's events at or below `version`.
    pub fn forget(&self, topic: i64, version: Version) {
        let mut order = self.order.lock();
        order.bytes -= Self::pop(&self.ring(topic), version);
        order.pushes.retain(|(pushed, last)| *pushed != topic || *last > version);
    }

    /// Bytes held now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.order.lock().bytes
    }

    /// The events that `read` asks for, if the ring reaches back to the first of them.
    #[must_use]
    pub fn read(&self, topic: i64, read: &Read) -> Option<Vec<Arc<Event>>> {
        let ring = self.rings.read().get(&topic)?.clone();
        let ring = ring.read();
        let oldest = ring.front()?.version;
        let start = usize::try_from(read.after.next().0.checked_sub(oldest.0)?).ok()?;
        let mut bytes = 0;
        let mut events = Vec::new();
        for event in ring.range(start.min(ring.len())..) {
            bytes += event.size_bytes();
            let full =
                events.len() >= read.max_events || (bytes > read.max_bytes && !events.is_empty());
            if full || event.version > read.up_to {
                break;
            }
            events.push(event.clone());
        }
        Some(events)
    }

    fn ring(&self, topic: i64) -> Ring {
        let known = self.rings.read().get(&topic).cloned();
        known.unwrap_or_else(|| {
            let mut rings = self.rings.write();
            rings.entry(topic).or_default().clone()
        })
    }

    fn shrink(&self, order: &mut Order) {
        while order.bytes > self.limit_bytes {
            let Some((topic, up_to)) = order.pushes.pop_front() else { return };
            order.bytes -= Self::pop(&self.ring(topic), up_to);
        }
    }

    fn pop(ring: &Ring, up_to: Version) -> usize {
        let mut ring = ring.write();
        let count = ring.partition_point(|event| event.version <= up_to);
        ring.drain(..count).map(|event| weight(&event)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Data, Epoch, Micros};

    fn events(versions: std::ops::RangeInclusive<u64>) -> Vec<Arc<Event>> {
        let event = |version| Event {
            version: Version(version),
            epoch: Epoch(1),
            recorded: Micros(0),
            attributes: "{}".into(),
            data: Data::None,
        };
        versions.map(|version| Arc::new(event(version))).collect()
    }

    fn versions(tail: &Tail, topic: i64, after: u64) -> Option<Vec<u64>> {
        let events = tail.read(topic, &Read::after(Version(after)))?;
        Some(events.iter().map(|event| event.version.0).collect())
    }

    #[test]
    fn a_reader_gets_what_follows_or_nothing() {
        let tail = Tail::new(1 << 20);
        tail.push(1, &events(5..=8));
        assert_eq!(versions(&tail, 1, 4), Some(vec![5, 6, 7, 8]));
        assert_eq!(versions(&tail, 1, 7), Some(vec![8]));
        assert_eq!(versions(&tail, 1, 8), Some(vec![]));
        assert_eq!(versions(&tail, 1, 3), None, "fell off the ring");
        assert_eq!(versions(&tail, 2, 0), None);
    }

    #[test]
    fn a_commit_that_does_not_follow_on_empties_the_ring() {
        let tail = Tail::new(1 << 20);
        tail.push(1, &events(1..=3));
        tail.push(1, &events(5..=6));
        assert_eq!(tail.order.lock().pushes.len(), 1);
        assert_eq!(versions(&tail, 1, 2), None);
        assert_eq!(versions(&tail, 1, 4), Some(vec![5, 6]));
        assert_eq!(tail.bytes(), 2 * (OVERHEAD_BYTES + 2));
    }

    #[test]
    fn what_is_forgotten_leaves_nothing_behind() {
        let tail = Tail::new(1 << 20);
        for version in 1..=100 {
            tail.push(1, &events(version..=version));
            tail.forget(1, Version(version - 1));
        }
        assert_eq!(versions(&tail, 1, 99), Some(vec![100]));
        assert_eq!(tail.order.lock().pushes.len(), 1);
        assert_eq!(tail.bytes(), OVERHEAD_BYTES + 2);
    }

    #[test]
    fn rings_share_one_limit_and_the_oldest_commit_goes_first() {
        let one = OVERHEAD_BYTES + 2;
        let tail = Tail::new(4 * one);
        tail.push(1, &events(1..=2));
        tail.push(2, &events(1..=2));
        tail.push(1, &events(3..=3));
        assert_eq!(versions(&tail, 1, 2), Some(vec![3]));
        assert_eq!(versions(&tail, 1, 0), None);
        assert_eq!(versions(&tail, 2, 0), Some(vec![1, 2]));
        assert!(tail.bytes() <= 4 * one);
    }
}
