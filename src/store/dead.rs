//! Dead letters: events that were given up.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

use super::{LastAnswer, StoreError};
use crate::{
    event::{Event, Micros, Name, Topic, Version},
    settings::Rate,
};

/// Why an event was given up.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum DeadReason {
    /// The attempts are spent.
    Attempts,
    /// The time is up.
    Age,
    /// The receiver or the policy said that it must not be tried again.
    Refused,
    /// A filter or transform failed on it.
    Expression,
    /// Its attributes are too large for the headers that would carry them.
    TooLarge,
    /// What the store kept of it is damaged or lost.
    Damaged,
    /// Retention removed it while it was owed: a range.
    Expired,
}

/// An event to be given up.
#[derive(Debug, Clone)]
pub struct NewDeadLetter {
    /// Which.
    pub version: Version,
    /// Why.
    pub reason: DeadReason,
    /// Attempts made.
    pub attempts: u32,
    /// When it was first tried.
    pub first: Micros,
    /// How the last attempt ended.
    pub last: LastAnswer,
}

/// A kept dead letter: one event, or a range that retention removed.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Its row number.
    pub id: i64,
    /// The row number of the subscription.
    pub subscription: i64,
    /// The topic.
    pub topic: Topic,
    /// The first version.
    pub from: Version,
    /// The last version; `from` for a single event.
    pub to: Version,
    /// How many events of the range were owed; 1 for a single event.
    pub count: u64,
    /// Why.
    pub reason: DeadReason,
    /// Attempts made.
    pub attempts: u32,
    /// When it was first tried.
    pub first: Micros,
    /// When it was given up.
    pub at: Micros,
    /// How the last attempt ended.
    pub last: LastAnswer,
    /// The event, unless it is a range; outlives the log.
    pub event: Option<Arc<Event>>,
}

/// How many dead letters are looked at to tell what was given up of late.
pub const RECENT_MAX: usize = 10_000;

/// How many events a subscription gave up of late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentDeaths {
    /// The row number of the subscription.
    pub subscription: i64,
    /// Whether retention removed them ([`DeadReason::Expired`]), or any other reason.
    pub is_expired: bool,
    /// How many.
    pub count: u64,
    /// When the first of them was given up.
    pub first: Micros,
}

/// Which dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadSelect {
    /// All of the subscription.
    All,
    /// Those with these ids.
    Ids(Vec<i64>),
    /// Those that are as it says.
    Where(DeadFilter),
}

/// Which dead letters; every field narrows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadFilter {
    /// Of this topic.
    pub topic: Option<Topic>,
    /// Given up because of this.
    pub reason: Option<DeadReason>,
    /// Of this version or a later one.
    pub from: Option<Version>,
    /// Of this version or an earlier one.
    pub to: Option<Version>,
    /// Given up at this moment or later.
    pub since: Option<Micros>,
    /// Whose last attempt was answered with this status.
    pub status: Option<u16>,
}

/// What a selection of dead letters comes to at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChosenLetters {
    /// How many are chosen.
    pub letters: u64,
    /// How many of them [`DeadLetters::redrive`] would turn into retries.
    pub redrivable: u64,
}

/// Dead letters.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Dead letters of a subscription, oldest first, with an id above `after`, at most `limit`.
    async fn dead_letters(
        &self,
        name: &Name,
        select: &DeadSelect,
        after: i64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError>;
    /// Dead letters of the subscriptions of these row numbers (`None`: of all), as
    /// [`DeadLetters::dead_letters`] gives those of one.
    async fn all_dead_letters(
        &self,
        of: Option<&[i64]>,
        select: &DeadSelect,
        after: i64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError>;
    /// What was given up at `since` or later, of every subscription, in the order of row numbers; of the
    /// newest [`RECENT_MAX`] dead letters only.
    async fn recent_deaths(&self, since: Micros) -> Result<Vec<RecentDeaths>, StoreError>;
    /// What a selection of a subscription's dead letters comes to, by the rules of
    /// [`DeadLetters::redrive`] and [`DeadLetters::delete_dead_letters`].
    async fn count_dead_letters(
        &self,
        name: &Name,
        select: &DeadSelect,
    ) -> Result<ChosenLetters, StoreError>;
    /// Turns dead letters into retries with no attempt counted, due at `now`, or one after the
    /// other at `rate`; answers how many. Announced ranges stay. As many as fit below
    /// `max_exceptions`; those whose key stands still always do.
    async fn redrive(
        &self,
        name: &Name,
        select: DeadSelect,
        rate: Option<Rate>,
        now: Micros,
    ) -> Result<u64, StoreError>;
    /// Removes dead letters; answers how many.
    async fn delete_dead_letters(&self, name: &Name, select: DeadSelect)
    -> Result<u64, StoreError>;
}
