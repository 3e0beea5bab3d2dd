//! Which nodes have been there for a while: only to these does work that somebody holds move.
//!
//! In a rolling restart the node that comes is followed by one that goes, and that one's work finds
//! room there. Moved at once, the same piece would move twice within seconds and stand still twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use parking_lot::Mutex;

use crate::{event::Micros, store::Work};

/// When this process saw each living node do a kind of work for the first time, by the steady reading.
#[derive(Debug, Default)]
pub struct Comers(Mutex<BTreeMap<(Work, i64), Micros>>);

impl Comers {
    /// Those of the living nodes of this kind of work that were seen this long ago.
    pub fn settled(
        &self,
        work: Work,
        living: &BTreeSet<i64>,
        now: Micros,
        ago: Duration,
    ) -> BTreeSet<i64> {
        let mut seen = self.0.lock();
        seen.retain(|(of, node), _| *of != work || living.contains(node));
        let is_settled = |node: &&i64| {
            let first = *seen.entry((work, **node)).or_insert(now);
            now.since(first) >= ago
        };
        living.iter().filter(is_settled).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_settled_some_time_after_it_came_or_came_back() {
        let comers = Comers::default();
        let settled = |living: &[i64], second: u64| {
            let now = Micros(0).plus(Duration::from_secs(second));
            let living = living.iter().copied().collect();
            // Another kind of work has nodes of its own.
            comers.settled(Work::Source, &BTreeSet::new(), now, Duration::ZERO);
            Vec::from_iter(comers.settled(Work::Pending, &living, now, Duration::from_secs(3)))
        };
        assert!(settled(&[1, 2], 0).is_empty());
        assert!(settled(&[1, 2, 3], 2).is_empty());
        assert_eq!(settled(&[1, 2, 3], 3), [1, 2]);
        assert_eq!(settled(&[1, 3], 5), [1, 3]);
        assert_eq!(settled(&[1, 2, 3], 6), [1, 3]);
        assert_eq!(settled(&[1, 2, 3], 9), [1, 2, 3]);
    }
}
