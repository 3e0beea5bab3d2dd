//! The store of one node, over a wire that is slow, loses, or is cut: the statements of the real one, in
//! their order.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use milkrun::{
    clock::Clock,
    event::Micros,
    store::{
        Holding, Member, MemberState, NewMember, Share, StoreError, Work,
        postgres::{comers::Comers, spread},
    },
};
use parking_lot::Mutex;

use super::tables::{Tables, Without};

/// How a node reaches the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// It does.
    No,
    /// Nobody answers, at once.
    Refused,
    /// What it asks is lost.
    There,
    /// What it is answered is lost.
    Back,
}

/// The wire of one node.
pub(super) struct Wire {
    pub cut: Cut,
    /// A statement is under way so long at most, each way.
    pub delay_max: Duration,
    /// How far this node's wall is ahead, in microseconds: for those who go by it.
    pub skew_us: i64,
    pub dice: fastrand::Rng,
}

/// A statement whose asker has gone, and when it arrives all the same.
pub(super) type Late = (Micros, Box<dyn FnOnce(&mut Tables) + Send>);

/// What a node's store is made of.
#[derive(Clone)]
pub(super) struct Database {
    pub tables: Arc<Mutex<Tables>>,
    pub late: Arc<Mutex<Vec<Late>>>,
    pub term: Duration,
}

/// The store as one node has it.
pub(super) struct NodeStore {
    pub database: Database,
    pub wire: Arc<Mutex<Wire>>,
    pub clock: Clock,
    comers: Comers,
    incarnation: Mutex<Option<i64>>,
}

impl NodeStore {
    pub(super) fn new(database: Database, wire: Arc<Mutex<Wire>>, clock: Clock) -> Self {
        let (comers, incarnation) = (Comers::default(), Mutex::new(None));
        Self { database, wire, clock, comers, incarnation }
    }

    /// Its number, once it has joined.
    pub(super) fn incarnation(&self) -> Option<i64> {
        *self.incarnation.lock()
    }

    /// Has a statement done.
    async fn ask<T: Send + 'static>(
        &self,
        statement: impl FnOnce(&mut Tables) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let (cut, there, back) = {
            let mut wire = self.wire.lock();
            let most = u64::try_from(wire.delay_max.as_micros()).unwrap_or(u64::MAX);
            let mut draw = || Duration::from_micros(wire.dice.u64(0..=most));
            let (there, back) = (draw(), draw());
            (wire.cut, there, back)
        };
        match cut {
            Cut::Refused => return Err(StoreError::Busy("nobody answers")),
            Cut::There => std::future::pending().await,
            Cut::No | Cut::Back => {}
        }
        let mut sent = Sent { statement: Some(statement), store: self };
        self.pause(there).await;
        let answer = sent.statement.take().map(|run| run(&mut self.database.tables.lock()));
        drop(sent);
        self.pause(back).await;
        match answer.filter(|_| self.wire.lock().cut == Cut::No) {
            Some(answer) => Ok(answer),
            None => std::future::pending().await,
        }
    }

    async fn pause(&self, duration: Duration) {
        if !duration.is_zero() {
            self.clock.pause(duration).await;
        }
    }

    /// What the wall says to this node; the database's, but for those who go by their own.
    fn by(&self) -> impl Fn(&Tables) -> Micros + Send + use<> {
        let skew_us = self.wire.lock().skew_us;
        move |tables| match tables.without {
            Without::OneClock => Micros(tables.now.0 + skew_us),
            _ => tables.now,
        }
    }

    fn told(tables: &mut Tables) {
        tables.told += 1;
    }
}

/// A statement on its way. If whoever asked does not wait for it, it may arrive all the same.
struct Sent<'a, T: 'static, F: FnOnce(&mut Tables) -> T + Send + 'static> {
    statement: Option<F>,
    store: &'a NodeStore,
}

impl<T: 'static, F: FnOnce(&mut Tables) -> T + Send + 'static> Drop for Sent<'_, T, F> {
    fn drop(&mut self) {
        let Some(statement) = self.statement.take() else { return };
        let mut wire = self.store.wire.lock();
        if wire.dice.bool() {
            let after = Duration::from_millis(wire.dice.u64(0..3_000));
            let arrives = self.store.clock.steady().plus(after);
            let run = Box::new(move |tables: &mut Tables| drop(statement(tables)));
            self.store.database.late.lock().push((arrives, run));
        }
    }
}

#[async_trait]
impl Holding for NodeStore {
    async fn join(&self, new: &NewMember) -> Result<Member, StoreError> {
        let (term, name, work) = (self.database.term, new.name.clone(), new.work.clone());
        if let Some(mine) = self.incarnation() {
            let name = name.clone();
            if self.ask(move |tables| tables.is_taken(&name, mine)).await? {
                return Err(StoreError::Conflict("the name is taken".into()));
            }
        }
        let by = self.by();
        let joined = self.ask(move |tables| {
            let by = by(tables);
            tables.join(&name, work, term, by)
        });
        let incarnation = joined.await?;
        *self.incarnation.lock() = Some(incarnation);
        self.ask(Self::told).await?;
        Ok(Member { incarnation: incarnation.cast_unsigned(), term: Some(term) })
    }

    async fn renew(&self, member: &Member) -> Result<(), StoreError> {
        let (incarnation, term) = (member.incarnation.cast_signed(), self.database.term);
        let by = self.by();
        let renewed = self.ask(move |tables| {
            let by = by(tables);
            tables.renew(incarnation, term, by)
        });
        if renewed.await? { Ok(()) } else { Err(StoreError::Stale) }
    }

    async fn claim(&self, member: &Member, work: Work) -> Result<Share, StoreError> {
        let (incarnation, term) = (member.incarnation.cast_signed(), self.database.term);
        let mut nodes = self.ask(move |tables| tables.living(work)).await?;
        if !nodes.contains(&incarnation) {
            if !self.ask(move |tables| tables.works(incarnation, work)).await? {
                return Err(StoreError::Stale);
            }
            nodes.insert(incarnation);
        }
        let by = self.by();
        self.ask(move |tables| {
            let by = by(tables);
            tables.run_out(term, by);
        })
        .await?;
        let pieces = self.ask(move |tables| tables.pieces(work)).await?;
        let settled = self.comers.settled(work, &nodes, self.clock.steady(), spread::settles(term));
        let claim = spread::claim(incarnation, &nodes, settled, &pieces);
        let (wanted, stays, leaving) = (claim.wanted, claim.stays, claim.leaving);
        if !wanted.is_empty() {
            self.ask(move |tables| tables.take(work, incarnation, &wanted)).await?;
        }
        if !stays.is_empty() {
            self.ask(move |tables| tables.stays(work, &stays)).await?;
        }
        if !leaving.is_empty() {
            self.ask(move |tables| tables.leaves(work, &leaving)).await?;
        }
        let held = self.ask(move |tables| tables.held_now(work, incarnation)).await?;
        Ok(Share::These(held))
    }

    async fn leaving(&self, member: &Member) -> Result<BTreeMap<Work, BTreeSet<i64>>, StoreError> {
        let incarnation = member.incarnation.cast_signed();
        self.ask(move |tables| tables.leaving(incarnation)).await
    }

    async fn leave(
        &self,
        member: &Member,
        work: Work,
        ended: &BTreeSet<i64>,
    ) -> Result<(), StoreError> {
        let (incarnation, ended) = (member.incarnation.cast_signed(), ended.clone());
        if self.ask(move |tables| tables.ended(work, incarnation, &ended)).await? > 0 {
            self.ask(Self::told).await?;
        }
        Ok(())
    }

    async fn give_back(&self, member: &Member, work: Work) -> Result<(), StoreError> {
        let incarnation = member.incarnation.cast_signed();
        self.ask(move |tables| tables.ends(work, incarnation)).await?;
        self.ask(move |tables| tables.give_back(work, incarnation)).await?;
        self.ask(move |tables| tables.leaves_for_good(incarnation)).await?;
        self.ask(Self::told).await
    }

    async fn members(&self) -> Result<Vec<MemberState>, StoreError> {
        Ok(Vec::new())
    }
}
