//! The one store: the written contract, its types and errors.
//!
//! Every backend keeps the promises written on [`Store`]; the cases in `tests/store/` hold each
//! backend to them.

pub(crate) use self::sqlite::room;
pub use self::{
    access_keys::AccessKeys,
    address::Address,
    backup::{Backup, BackupTopic, BackupWatch, Restored, backup, description, restore},
    dead::{
        ChosenLetters, DeadFilter, DeadLetter, DeadLetters, DeadReason, DeadSelect, NewDeadLetter,
        RECENT_MAX, RecentDeaths,
    },
    error::StoreError,
    holding::{Holding, Member, MemberState, NewMember, Share, Work},
    job::{Job, JobStatus, NewJob, Replays},
    keep::{Expired, Keeping, Trimmed},
    log::{Append, Log, Page, Placed, Read},
    migrate::{Moved, Watch, migrate},
    open::{look, open, verify},
    options::{Durability, Options, Verified},
    pending::{LoggedPending, Pending, PendingEvents},
    position::{
        EventPlace, EventState, Exception, ExceptionKind, PositionState, Positions, Settlement,
        Waiting, WaitingPlace,
    },
    sealed::Resealed,
    source::{
        EventSource, NewRejected, NewSource, REJECTED_BYTES_MAX, Rejected, SourceProgress,
        SourceState, SourceStatus, Sources, Steer,
    },
    stored::{Stored, is_known_source, is_known_subscription},
    subscription::{
        NewSubscription, Origin, PositionSummary, Standing, StartFrom, Subscription,
        SubscriptionStatus, SubscriptionSteer, Subscriptions,
    },
    topic::{Damage, EpochStart, Gap, NewGap, TopicState, Topics},
    trace::{ATTEMPTS_KEPT, Attempt, AttemptQuery, Attempts, LastAnswer},
    trouble::{Change, News, Trouble, Troubles},
};
pub use crate::event::NewEvent;

mod access_keys;
mod address;
mod backup;
mod dead;
mod error;
mod holding;
mod job;
mod keep;
mod log;
mod migrate;
mod open;
mod options;
mod pages;
mod pending;
mod position;
pub mod postgres;
mod question;
mod rules;
mod sealed;
pub(crate) mod slot;
mod source;
pub mod sqlite;
mod stored;
mod subscription;
pub(crate) mod sum;
#[cfg(test)]
pub(crate) mod support;
pub mod tail;
mod topic;
mod trace;
mod trace_queue;
mod trouble;

/// A number that rises when the holder of a piece of work must let go of it.
pub type Fence = u64;

/// What every store promises.
///
/// **The log.** A topic is append-only. `append` gives each event that is not known the next
/// version: from 1, without a gap, in commit order, never reused. An event is on disk before
/// `append` answers and before any reader sees it. `recorded` never falls from one version to the
/// next. An event whose `source` and `id` are known within the topic's dedupe window is not stored
/// again and answers with the version it has; two equal ones in one append, or in two appends that
/// commit together, are one. One append is all or nothing, its source's progress included. An
/// operation that fails fails alone, whatever was committed along with it.
///
/// **`Unknown`** is the answer when it cannot be told whether an operation took effect; the caller
/// may repeat it: every operation is safe to repeat, appends because they are recognised.
///
/// **Fences.** Every progress and settlement names the fence its holder was given; one that is not
/// the present fence changes nothing and answers `Stale`.
///
/// **Reading** never waits for a writer and holds nothing open between calls.
///
/// **Wake-ups** may be spurious, never missing: whoever subscribes before looking sees the change
/// or is woken.
pub trait Store:
    Topics
    + Log
    + PendingEvents
    + Sources
    + Subscriptions
    + Positions
    + Replays
    + DeadLetters
    + Attempts
    + Keeping
    + Holding
    + AccessKeys
    + Send
    + Sync
    + 'static
{
}
