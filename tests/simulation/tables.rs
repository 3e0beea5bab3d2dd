//! The database of the coordination, in memory: its rows, and each statement of the store as a method.
//!
//! `same` holds them against the real statements, on random histories.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use milkrun::{
    event::Micros,
    store::{Work, postgres::spread::Piece},
};

/// A piece of work.
pub(super) type Number = (Work, i64);

/// A row of `nodes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub incarnation: i64,
    pub work: BTreeSet<Work>,
    pub until: Micros,
}

/// A row of `held`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub incarnation: i64,
    pub leaves: Option<Micros>,
}

/// Protections that a negative control takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Without {
    Nothing,
    /// Whoever takes work over raises no fence, and nobody looks who holds it.
    Fences,
    /// Terms end by the clock of whoever looks.
    OneClock,
}

/// All rows.
pub(super) struct Tables {
    /// By `clock_timestamp()`.
    pub now: Micros,
    /// The later of `pg_postmaster_start_time()` and the history's `since`.
    pub since: Micros,
    pub incarnations: i64,
    /// By name.
    pub nodes: BTreeMap<String, Node>,
    pub held: BTreeMap<Number, Held>,
    /// All work there is, with what it goes by.
    pub pieces: BTreeMap<Number, String>,
    /// Of sources and of the positions of subscriptions.
    pub fences: BTreeMap<Number, i64>,
    /// How often nodes were told that there may be work.
    pub told: u64,
    pub without: Without,
}

impl Tables {
    pub(super) fn new(now: Micros, without: Without) -> Self {
        Self {
            now,
            since: Micros(0),
            incarnations: 0,
            nodes: BTreeMap::new(),
            held: BTreeMap::new(),
            pieces: BTreeMap::new(),
            fences: BTreeMap::new(),
            told: 0,
            without,
        }
    }

    fn lives(&self, incarnation: i64) -> bool {
        let mut nodes = self.nodes.values();
        nodes.any(|node| node.incarnation == incarnation && node.until > self.now)
    }

    fn node(&mut self, incarnation: i64) -> Option<&mut Node> {
        self.nodes.values_mut().find(|node| node.incarnation == incarnation)
    }

    /// `-- name`
    pub(super) fn is_taken(&self, name: &str, mine: i64) -> bool {
        let node = self.nodes.get(name);
        node.is_some_and(|node| node.incarnation != mine && node.until > self.now)
    }

    /// `-- join`, by what the clock says to whoever asks.
    pub(super) fn join(
        &mut self,
        name: &str,
        work: BTreeSet<Work>,
        term: Duration,
        by: Micros,
    ) -> i64 {
        self.incarnations += 1;
        let incarnation = self.incarnations;
        let node = Node { incarnation, work, until: by.plus(term) };
        if let Some(before) = self.nodes.insert(name.to_owned(), node) {
            self.held.retain(|_, held| held.incarnation != before.incarnation);
        }
        incarnation
    }

    /// `-- renew`
    pub(super) fn renew(&mut self, incarnation: i64, term: Duration, by: Micros) -> bool {
        let until = by.plus(term);
        self.node(incarnation).map(|node| node.until = until).is_some()
    }

    /// `-- living`
    pub(super) fn living(&self, work: Work) -> BTreeSet<i64> {
        let living = self.nodes.values().filter(|node| node.until > self.now);
        living.filter(|node| node.work.contains(&work)).map(|node| node.incarnation).collect()
    }

    /// `-- works`
    pub(super) fn works(&mut self, incarnation: i64, work: Work) -> bool {
        let lives = self.lives(incarnation);
        let node = self.node(incarnation).filter(|_| lives);
        node.map(|node| node.work.insert(work)).is_some()
    }

    /// `-- run out`, by what the clock says to whoever asks.
    pub(super) fn run_out(&mut self, term: Duration, by: Micros) {
        if self.since.plus(term) >= self.now {
            return;
        }
        let living: BTreeSet<i64> = self
            .nodes
            .values()
            .filter(|node| node.until > by)
            .map(|node| node.incarnation)
            .collect();
        self.held.retain(|_, held| living.contains(&held.incarnation));
    }

    /// `-- pieces`
    pub(super) fn pieces(&self, of: Work) -> Vec<Piece> {
        let pieces = self.pieces.iter().filter(|((work, _), _)| *work == of);
        let piece = |((work, number), key): (&Number, &String)| {
            let held = self.held.get(&(*work, *number));
            Piece {
                number: *number,
                key: key.clone(),
                holder: held.map(|held| held.incarnation),
                leaves: held.is_some_and(|held| held.leaves.is_some()),
            }
        };
        pieces.map(piece).collect()
    }

    /// `-- take`
    pub(super) fn take(&mut self, work: Work, incarnation: i64, wanted: &[i64]) {
        if !self.lives(incarnation) {
            return;
        }
        for number in wanted {
            let piece = (work, *number);
            if self.held.contains_key(&piece) {
                continue;
            }
            self.held.insert(piece, Held { incarnation, leaves: None });
            if self.without != Without::Fences
                && let Some(fence) = self.fences.get_mut(&piece)
            {
                *fence += 1;
            }
        }
    }

    /// `-- stays`
    pub(super) fn stays(&mut self, work: Work, kept: &[i64]) {
        for number in kept {
            if let Some(held) = self.held.get_mut(&(work, *number)) {
                held.leaves = None;
            }
        }
    }

    /// `-- leaves`
    pub(super) fn leaves(&mut self, work: Work, leaving: &[i64]) {
        let leaves = self.now;
        for number in leaving {
            if let Some(held) = self.held.get_mut(&(work, *number)) {
                held.leaves.get_or_insert(leaves);
            }
        }
    }

    /// `-- leaving`
    pub(super) fn leaving(&self, incarnation: i64) -> BTreeMap<Work, BTreeSet<i64>> {
        let mut leaving = BTreeMap::<Work, BTreeSet<i64>>::new();
        for ((work, number), held) in &self.held {
            if held.incarnation == incarnation && held.leaves.is_some() {
                leaving.entry(*work).or_default().insert(*number);
            }
        }
        leaving
    }

    /// `-- held now`
    pub(super) fn held_now(&self, work: Work, incarnation: i64) -> BTreeSet<i64> {
        let is_held = |((of, _), held): &(&Number, &Held)| {
            *of == work && held.incarnation == incarnation && held.leaves.is_none()
        };
        self.held.iter().filter(is_held).map(|((_, number), _)| *number).collect()
    }

    /// `-- ended`
    pub(super) fn ended(&mut self, work: Work, incarnation: i64, ended: &BTreeSet<i64>) -> usize {
        let before = self.held.len();
        self.held.retain(|(of, number), held| {
            let is_asked = *of == work && ended.contains(number);
            !(is_asked && held.incarnation == incarnation && held.leaves.is_some())
        });
        before - self.held.len()
    }

    /// `-- ends`
    pub(super) fn ends(&mut self, work: Work, incarnation: i64) {
        if let Some(node) = self.node(incarnation) {
            node.work.remove(&work);
        }
    }

    /// `-- give back`
    pub(super) fn give_back(&mut self, of: Work, incarnation: i64) {
        self.held.retain(|(work, _), held| !(*work == of && held.incarnation == incarnation));
    }

    /// `-- leaves for good`
    pub(super) fn leaves_for_good(&mut self, incarnation: i64) {
        self.nodes.retain(|_, node| !(node.incarnation == incarnation && node.work.is_empty()));
    }

    /// `-- orphans`: whether there is work of nodes that died, and when the next term ends.
    pub(super) fn orphans(&self) -> (bool, Option<Micros>) {
        let mut held = self.held.values();
        let ends = self.nodes.values().map(|node| node.until).filter(|until| *until > self.now);
        (held.any(|held| !self.lives(held.incarnation)), ends.min())
    }

    /// `-- locked positions`, `-- locked sources`: the fence that this node may write by.
    pub(super) fn fence(&self, piece: Number, incarnation: i64) -> Option<i64> {
        let holder = self.held.get(&piece).map(|held| held.incarnation);
        let is_anothers = holder.is_some_and(|holder| holder != incarnation);
        let is_looked_at = self.without != Without::Fences;
        self.fences.get(&piece).copied().filter(|_| !(is_anothers && is_looked_at))
    }
}
