//! Which node does which piece of work: the same answer on every node.
//!
//! Every key goes to the node with the highest hash of both (rendezvous hashing), so that a node that
//! comes or goes moves little besides its own; but no node takes more than its part, for chance alone
//! spreads a few hundred keys unevenly.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::Hasher as _,
};

use siphasher::sip::SipHasher13;

/// A piece of work.
pub(super) struct Piece {
    pub(super) number: i64,
    /// What it goes by: pieces of one key go to one node.
    pub(super) key: String,
    pub(super) holder: Option<i64>,
    /// Whether its holder was told to let go of it.
    pub(super) leaves: bool,
}

/// The node of each key.
pub(super) fn spread<'a>(nodes: &BTreeSet<i64>, pieces: &'a [Piece]) -> BTreeMap<&'a str, i64> {
    let mut weights: BTreeMap<&str, usize> = BTreeMap::new();
    for piece in pieces {
        *weights.entry(&piece.key).or_default() += 1;
    }
    let most = pieces.len().div_ceil(nodes.len().max(1));
    let mut loads: BTreeMap<i64, usize> = nodes.iter().map(|node| (*node, 0)).collect();
    let mut spread = BTreeMap::new();
    // Heavy keys first, that they find room; then by hash, for names begin alike.
    let mut keys: Vec<(&str, usize)> = weights.into_iter().collect();
    keys.sort_by_key(|(key, weight)| (std::cmp::Reverse(*weight), hash(0, key)));
    for (key, weight) in keys {
        let with_room = loads.iter().filter(|(_, load)| **load + weight <= most);
        let best = with_room.map(|(node, _)| *node).max_by_key(|node| hash(*node, key));
        let lightest = || loads.iter().min_by_key(|(_, load)| **load).map(|(node, _)| *node);
        let Some(node) = best.or_else(lightest) else { break };
        *loads.entry(node).or_default() += weight;
        spread.insert(key, node);
    }
    spread
}

/// The same on every node, whatever its release.
fn hash(node: i64, key: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(&node.to_be_bytes());
    hasher.write(key.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(keys: usize, each: usize) -> Vec<Piece> {
        let piece = |number: usize| Piece {
            number: i64::try_from(number).unwrap(),
            key: format!("orders-{}", number / each),
            holder: None,
            leaves: false,
        };
        (0..keys * each).map(piece).collect()
    }

    fn loads(spread: &BTreeMap<&str, i64>, pieces: &[Piece]) -> BTreeMap<i64, usize> {
        let mut loads = BTreeMap::new();
        for piece in pieces {
            *loads.entry(spread[&*piece.key]).or_default() += 1;
        }
        loads
    }

    #[test]
    fn work_is_spread_evenly_and_little_of_it_moves() {
        let (three, four) = (BTreeSet::from([11, 12, 13]), BTreeSet::from([11, 12, 13, 14]));
        for (keys, each) in [(3_000, 1), (300, 1), (100, 3)] {
            let pieces = pieces(keys, each);
            for nodes in [&three, &four] {
                let even = pieces.len() / nodes.len();
                for (node, load) in loads(&spread(nodes, &pieces), &pieces) {
                    assert!(
                        load.abs_diff(even) <= even / 10,
                        "{node} of {nodes:?}: {load} of {even}"
                    );
                }
            }
            let (before, after) = (spread(&three, &pieces), spread(&four, &pieces));
            let moved = before.iter().filter(|(key, node)| after[**key] != **node).count();
            assert!(moved * 100 <= keys * 35, "{moved} of {keys} moved; a quarter has to");
        }
    }

    #[test]
    fn few_keys_and_no_nodes_are_no_trouble() {
        let pieces = pieces(2, 1);
        assert!(spread(&BTreeSet::new(), &pieces).is_empty());
        assert_eq!(spread(&BTreeSet::from([7]), &pieces).len(), 2);
        let loads = loads(&spread(&BTreeSet::from([7, 8]), &pieces), &pieces);
        assert_eq!(loads, BTreeMap::from([(7, 1), (8, 1)]));
    }
}
