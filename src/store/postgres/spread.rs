//! Which node does which piece of work: the same answer on every node that sees the same holders.
//!
//! Whoever has a key keeps it, up to an even part of all (or one that is larger); the rest goes to the
//! node with the highest hash of both (rendezvous hashing) that has room. So a node that dies moves
//! nothing but its own work, and one that comes gets what the others have beyond their part.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    hash::Hasher as _,
    time::Duration,
};

use siphasher::sip::SipHasher13;

/// The longest that a node that came waits for work that somebody holds.
const SETTLES_MAX: Duration = Duration::from_secs(3);

/// A piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its number.
    pub number: i64,
    /// What it goes by: pieces of one key go to one node.
    pub key: String,
    /// The incarnation of the node that holds it.
    pub holder: Option<i64>,
    /// Whether its holder was told to let go of it.
    pub leaves: bool,
}

/// What a node does with the pieces of one kind of work, by their numbers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Free, and this node's.
    pub wanted: Vec<i64>,
    /// Held here and told to go, and to stay after all.
    pub stays: Vec<i64>,
    /// Held here, and another node's.
    pub leaving: Vec<i64>,
}

/// What the node of this incarnation does. What is free goes to the `living`, what somebody holds moves
/// between those that are `settled` and this node alone.
#[must_use]
pub fn claim(
    incarnation: i64,
    living: &BTreeSet<i64>,
    mut settled: BTreeSet<i64>,
    pieces: &[Piece],
) -> Claim {
    settled.insert(incarnation);
    let goes_here = |nodes: &BTreeSet<i64>| {
        let spread = spread(nodes, pieces);
        move |piece: &&Piece| spread.get(&*piece.key) == Some(&incarnation)
    };
    let own = pieces.iter().filter(|piece| piece.holder == Some(incarnation));
    let (kept, leaving): (Vec<&Piece>, Vec<&Piece>) = own.partition(goes_here(&settled));
    let free: Vec<&Piece> = pieces.iter().filter(|piece| piece.holder.is_none()).collect();
    let wanted = if free.is_empty() {
        // As it is nearly always.
        Vec::new()
    } else {
        free.into_iter().filter(goes_here(living)).collect()
    };
    let stays = kept.into_iter().filter(|piece| piece.leaves).collect();
    Claim { wanted: numbers(wanted), stays: numbers(stays), leaving: numbers(leaving) }
}

fn numbers(pieces: Vec<&Piece>) -> Vec<i64> {
    pieces.into_iter().map(|piece| piece.number).collect()
}

/// How long a node has to have been there before work that somebody holds moves to it: a quarter of a
/// term, and at most 3 seconds.
#[must_use]
pub fn settles(term: Duration) -> Duration {
    (term / 4).min(SETTLES_MAX)
}

/// How many pieces a key has, and how many of them each living node holds.
#[derive(Default)]
struct Weight {
    all: usize,
    held: BTreeMap<i64, usize>,
}

impl Weight {
    /// Who has most of it.
    fn holder(&self) -> Option<i64> {
        self.held
            .iter()
            .max_by_key(|(node, count)| (**count, Reverse(**node)))
            .map(|(node, _)| *node)
    }
}

/// The node of each key.
fn spread<'a>(nodes: &BTreeSet<i64>, pieces: &'a [Piece]) -> BTreeMap<&'a str, i64> {
    let mut weights: BTreeMap<&str, Weight> = BTreeMap::new();
    for piece in pieces {
        let weight = weights.entry(&piece.key).or_default();
        weight.all += 1;
        if let Some(holder) = piece.holder.filter(|holder| nodes.contains(holder)) {
            *weight.held.entry(holder).or_default() += 1;
        }
    }
    let most = pieces.len().div_ceil(nodes.len().max(1));
    let mut loads: BTreeMap<i64, usize> = nodes.iter().map(|node| (*node, 0)).collect();
    let mut spread = BTreeMap::new();
    // Heavy keys first, that they find room; then by hash, for names begin alike.
    let mut keys: Vec<(&str, Weight)> = weights.into_iter().collect();
    keys.sort_by_key(|(key, weight)| (Reverse(weight.all), hash(0, key)));
    for (key, weight) in &keys {
        if let Some(holder) = weight.holder()
            && let Some(load) = loads.get_mut(&holder)
            && (*load == 0 || *load + weight.all <= most)
        {
            *load += weight.all;
            spread.insert(*key, holder);
        }
    }
    for (key, weight) in &keys {
        if spread.contains_key(key) {
            continue;
        }
        let with_room = loads.iter().filter(|(_, load)| **load + weight.all <= most);
        let best = with_room.map(|(node, _)| *node).max_by_key(|node| hash(*node, key));
        let lightest = || loads.iter().min_by_key(|(_, load)| **load).map(|(node, _)| *node);
        let Some(node) = best.or_else(lightest) else { break };
        *loads.entry(node).or_default() += weight.all;
        spread.insert(*key, node);
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

    /// The same pieces, as they are once everybody has what is his.
    fn settled(nodes: &BTreeSet<i64>, mut pieces: Vec<Piece>) -> Vec<Piece> {
        let holders: Vec<Option<i64>> = {
            let spread = spread(nodes, &pieces);
            pieces.iter().map(|piece| spread.get(&*piece.key).copied()).collect()
        };
        for (piece, holder) in pieces.iter_mut().zip(holders) {
            piece.holder = holder;
        }
        pieces
    }

    fn holders(pieces: &[Piece]) -> Vec<i64> {
        pieces.iter().map(|piece| piece.holder.unwrap()).collect()
    }

    #[test]
    fn work_is_spread_evenly_and_what_need_not_move_stays() {
        let (three, four) = (BTreeSet::from([11, 12, 13]), BTreeSet::from([11, 12, 13, 14]));
        for (keys, each) in [(3_000, 1), (300, 1), (100, 3)] {
            let all = settled(&three, pieces(keys, each));
            let at_three = holders(&all);
            let all = settled(&four, all);
            let at_four = holders(&all);
            let mut came = at_three.iter().zip(&at_four);
            assert!(came.all(|(was, is)| was == is || *is == 14), "one more: only to it");
            let all = settled(&three, all);
            let at_last = holders(&all);
            let mut gone = at_four.iter().zip(&at_last);
            assert!(gone.all(|(was, is)| was == is || *was == 14), "one less: only from it");
            for (nodes, held) in [(&three, at_three), (&four, at_four), (&three, at_last)] {
                let even = all.len() / nodes.len();
                for node in nodes {
                    let load = held.iter().filter(|holder| *holder == node).count();
                    assert!(load.abs_diff(even) <= even / 10, "{node}: {load} of {even}");
                }
            }
        }
    }

    #[test]
    fn what_was_told_to_go_goes_and_pieces_of_a_key_come_together() {
        let nodes = BTreeSet::from([11, 12]);
        let mut all = pieces(10, 1);
        for piece in &mut all {
            piece.holder = Some(11);
        }
        let first: BTreeMap<String, i64> =
            spread(&nodes, &all).into_iter().map(|(key, node)| (key.to_owned(), node)).collect();
        assert_eq!(first.values().filter(|node| **node == 12).count(), 5);
        for piece in &mut all {
            piece.leaves = first[&piece.key] == 12;
        }
        assert!(spread(&nodes, &all).iter().all(|(key, node)| first[*key] == *node));
        let mut two = pieces(1, 3);
        (two[0].holder, two[1].holder, two[2].holder) = (Some(12), Some(11), Some(12));
        assert_eq!(spread(&nodes, &two), BTreeMap::from([("orders-0", 12)]));
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
