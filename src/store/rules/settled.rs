//! Settlements that are saved together: where each position stands then, and what is excepted no more.

use std::collections::BTreeMap;

use crate::{
    event::Version,
    store::{ExceptionKind, Settlement},
};

/// By position: the settlement that says where it stands, which is the last of its own, and the
/// deliveries of all of its own.
pub(crate) fn standings<'a>(
    settlements: &[&'a Settlement],
) -> BTreeMap<i64, (&'a Settlement, u64)> {
    let mut last: BTreeMap<i64, (&Settlement, u64)> = BTreeMap::new();
    for settlement in settlements {
        let delivered = last.get(&settlement.position).map_or(0, |(_, delivered)| *delivered);
        last.insert(settlement.position, (settlement, delivered + settlement.delivered));
    }
    last
}

/// The versions that are excepted no more. A dead one whose key stands still is.
pub(crate) fn cleared(settlement: &Settlement) -> Vec<Version> {
    let stopped = |version: &Version| {
        let mut put = settlement.put.iter();
        put.any(|put| put.version == *version && put.kind == ExceptionKind::Stopped)
    };
    let dead = settlement.dead.iter().map(|dead| dead.version);
    let dead = dead.filter(|version| !stopped(version));
    settlement.clear.iter().copied().chain(dead).collect()
}

/// Versions as a column keeps them: 8 bytes each, big-endian.
pub(crate) fn packed(versions: &[Version]) -> Vec<u8> {
    versions.iter().flat_map(|version| version.0.to_be_bytes()).collect()
}
