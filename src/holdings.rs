//! What this node holds: it joins the others on its store, renews its term, claims its work.
//!
//! Roles know a [`Claimed`] only: they begin what is in it and drop what is no longer.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::claimed::{Claimed, Holdings, Until};
use self::claimed::{Ended, GATHERED, Term};
use crate::{
    clock::Clock,
    event::Micros,
    store::{Holding, Member, NewMember, Share, StoreError, Work},
};

mod claimed;
#[cfg(test)]
mod tests;

/// How long a store that fails is left alone.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a store that does not answer is waited for when no term runs.
const PATIENCE: Duration = Duration::from_secs(10);
/// A term is renewed after this part of it.
const RENEW_PART: u32 = 3;
/// What is held is worked on for this many quarters of its term; the rest is for what was begun to
/// end in.
const USED_QUARTERS: u32 = 3;

/// Claims these kinds of work.
async fn claimed(
    store: &dyn Holding,
    member: Member,
    work: &[Work],
) -> Result<BTreeMap<Work, Share>, StoreError> {
    let mut shares = BTreeMap::new();
    for work in work {
        shares.insert(*work, store.claim(&member, *work).await?);
    }
    Ok(shares)
}

/// What a store answers, if it does in time.
async fn within<T>(
    clock: &Clock,
    patience: Duration,
    asked: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::select! {
        biased;
        answer = asked => answer,
        () = clock.pause(patience) => Err(StoreError::Busy("the store does not answer")),
    }
}

/// Keeps a node a member of its store and its work claimed.
pub struct Holder {
    store: Arc<dyn Holding>,
    clock: Clock,
    new: NewMember,
    member: Option<(Member, Micros)>,
    now: watch::Sender<Holdings>,
    term: Term,
    ended: Arc<Ended>,
    /// What this node is to leave, and when nothing of it is under way any more by the steady reading:
    /// some time after the roles were told, however long the store took.
    leaving: BTreeMap<(Work, i64), Micros>,
}

impl Holder {
    /// A holder for a node that is no member yet.
    #[must_use]
    pub fn new(store: Arc<dyn Holding>, clock: Clock, new: NewMember) -> Self {
        Self {
            store,
            clock,
            new,
            member: None,
            now: watch::Sender::default(),
            term: Arc::new(AtomicI64::new(i64::MAX)),
            ended: Arc::default(),
            leaving: BTreeMap::new(),
        }
    }

    /// What is held of a kind, for the role that does it.
    #[must_use]
    pub fn held(&self, work: Work) -> Claimed {
        Claimed::new(self.now.subscribe(), self.term.clone(), self.ended.clone(), work)
    }

    /// Joins or renews, claims what is free, and tells the roles.
    ///
    /// # Errors
    /// As the store has them; the next step tries again. What may be somebody else's by now is not
    /// held any more.
    pub async fn step(&mut self) -> Result<(), StoreError> {
        // Before anybody is asked who may not answer.
        if self.is_over() {
            self.let_go();
        }
        let stepped = self.claim().await;
        if let Err(error) = &stepped {
            let is_stale = matches!(error, StoreError::Stale);
            if is_stale {
                self.member = None;
            }
            if is_stale || self.is_over() {
                self.let_go();
            }
        }
        stepped
    }

    /// Whether what is held may not be worked on any more.
    fn is_over(&self) -> bool {
        self.until().is_some_and(|until| until <= self.clock.steady())
    }

    /// Tells the roles that nothing is held.
    fn let_go(&self) {
        let grace = self.now.borrow().grace;
        self.tell(Holdings { grace, ..Holdings::default() });
    }

    /// Joins or renews, then claims; a claim that takes long costs no term.
    async fn claim(&mut self) -> Result<(), StoreError> {
        let mut member = self.renew().await?;
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let work: Vec<Work> = self.new.work.iter().copied().collect();
        let ended = self.take_ended();
        let as_member = member;
        let claiming = async {
            for (work, pieces) in &ended {
                store.leave(&as_member, *work, pieces).await?;
            }
            claimed(&*store, as_member, &work).await
        };
        tokio::pin!(claiming);
        let end = clock.steady().plus(PATIENCE);
        let claimed = loop {
            let next = clock.steady().plus(self.part()).min(end);
            tokio::select! {
                biased;
                claimed = &mut claiming => break claimed?,
                () = clock.until(next) => {}
            }
            if clock.steady() >= end {
                return Err(StoreError::Busy("the store does not answer"));
            }
            member = self.renew().await?;
        };
        let grace = member.grace();
        self.tell(Holdings { shares: claimed, grace });
        self.lasts();
        self.note_leaving(&member).await
    }

    /// Pieces that may be somebody else's: roles have ended them, or had the time to.
    fn take_ended(&self) -> BTreeMap<Work, BTreeSet<i64>> {
        let mut ended = std::mem::take(&mut *self.ended.pieces.lock());
        let now = self.clock.steady();
        let due = self.leaving.iter().filter(|(_, free_at)| **free_at <= now);
        for ((work, number), _) in due {
            ended.entry(*work).or_default().insert(*number);
        }
        ended
    }

    /// Notes what is to be left; the roles have been told by now.
    async fn note_leaving(&mut self, member: &Member) -> Result<(), StoreError> {
        let asked = within(&self.clock, self.part(), self.store.leaving(member));
        let leaving = asked.await?;
        let free_at = self.clock.steady().plus(member.grace());
        let pieces = leaving
            .into_iter()
            .flat_map(|(work, numbers)| numbers.into_iter().map(move |number| (work, number)));
        let mut before = std::mem::take(&mut self.leaving);
        let is_told = |(work, number): &(Work, i64)| !self.now.borrow().of(*work).has(*number);
        let noted = pieces.filter(is_told).map(|piece| {
            let known = before.remove(&piece).filter(|known| *known > self.clock.steady());
            (piece, known.unwrap_or(free_at))
        });
        self.leaving = noted.collect();
        Ok(())
    }

    /// Joins, or begins another term.
    async fn renew(&mut self) -> Result<Member, StoreError> {
        // By the moment before it was asked: the term begins no earlier.
        let asked = self.clock.steady();
        // What is held ends meanwhile, if nobody answers: then the roles have to be told.
        let left = self.until().map(|until| until.since(asked)).filter(|left| !left.is_zero());
        let patience = left.map_or(self.part(), |left| left.min(self.part()));
        let member = within(&self.clock, patience, async {
            match self.member {
                None => self.store.join(&self.new).await,
                Some((member, _)) => self.store.renew(&member).await.map(|()| member),
            }
        })
        .await?;
        // What was held in a term that ran out may be another's: it is claimed anew first.
        let goes_on = asked.0 < self.term.load(Ordering::Acquire);
        self.member = Some((member, asked));
        if goes_on {
            self.lasts();
        }
        Ok(member)
    }

    /// What is held may be begun until the present term ends.
    fn lasts(&self) {
        let until = self.until().map_or(i64::MAX, |until| until.0);
        self.term.store(until, Ordering::Release);
    }

    /// After how long a term is renewed.
    fn part(&self) -> Duration {
        let term = self.member.and_then(|(member, _)| member.term);
        term.map_or(PATIENCE, |term| term / RENEW_PART)
    }

    /// Tells the roles what is held, and the log how much, if that is something else.
    fn tell(&self, holdings: Holdings) {
        let is_told = self.now.send_if_modified(|now| {
            let is_other = *now != holdings;
            *now = holdings;
            is_other
        });
        let is_alone = self.member.is_some_and(|(member, _)| member.term.is_none());
        if is_told && !is_alone {
            let now = self.now.borrow();
            let [sources, subscriptions, topics] =
                [Work::Source, Work::Subscription, Work::Retention].map(|work| now.of(work).len());
            tracing::info!(
                event = "cluster.work_changed",
                sources,
                subscriptions,
                topics,
                "this node's work has changed"
            );
        }
    }

    /// Until when what is held may be worked on; `None`: without an end.
    fn until(&self) -> Option<Micros> {
        let (member, renewed) = self.member?;
        member.term.map(|term| renewed.plus(term / 4 * USED_QUARTERS))
    }

    /// When to step next; `None`: when something changes.
    fn next(&self, is_failing: bool) -> Option<Micros> {
        let retry = is_failing.then(|| self.clock.steady().plus(PAUSE));
        let renew = self
            .member
            .and_then(|(member, renewed)| member.term.map(|term| renewed.plus(term / RENEW_PART)));
        match (retry, self.until()) {
            // It must not be missed.
            (Some(retry), Some(until)) if until > self.clock.steady() => Some(retry.min(until)),
            (Some(retry), _) => Some(retry),
            (None, _) => renew.into_iter().chain(self.leaving.values().copied()).min(),
        }
    }

    /// Steps until `stop`, then gives everything back. `changes` are those of the store.
    pub async fn run(mut self, mut changes: watch::Receiver<u64>, stop: CancellationToken) {
        let mut is_failing = false;
        loop {
            let next = self.next(is_failing);
            let clock = self.clock.clone();
            let due = async {
                match next {
                    Some(moment) => clock.until(moment).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = due => {}
                () = self.ended.gathered(&clock) => {}
                Ok(()) = changes.changed() => {
                    stop.run_until_cancelled(clock.pause(GATHERED)).await;
                }
            }
            changes.mark_unchanged();
            let stepped = self.step().await;
            if let Err(error) = &stepped {
                tracing::warn!(
                    event = "cluster.claim_failed", %error,
                    "this node's work cannot be claimed; tried again soon"
                );
            }
            is_failing = stepped.is_err();
        }
        self.give_back().await;
    }

    async fn give_back(self) {
        let Some((member, _)) = self.member else { return };
        for work in &self.new.work {
            if let Err(error) = self.store.give_back(&member, *work).await {
                tracing::warn!(
                    event = "cluster.give_back_failed", %error,
                    "work was not given back; it is free when its term ends"
                );
            }
        }
    }
}
