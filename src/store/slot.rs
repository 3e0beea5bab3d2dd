//! Row numbers made of two: a topic (or source) above, a version (or count) below.

use crate::event::Version;

const BITS: u32 = 40;

/// The row number of `count` in `owner`.
pub(crate) const fn join(owner: i64, count: u64) -> i64 {
    owner << BITS | count.cast_signed()
}

/// The row number of a version of a topic.
pub(crate) const fn of(topic: i64, version: Version) -> i64 {
    join(topic, version.0)
}

/// Owner and count of a row number.
pub(crate) const fn split(slot: i64) -> (i64, u64) {
    (slot >> BITS, (slot & ((1 << BITS) - 1)).cast_unsigned())
}

/// The first and last row number of an owner.
pub(crate) const fn range(owner: i64) -> (i64, i64) {
    (join(owner, 0), join(owner, Version::MAX.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_do_not_overlap() {
        assert_eq!(split(of(7, Version(42))), (7, 42));
        assert_eq!(split(of(7, Version::MAX)), (7, Version::MAX.0));
        assert_eq!(range(7).1 + 1, range(8).0);
    }
}
