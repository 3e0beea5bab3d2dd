//! How much is kept and taken at most, on every backend.

use std::time::Duration;

/// The most events of one append.
pub(crate) const APPEND_MAX: usize = 100_000;
/// The most events that one read gives.
pub(crate) const READ_EVENTS_MAX: usize = 1_000;
/// The most attributes and data that one read gives.
pub(crate) const READ_BYTES_MAX: usize = 4 << 20;
/// Attributes and data that one reading of a journal gives at most.
pub(crate) const JOURNAL_BYTES_MAX: usize = 4 << 20;
/// The most events of one release or list of pending ones.
pub(crate) const PENDING_MAX: usize = 1_000;
/// Attributes and data of one release or list of pending ones; one event goes whatever its size.
pub(crate) const PENDING_BYTES_MAX: usize = 8 << 20;
/// How long a prepared event waits for its commit.
pub(crate) const PREPARED_MAX: Duration = Duration::from_hours(24);
/// Subscriptions of one store.
pub(crate) const SUBSCRIPTIONS_MAX: u64 = 100_000;
/// Keys of the API, without those of the configuration file.
pub(crate) const KEYS_MAX: i64 = 10_000;
/// Ended replay jobs kept of a subscription.
pub(crate) const ENDED_JOBS_MAX: i64 = 100;
/// Rejected items kept of a source.
pub(crate) const REJECTED_MAX: u64 = 1_000;
/// Dead letters kept of a subscription.
pub(crate) const DEAD_MAX: i64 = 100_000;
/// Gaps kept of a topic.
pub(crate) const GAPS_MAX: i64 = 1_000;
/// The longest error text that is kept.
pub(crate) const ERROR_MAX_CHARS: usize = 300;
