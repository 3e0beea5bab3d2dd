//! Retention: how far events and dedupe keys go, and what of it was owed.

use crate::{
    event::{Micros, Version},
    settings::TopicSettings,
    store::TopicState,
};

/// Keys removed in one step: they cost memory's time, not the disk's.
const KEYS_MAX: usize = 100_000;

/// Up to where each limit of a topic lets go, and where what is owed holds it up.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    /// The last version older than `max_age`.
    pub(crate) by_age: Version,
    /// The last version beyond `max_count`.
    pub(crate) by_count: Version,
}

impl Limits {
    /// Of a topic whose last version past its age is `by_age`.
    pub(crate) fn of(topic: &TopicState, by_age: Version) -> Self {
        let by_count =
            topic.settings.max_count.map_or(0, |count| topic.head.0.saturating_sub(count));
        Self { by_age, by_count: Version(by_count) }
    }

    /// What goes when nothing is owed.
    pub(crate) fn cut(&self) -> Version {
        self.by_age.max(self.by_count)
    }

    /// What goes of it when a subscription still has to get what is above `floor`, but not what is
    /// at or below the versions of [`OwedUntil`].
    pub(crate) fn cut_above(&self, floor: Version, owed: OwedUntil) -> Version {
        let aged = self.by_age.min(floor.max(owed.by_age));
        aged.max(self.by_count.min(floor.max(owed.by_count)))
    }
}

/// What is owed outlives each limit by `owed`; these are the last versions that are older.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwedUntil {
    /// Than `max_age` and `owed`.
    pub(crate) by_age: Version,
    /// Than `owed`; the head when nothing is owed.
    pub(crate) by_count: Version,
}

/// The moments of [`OwedUntil`]; no second one: nothing is owed by number.
pub(crate) fn owed_moments(settings: &TopicSettings, now: Micros) -> (Micros, Option<Micros>) {
    let owed = settings.owed;
    let late = now.minus(settings.max_age.unwrap_or_default() + owed);
    (late, (!owed.is_zero()).then(|| now.minus(owed)))
}

/// Where a piece of a topic ends whose oldest events have these sizes: at `soft`, and beyond it
/// while the topic has more bytes than `cap`. With the bytes that are left; `None`: nothing goes.
pub(crate) fn piece(
    topic: &TopicState,
    sizes: &[(Version, u64)],
    soft: Version,
    cap: u64,
) -> Option<(Version, u64)> {
    let (mut bytes, mut cut) = (topic.bytes, topic.oldest.previous());
    for (version, size) in sizes.iter().copied() {
        if version > soft && bytes <= cap {
            break;
        }
        bytes = bytes.saturating_sub(size);
        cut = version;
    }
    (cut >= topic.oldest).then_some((cut, bytes))
}

/// What of a piece a position still has to get.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Owed {
    /// The first version of it.
    pub(crate) first: Version,
    /// The last.
    pub(crate) last: Version,
    /// How many between them.
    pub(crate) count: u64,
}

/// What goes up to `cut` of a topic while a position is owed it: versions above `reach`, `open`
/// ones, and so many exceptions. `None`: nothing of it was owed.
pub(crate) fn owed(
    topic: &TopicState,
    cut: Version,
    (floor, reach, open): (Version, Version, &[Version]),
    exceptions: u64,
) -> Option<Owed> {
    if floor >= cut {
        return None;
    }
    let open = open.iter().filter(|open| **open <= cut).count() as u64;
    let ahead = cut.0.saturating_sub(reach.0.max(topic.oldest.previous().0));
    let first = floor.next().max(topic.oldest);
    Some(Owed { first, last: cut, count: exceptions + open + ahead })
}

/// A row of dedupe keys.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyRow {
    /// The last version in it.
    pub(crate) up_to: Version,
    /// How many keys it has.
    pub(crate) count: u64,
    /// When the newest of it was recorded.
    pub(crate) recorded: Micros,
}

/// The keys that go in one step.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct KeysGone {
    /// How many of the rows, from the first on.
    pub(crate) rows: usize,
    /// How many keys they have.
    pub(crate) count: usize,
    /// Whether more may go at once.
    pub(crate) more: bool,
}

/// Which of the oldest rows of keys go: those past age or number, and as many as there are too many
/// of over all topics.
pub(crate) fn keys_to_forget(
    topic: &TopicState,
    rows: &[KeyRow],
    now: Micros,
    too_many: usize,
) -> KeysGone {
    let by_count = topic.head.0.saturating_sub(topic.settings.dedupe_count);
    let by_age = now.minus(topic.settings.dedupe_age);
    let mut gone = KeysGone::default();
    for row in rows {
        let is_past = row.up_to.0 <= by_count || row.recorded < by_age;
        if !is_past && gone.count >= too_many {
            return gone;
        }
        if gone.count >= KEYS_MAX {
            return KeysGone { more: true, ..gone };
        }
        gone.count += usize::try_from(row.count).unwrap_or(usize::MAX);
        gone.rows += 1;
    }
    gone
}

#[cfg(test)]
mod tests;
