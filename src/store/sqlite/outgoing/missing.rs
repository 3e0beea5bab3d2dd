//! Which events are missing: versions that were given and have no row.

use std::sync::Arc;

use super::super::file::{holes::Holes, slot};
use crate::{event::Version, store::TopicState};

/// Of versions whose slots lie above `after` and at or below `up_to`, those of which `found` has none
/// and that are not known to be lost. All slots rise, as topics do by their numbers.
pub(super) fn missing<'a>(
    topics: &'a [Arc<TopicState>],
    holes: &Holes,
    (after, up_to): (i64, i64),
    found: &[i64],
) -> Vec<(&'a TopicState, Version, Version)> {
    let mut all = Vec::new();
    for topic in topics {
        let first = slot::of(topic.id, topic.oldest).max(after.saturating_add(1));
        let last = slot::of(topic.id, topic.head).min(up_to);
        if first > last {
            continue;
        }
        let from = found.partition_point(|slot| *slot < first);
        let version = |slot: i64| Version(slot::split(slot).1);
        let mut next = version(first);
        for slot in found[from..].iter().take_while(|slot| **slot <= last) {
            add(&mut all, topic, holes, (next, version(*slot).previous()));
            next = version(*slot).next();
        }
        add(&mut all, topic, holes, (next, version(last)));
    }
    all
}

/// Adds what of a range is not known to be lost.
fn add<'a>(
    all: &mut Vec<(&'a TopicState, Version, Version)>,
    topic: &'a TopicState,
    holes: &Holes,
    (from, to): (Version, Version),
) {
    let mut next = holes.after(topic.id, from);
    while next <= to {
        let last = holes.before(topic.id, next, to);
        all.push((topic, next, last));
        next = holes.after(topic.id, last.next());
    }
}

/// The slot of the first event that may be behind `after`; `None` behind the last one.
pub(super) fn next(topics: &[Arc<TopicState>], after: i64) -> Option<i64> {
    let next = |topic: &Arc<TopicState>| {
        let first = slot::of(topic.id, topic.oldest).max(after.saturating_add(1));
        (first <= slot::of(topic.id, topic.head)).then_some(first)
    };
    topics.iter().find_map(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::Micros, store::EpochStart};

    fn topic(id: i64, oldest: u64, head: u64) -> Arc<TopicState> {
        Arc::new(TopicState {
            id,
            uid: id.to_string(),
            topic: "orders".parse().unwrap(),
            head: Version(head),
            oldest: Version(oldest),
            bytes: 0,
            recorded: Micros(0),
            epochs: [EpochStart::fresh(Version(1), Micros(0), "created")].into(),
            edit: 0,
            settings: crate::settings::TopicSettings::default(),
        })
    }

    #[test]
    fn every_version_without_a_row_is_named_once() {
        let topics = [topic(1, 3, 6), topic(2, 1, 0), topic(4, 1, 9)];
        let holes = Holes::default();
        holes.add(4, Version(2), Version(3));
        let of = |bounds, found: &[(i64, u64)]| {
            let found: Vec<i64> = found.iter().map(|(id, at)| slot::join(*id, *at)).collect();
            let all = missing(&topics, &holes, bounds, &found);
            all.iter().map(|(topic, from, to)| (topic.id, from.0, to.0)).collect::<Vec<_>>()
        };
        let end = slot::join(1, 5);
        assert_eq!(of((0, end), &[(1, 4), (1, 5)]), [(1, 3, 3)]);
        assert_eq!(
            of((end, i64::MAX), &[(4, 5), (4, 6)]),
            [(1, 6, 6), (4, 1, 1), (4, 4, 4), (4, 7, 9)]
        );
        assert_eq!(next(&topics, 0), Some(slot::join(1, 3)));
        assert_eq!(next(&topics, slot::join(1, 6)), Some(slot::join(4, 1)));
        assert_eq!(next(&topics, slot::join(4, 9)), None);
    }
}
