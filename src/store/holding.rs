//! Who does what: the nodes on one store, and the work that each of them holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;

use super::StoreError;

/// A kind of work. Each piece of it is done by one node at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Work {
    /// Asking a source; its number is that of the source.
    Source,
    /// Serving a subscription with all its positions and replays; its number is the subscription's.
    Subscription,
    /// Keeping a topic within its bounds; its number is the topic's.
    Retention,
    /// Moving events of a topic into the log when they are due; its number is the topic's.
    Pending,
}

impl Work {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Source, Self::Subscription, Self::Retention, Self::Pending];
}

/// A node that wants to work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMember {
    /// What people call it; no two nodes that live have one name.
    pub name: String,
    /// What it does, in a word each.
    pub roles: Vec<&'static str>,
    /// The kinds of work that it does.
    pub work: BTreeSet<Work>,
}

/// A node that the store knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its number, which no other node has had, nor an earlier process of the same name.
    pub incarnation: u64,
    /// How long after a renewal it holds what it has; `None`: until it gives it back or the store is
    /// closed.
    pub term: Option<Duration>,
}

impl Member {
    /// How long what was begun may last after its work is not held any more: then another node may
    /// begin. A quarter of the term, and at most 2 seconds.
    #[must_use]
    pub fn grace(&self) -> Duration {
        self.term.map_or(Duration::ZERO, |term| (term / 4).min(Duration::from_secs(2)))
    }
}

/// A node as the others see it.
#[derive(Debug, Clone)]
pub struct MemberState {
    /// As in [`NewMember`].
    pub name: String,
    /// As in [`Member`].
    pub incarnation: u64,
    /// As in [`NewMember`].
    pub roles: Vec<String>,
    /// The release that it runs.
    pub release: String,
    /// Whether its term has not run out.
    pub lives: bool,
    /// What is left of its term; `None`: it has no end, or has run out.
    pub term_left: Option<Duration>,
    /// Whether it is the one that was asked.
    pub is_this: bool,
    /// What it holds; nothing of a kind that is not named.
    pub held: BTreeMap<Work, Share>,
}

/// What a node holds of one kind of work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Share {
    /// Nothing.
    #[default]
    Nothing,
    /// All there is and will be: nobody else works on this store.
    Everything,
    /// The pieces with these numbers.
    These(BTreeSet<i64>),
}

impl Share {
    /// Whether a piece is part of it.
    #[must_use]
    pub fn has(&self, number: i64) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::These(numbers) => numbers.contains(&number),
        }
    }

    /// How many pieces it names.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Nothing | Self::Everything => 0,
            Self::These(numbers) => numbers.len(),
        }
    }

    /// Whether nothing is part of it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Everything => false,
            Self::These(numbers) => numbers.is_empty(),
        }
    }
}

/// Members and their work.
///
/// A piece that one member holds is given to no other before that one has given it back or its term
/// has run out. The store refuses, as `Stale`, what a former holder still tries to write.
///
/// What a member could claim anew is told by [`super::Log::changes`].
#[async_trait]
pub trait Holding: Send + Sync {
    /// Makes a node a member, which holds nothing yet.
    async fn join(&self, new: &NewMember) -> Result<Member, StoreError>;
    /// Begins another term. `Stale` when the last one has run out and its work may be somebody
    /// else's: the node has to join again.
    async fn renew(&self, member: &Member) -> Result<(), StoreError>;
    /// Takes what is free of this kind, up to the member's part of it, and answers with all that it
    /// holds. `Stale` as for [`Holding::renew`].
    async fn claim(&self, member: &Member, work: Work) -> Result<Share, StoreError>;
    /// What the member holds and is to leave, by its claims so far: another node's part. It stays the
    /// member's until that has ended it and says so by [`Holding::leave`].
    async fn leaving(&self, _member: &Member) -> Result<BTreeMap<Work, BTreeSet<i64>>, StoreError> {
        Ok(BTreeMap::new())
    }
    /// Frees those of these pieces that the member is to leave: it has ended its work on them.
    async fn leave(
        &self,
        member: &Member,
        work: Work,
        ended: &BTreeSet<i64>,
    ) -> Result<(), StoreError>;
    /// Gives all work of this kind to whoever claims it next; the member has ended it.
    async fn give_back(&self, member: &Member, work: Work) -> Result<(), StoreError>;
    /// Every node that is known, by its name; those that ended lately among them.
    async fn members(&self) -> Result<Vec<MemberState>, StoreError>;
}
