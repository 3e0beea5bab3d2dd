//! A role of a node: it begins what is held, drops what is not, and settles by the fence it took a piece
//! up with; as the dispatcher and the prober do.

use std::{collections::BTreeMap, time::Duration};

use milkrun::{
    event::Micros,
    holdings::Claimed,
    store::{Share, Work},
};

use super::{
    node::{Cut, NodeStore},
    tables::Number,
};

/// How long a store that does not answer, or a stale piece, is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// One piece that is worked on.
struct Piece {
    /// Known once it was taken up.
    fence: Option<i64>,
    /// When what is under way ends.
    flight: Option<Micros>,
    /// When something is done next, while nothing is under way.
    next: Micros,
    /// What is under way is dropped then: it is not held any more.
    dropped_at: Option<Micros>,
}

/// What a role tells the world.
pub(super) enum Did {
    /// Something is under way that was not.
    Flew,
    /// A piece was taken up.
    Began(Number),
    /// Something was settled and accepted.
    Settled(Number, i64),
}

/// One kind of work on one node.
pub(super) struct Role {
    work: Work,
    held: Claimed,
    pieces: BTreeMap<i64, Piece>,
}

impl Role {
    pub(super) fn new(work: Work, held: Claimed) -> Self {
        Self { work, held, pieces: BTreeMap::new() }
    }

    /// What is under way at `now`.
    pub(super) fn under_way(&self, now: Micros) -> impl Iterator<Item = Number> + '_ {
        let flies = move |piece: &Piece| {
            piece.flight.is_some_and(|ends| ends > now)
                && piece.dropped_at.is_none_or(|dropped_at| dropped_at > now)
        };
        let flying = self.pieces.iter().filter(move |(_, piece)| flies(piece));
        flying.map(|(number, _)| (self.work, *number))
    }

    pub(super) fn is_of(&self, work: Work) -> bool {
        self.work == work
    }

    /// Whether a piece may be begun.
    pub(super) fn may_begin(&self, number: i64, now: Micros) -> bool {
        self.held.may_begin(number, now)
    }

    /// When it wants to do something.
    pub(super) fn next(&self) -> Option<Micros> {
        let of = |piece: &Piece| {
            let own = piece.flight.unwrap_or(piece.next);
            piece.dropped_at.map_or(own, |dropped_at| own.min(dropped_at))
        };
        self.pieces.values().map(of).min()
    }

    /// Ends, drops and begins what is due.
    pub(super) fn step(&mut self, store: &NodeStore, now: Micros, did: &mut Vec<Did>) {
        let share = self.held.share();
        let Some(incarnation) = store.incarnation() else { return };
        for (number, piece) in &mut self.pieces {
            if !share.has(*number) && piece.dropped_at.is_none() {
                piece.dropped_at = Some(now.plus(self.held.grace()));
            }
            if piece.flight.is_some_and(|ends| ends <= now) {
                piece.flight = None;
                piece.next = now;
                settle(store, (self.work, *number), incarnation, piece, now, did);
            }
        }
        let held = &self.held;
        self.pieces.retain(|number, piece| {
            let is_over = piece.dropped_at.is_some_and(|dropped_at| dropped_at <= now);
            let goes = is_over || (piece.dropped_at.is_some() && piece.flight.is_none());
            if goes {
                held.ended(*number);
            }
            !goes
        });
        let Share::These(numbers) = share else { return };
        for number in numbers {
            let fresh = || Piece { fence: None, flight: None, next: now, dropped_at: None };
            let piece = self.pieces.entry(number).or_insert_with(fresh);
            if piece.flight.is_some() || piece.next > now || piece.dropped_at.is_some() {
                continue;
            }
            if !self.held.may_begin(number, now) {
                piece.next = now.plus(PAUSE);
                continue;
            }
            let key = (self.work, number);
            let mut wire = store.wire.lock();
            if piece.fence.is_none() && wire.cut == Cut::No {
                piece.fence = store.database.tables.lock().fence(key, incarnation);
                did.extend(piece.fence.map(|_| Did::Began(key)));
            }
            if piece.fence.is_some() {
                let lasts = Duration::from_millis(wire.dice.u64(200..6_000));
                piece.flight = Some(now.plus(lasts));
                did.push(Did::Flew);
            } else {
                piece.next = now.plus(PAUSE);
            }
        }
    }
}

/// Writes what came of it. What is refused is taken up anew.
fn settle(
    store: &NodeStore,
    key: Number,
    incarnation: i64,
    piece: &mut Piece,
    now: Micros,
    did: &mut Vec<Did>,
) {
    if store.wire.lock().cut != Cut::No {
        piece.next = now.plus(PAUSE);
        return;
    }
    let may = store.database.tables.lock().fence(key, incarnation);
    match (piece.fence, may) {
        (Some(fence), Some(may)) if fence == may => did.push(Did::Settled(key, incarnation)),
        _ => {
            piece.fence = None;
            piece.next = now.plus(PAUSE);
        }
    }
}
