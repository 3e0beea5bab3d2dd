//! Subscriptions as the store keeps them.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};
use utoipa::ToSchema;

use super::{Fence, Resealed, Share, StoreError, TopicState};
use crate::{
    event::{Micros, Name, Topic, TopicPattern, Version},
    settings::SubscriptionSettings,
};

/// Who made a subscription, and so who may change its settings.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, EnumString, IntoStaticStr, ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Origin {
    /// The configuration file.
    File,
    /// The API.
    Api,
}

/// Where a new position begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartFrom {
    /// With the next event.
    Latest,
    /// With the oldest event kept.
    Earliest,
    /// After this version.
    After(Version),
    /// With the first event recorded at or after this moment.
    Since(Micros),
}

/// A subscription to be made.
#[derive(Debug, Clone)]
pub struct NewSubscription {
    /// Its name.
    pub name: Name,
    /// Who makes it.
    pub origin: Origin,
    /// A position in each topic that is meant; those named plainly must exist; 1 to 100.
    pub topics: Vec<TopicPattern>,
    /// Where each position begins.
    pub from: StartFrom,
    /// What it asks for.
    pub settings: SubscriptionSettings,
}

/// Whether a subscription is served. Whatever the status, its place is kept.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, EnumString, IntoStaticStr, ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum SubscriptionStatus {
    /// Served.
    Active,
    /// An operator paused it.
    Paused,
    /// The endpoint said 410, or the hold was given up.
    Disabled,
    /// It left the configuration; kept 30 days.
    Removed,
    /// Deleted: its positions, exceptions and dead letters are gone, its name is free; the row
    /// stays a while so that every node notices.
    Deleted,
}

/// A subscription as it stands.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// Its row number.
    pub id: i64,
    /// Its name.
    pub name: Name,
    /// Who made it.
    pub origin: Origin,
    /// Whether it is served.
    pub status: SubscriptionStatus,
    /// Why it is disabled.
    pub reason: Option<String>,
    /// What it is in: topics that appear later and match are joined from their first event.
    pub topics: Vec<TopicPattern>,
    /// What it asks for.
    pub settings: SubscriptionSettings,
    /// One per topic, by name, then one per replay job that runs; without exceptions.
    pub positions: Vec<PositionSummary>,
    /// The endpoint's health: JSON, opaque here.
    pub health: Option<String>,
    /// How often the health was forgotten.
    pub resets: u64,
    /// The number of its last change.
    pub edit: u64,
    /// When it was made.
    pub created: Micros,
    /// When it was removed or deleted.
    pub removed_at: Option<Micros>,
}

impl Subscription {
    /// The positions of live delivery: one per topic, by name.
    pub fn live(&self) -> impl Iterator<Item = &PositionSummary> {
        self.positions.iter().filter(|position| position.job.is_none())
    }
}

/// A position at a glance, as last saved.
#[derive(Debug, Clone)]
pub struct PositionSummary {
    /// Its row number.
    pub id: i64,
    /// The topic it is in.
    pub topic: Topic,
    /// Compared by every settlement.
    pub fence: Fence,
    /// Every version up to it has been looked at.
    pub reach: Version,
    /// One below the lowest open or excepted version; the reach when there is none.
    pub floor: Version,
    /// Exceptions kept.
    pub exceptions: u64,
    /// Keys that stand still until somebody redrives or deletes their dead letter.
    pub stopped_keys: u64,
    /// Versions at or below the reach that it still has to get: open ones and exceptions, without
    /// those whose key stands still.
    pub unsettled: u64,
    /// Dead letters kept; a replay job's are those of the live position.
    pub dead_letters: u64,
    /// Deliveries that succeeded, ever.
    pub delivered: u64,
    /// The replay job that it serves; `None`: live delivery.
    pub job: Option<i64>,
}

impl PositionSummary {
    /// Events that it still has to get of its topic: those above the reach, of which a filter may
    /// pass over some, and those below it that are in flight, tried again or parked.
    #[must_use]
    pub fn owed(&self, topic: Option<&TopicState>) -> u64 {
        let above = topic.map_or(0, |topic| {
            // What retention has taken is owed no more.
            topic.head.0.saturating_sub(self.reach.max(topic.oldest.previous()).0)
        });
        above + self.unsettled
    }
}

/// How a subscription is doing, for who watches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its row number.
    pub id: i64,
    /// Its name.
    pub name: Name,
    /// Whether it is served: neither removed nor deleted.
    pub status: SubscriptionStatus,
    /// The endpoint's health: JSON, opaque here.
    pub health: Option<String>,
    /// As [`PositionSummary::owed`], over its live positions.
    pub owed: u64,
    /// The moment from which on the event that waits longest could have been sent: when the first one
    /// above the reach was recorded, or when the first retry was due, which may not have come yet.
    /// `None`: nothing waits for its turn.
    pub due: Option<Micros>,
    /// Versions below the reach that are not settled.
    pub exceptions: u64,
    /// Those of the position that has most of them.
    pub exceptions_most: u64,
    /// Those of them that keep their key standing still.
    pub stopped_keys: u64,
    /// Dead letters that are kept.
    pub dead_letters: u64,
    /// Deliveries that succeeded, ever.
    pub delivered: u64,
}

impl Standing {
    /// How long the oldest event that could be sent now has waited; zero when there is none.
    #[must_use]
    pub fn waited(&self, now: Micros) -> Duration {
        self.due.map_or(Duration::ZERO, |due| now.since(due))
    }
}

/// What an operator, the file or the endpoint does to a subscription.
#[derive(Debug, Clone)]
pub enum SubscriptionSteer {
    /// Stop serving, keep the place.
    Pause,
    /// Serve again (from paused or disabled), and forget the health.
    Resume,
    /// Stop serving the subscription of this row number because of this; nothing when another has
    /// the name by now, or when it is not active any more.
    Disable {
        /// Its row number.
        id: i64,
        /// For a person.
        reason: String,
    },
    /// It left the configuration.
    Remove,
    /// Delete with everything it has.
    Delete,
}

/// Subscriptions and what an operator does to them.
#[async_trait]
pub trait Subscriptions: Send + Sync {
    /// Creates a subscription with a position in each topic that it names (`NotFound` when there is
    /// none of that name) or that matches a pattern of its; `Exists` when the name is taken.
    /// For [`Origin::File`] an existing one is changed instead and keeps its positions.
    async fn put_subscription(
        &self,
        new: &NewSubscription,
        now: Micros,
    ) -> Result<Subscription, StoreError>;
    /// Replaces the settings; positions, fence and what is in flight stay. With `edit`, the number
    /// of the change that the settings were read after: `Stale` when it is not the last any more.
    /// With another `url` the health is forgotten, and what failed is due at once.
    async fn set_subscription(
        &self,
        name: &Name,
        settings: &SubscriptionSettings,
        edit: Option<u64>,
        now: Micros,
    ) -> Result<Subscription, StoreError>;
    /// One subscription, or `NotFound`.
    async fn subscription(&self, name: &Name) -> Result<Subscription, StoreError>;
    /// All that changed after `edit`, in the order of their change, deleted ones included; 0 gives
    /// all that exist.
    async fn subscriptions(&self, edit: u64) -> Result<Vec<Subscription>, StoreError>;
    /// Those of `share` that exist, by name: what they cost grows with how many are named.
    async fn subscriptions_of(&self, share: &Share) -> Result<Vec<Subscription>, StoreError>;
    /// How each subscription of `share` that is neither removed nor deleted is doing, by name.
    async fn standings(&self, share: &Share) -> Result<Vec<Standing>, StoreError>;
    /// Pauses, resumes, disables, removes or deletes.
    async fn steer_subscription(
        &self,
        name: &Name,
        steer: SubscriptionSteer,
        now: Micros,
    ) -> Result<Subscription, StoreError>;
    /// Moves the positions of the subscription (in `topic`, or in all) so that the next event is
    /// the one after `to`: drops open and exceptions, raises the fence;
    /// dead letters stay, and so do redriven events that only an exception still has.
    async fn rewind(
        &self,
        name: &Name,
        topic: Option<&Topic>,
        to: Version,
        now: Micros,
    ) -> Result<Subscription, StoreError>;
    /// Writes all settings as they are to be kept now: sealed under the master key, or in clear where
    /// there is none. `Refused`: a key that some are sealed under is not here, and nothing is changed.
    async fn reseal(&self) -> Result<Resealed, StoreError>;
}
