//! What this node holds: it joins the others on its store, renews its term, claims its work.
//!
//! Roles know a [`Claimed`] only: they begin what is in it and drop what is no longer.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    event::Micros,
    store::{Holding, Member, NewMember, Share, StoreError, Work},
};

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

/// What a node holds at present; nothing of a kind that is not named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holdings {
    shares: BTreeMap<Work, Share>,
    /// See [`Member::grace`].
    grace: Duration,
}

impl Holdings {
    /// All work there is.
    #[must_use]
    pub fn everything() -> Self {
        let shares = Work::ALL.map(|work| (work, Share::Everything)).into();
        Self { shares, grace: Duration::ZERO }
    }

    /// What is held of one kind.
    #[must_use]
    pub fn of(&self, work: Work) -> &Share {
        static NOTHING: Share = Share::Nothing;
        self.shares.get(&work).unwrap_or(&NOTHING)
    }

    /// Whether a piece that is named here is not in `next`.
    fn loses_by(&self, next: &BTreeMap<Work, Share>) -> bool {
        self.shares.iter().any(|(work, share)| match share {
            Share::These(numbers) => {
                let stays = |number: &i64| next.get(work).is_some_and(|next| next.has(*number));
                !numbers.iter().all(stays)
            }
            Share::Nothing | Share::Everything => false,
        })
    }
}

#[cfg(test)]
impl Holdings {
    /// Pieces of one kind.
    pub(crate) fn these<const N: usize>(work: Work, numbers: [i64; N]) -> Self {
        Self { shares: [(work, Share::These(numbers.into()))].into(), ..Self::default() }
    }
}

/// Until when work that is held may be begun, by the steady reading; the largest: without an end.
type Term = Arc<AtomicI64>;

/// What a role may do, now and after every change of it.
#[derive(Debug, Clone)]
pub struct Claimed {
    now: watch::Receiver<Holdings>,
    term: Term,
    work: Work,
    /// What was looked at last.
    seen: Share,
}

impl Claimed {
    fn new(now: watch::Receiver<Holdings>, term: Term, work: Work) -> Self {
        let seen = now.borrow().of(work).clone();
        Self { now, term, work, seen }
    }

    /// All of a kind, for good: the role is alone.
    #[must_use]
    pub fn everything(work: Work) -> Self {
        Self::new(
            watch::channel(Holdings::everything()).1,
            Arc::new(AtomicI64::new(i64::MAX)),
            work,
        )
    }

    /// What a test tells to be held, for good.
    #[cfg(test)]
    pub(crate) fn told(now: watch::Receiver<Holdings>, work: Work) -> Self {
        Self::new(now, Arc::new(AtomicI64::new(i64::MAX)), work)
    }

    /// Takes in what is held now, which is then gone by until the next look; whether that is something
    /// else than at the last one. Whoever acts on differences alone has to ask: what woke it may have
    /// been another thing.
    pub fn look(&mut self) -> bool {
        let now = self.now.borrow_and_update().of(self.work).clone();
        std::mem::replace(&mut self.seen, now) != self.seen
    }

    /// Whether a piece was held at the last look.
    #[must_use]
    pub fn has(&self, number: i64) -> bool {
        self.seen.has(number)
    }

    /// Whether a piece may be begun at `now`, by the steady reading; known before anybody looks. A
    /// process that stood still finds its term over before it is told of anything.
    #[must_use]
    pub fn may_begin(&self, number: i64, now: Micros) -> bool {
        now.0 < self.term.load(Ordering::Acquire) && self.now.borrow().of(self.work).has(number)
    }

    /// How long what was begun may last after its work is not held any more.
    #[must_use]
    pub fn grace(&self) -> Duration {
        self.now.borrow().grace
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.now.borrow().of(self.work).is_empty()
    }

    /// Waits until something else is held than at the last look; for ever when that cannot be any
    /// more. What has changed since then is not missed.
    pub async fn changed(&mut self) {
        let seen = &self.seen;
        wait(&mut self.now, self.work, |share| share != seen).await;
    }

    /// Waits until something is held; for ever when that cannot be any more.
    pub async fn any(&mut self) {
        wait(&mut self.now, self.work, |share| !share.is_empty()).await;
    }
}

async fn wait(now: &mut watch::Receiver<Holdings>, work: Work, until: impl Fn(&Share) -> bool) {
    if now.wait_for(|now| until(now.of(work))).await.is_err() {
        std::future::pending::<()>().await;
    }
}

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
    /// When what this node was told to leave may be another's, by the steady reading.
    free_at: Option<Micros>,
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
            free_at: None,
        }
    }

    /// What is held of a kind, for the role that does it.
    #[must_use]
    pub fn held(&self, work: Work) -> Claimed {
        Claimed::new(self.now.subscribe(), self.term.clone(), work)
    }

    /// Joins or renews, claims what is free, and tells the roles.
    ///
    /// # Errors
    /// As the store has them; the next step tries again. What may be somebody else's by now is not
    /// held any more.
    pub async fn step(&mut self) -> Result<(), StoreError> {
        let stepped = self.claim().await;
        if let Err(error) = &stepped {
            let is_stale = matches!(error, StoreError::Stale);
            let is_over = self.until().is_some_and(|until| until <= self.clock.steady());
            if is_stale {
                self.member = None;
            }
            if is_stale || is_over {
                let grace = self.now.borrow().grace;
                self.tell(Holdings { grace, ..Holdings::default() });
            }
        }
        stepped
    }

    /// Joins or renews, then claims; a claim that takes long costs no term.
    async fn claim(&mut self) -> Result<(), StoreError> {
        let mut member = self.renew().await?;
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let work: Vec<Work> = self.new.work.iter().copied().collect();
        let claiming = claimed(&*store, member, &work);
        tokio::pin!(claiming);
        let end = clock.steady().plus(PATIENCE);
        let claimed = loop {
            let next = clock.steady().plus(self.part()).min(end);
            tokio::select! {
                claimed = &mut claiming => break claimed?,
                () = clock.until(next) => {}
            }
            if clock.steady() >= end {
                return Err(StoreError::Busy("the store does not answer"));
            }
            member = self.renew().await?;
        };
        let (grace, now) = (member.grace(), self.clock.steady());
        self.free_at = self.free_at.filter(|free_at| *free_at > now);
        if self.now.borrow().loses_by(&claimed) {
            // Whoever gets it waits for that: the next renewal may be long after.
            self.free_at = Some(now.plus(grace));
        }
        self.tell(Holdings { shares: claimed, grace });
        self.lasts();
        Ok(())
    }

    /// Joins, or begins another term.
    async fn renew(&mut self) -> Result<Member, StoreError> {
        // By the moment before it was asked: the term begins no earlier.
        let asked = self.clock.steady();
        let member = within(&self.clock, self.part(), async {
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
            tracing::info!(sources, subscriptions, topics, "this node's work has changed");
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
            (None, _) => renew.into_iter().chain(self.free_at).min(),
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
                () = stop.cancelled() => break,
                () = due => {}
                Ok(()) = changes.changed() => {}
            }
            changes.mark_unchanged();
            let stepped = self.step().await;
            if let Err(error) = &stepped {
                tracing::warn!(%error, "this node's work cannot be claimed; tried again soon");
            }
            is_failing = stepped.is_err();
        }
        self.give_back().await;
    }

    async fn give_back(self) {
        let Some((member, _)) = self.member else { return };
        for work in &self.new.work {
            if let Err(error) = self.store.give_back(&member, *work).await {
                tracing::warn!(%error, "work was not given back; it is free when its term ends");
            }
        }
    }
}
