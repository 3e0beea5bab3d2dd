//! Replay jobs: a part of a topic, delivered again beside live delivery.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};

use super::{Fence, StoreError};
use crate::{
    event::{Micros, Name, Topic, Version},
    settings::Rate,
};

/// A replay job to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// The topic.
    pub topic: Topic,
    /// The first version.
    pub from: Version,
    /// The last version; at most the head.
    pub to: Version,
    /// The most events started in a time.
    pub rate: Option<Rate>,
}

/// A replay job: one more position of its subscription, with an end and no promise of order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its row number; what `milkrun-replay` says.
    pub id: i64,
    /// The topic.
    pub topic: Topic,
    /// The first version.
    pub from: Version,
    /// The last version.
    pub to: Version,
    /// The most events started in a time.
    pub rate: Option<Rate>,
    /// Whether it goes on.
    pub status: JobStatus,
    /// How far it is: every version up to it has been looked at.
    pub reach: Version,
    /// Versions up to the reach that are not settled: in flight, or waiting for another attempt.
    pub unsettled: u64,
    /// Deliveries that succeeded.
    pub delivered: u64,
    /// When it was started.
    pub started: Micros,
    /// When it was done or cancelled.
    pub ended: Option<Micros>,
}

/// Whether a replay job goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, EnumString, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum JobStatus {
    /// It has a position, which is served.
    Running,
    /// Everything was looked at and settled; its position is gone.
    Done,
    /// An operator ended it; its position is gone.
    Cancelled,
}

/// Replay jobs.
#[async_trait]
pub trait Replays: Send + Sync {
    /// Starts a replay job: one more position of the subscription, beside the live one of the
    /// same topic. `Conflict` when the subscription is not in the topic or there is nothing to
    /// replay, `Trimmed` when `from` is gone, `Full` when 10 run already.
    async fn start_replay(&self, name: &Name, job: &NewJob, now: Micros)
    -> Result<Job, StoreError>;
    /// The replay jobs of a subscription, newest first: those that run, and at most 100 that ended
    /// in the last 30 days.
    async fn replays(&self, name: &Name) -> Result<Vec<Job>, StoreError>;
    /// Ends a replay job before its time; `Conflict` when it is done.
    async fn cancel_replay(&self, name: &Name, id: i64, now: Micros) -> Result<Job, StoreError>;
    /// Its holder says that a replay job's position has nothing left: the job is done and the
    /// position goes.
    async fn end_replay(&self, position: i64, fence: Fence, now: Micros) -> Result<(), StoreError>;
}
