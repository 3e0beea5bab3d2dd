//! The notices there are, each with what a person and a program need to act on it.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    clock::Leap,
    event::{Micros, Name, Topic, Version},
    key::KeyId,
    store::{Change, Damage, DeadReason, LastAnswer, News},
};

/// Something that the relay noticed of itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// A subscription's endpoint was put on hold.
    Failing {
        /// Whose.
        subscription: Name,
        /// Why, for a person.
        reason: String,
        /// When the hold began.
        since: Micros,
        /// How the last attempt ended.
        last: LastAnswer,
    },
    /// The first success after a hold.
    Recovered {
        /// Whose.
        subscription: Name,
        /// When the hold began that is over.
        since: Micros,
    },
    /// A subscription is served no more: 410, or its hold was given up.
    Disabled {
        /// Which.
        subscription: Name,
        /// Why, for a person.
        reason: String,
        /// How the last attempt ended.
        last: LastAnswer,
    },
    /// Events were given up. Told at most once a minute of a subscription; told together they are
    /// counted.
    DeadLetters(DeadLetters),
    /// A source showed no new event for longer than its `silent_after`.
    Silent {
        /// Which.
        source: Name,
        /// Where its events would go.
        topic: Topic,
        /// When its last event was found, or it was first asked.
        since: Micros,
        /// How long it may be silent.
        silent_after: Duration,
        /// When a walk was last complete.
        last_success: Option<String>,
        /// What was wrong with the last poll, if anything was.
        last_error: Option<LastError>,
    },
    /// Five walks in a row of a source failed, or it was not ready for an hour; once until a walk
    /// is complete.
    SourceFailing(SourceTrouble),
    /// The first complete walk of a source that was told as failing.
    SourceRecovered {
        /// Which.
        source: Name,
        /// Where its events go.
        topic: Topic,
        /// When the first walk failed.
        since: Micros,
        /// How many failed.
        walks: u64,
    },
    /// A producer may have shown something that was not seen.
    Gap {
        /// The source that has it.
        source: Name,
        /// Where the missing events would have gone.
        topic: Topic,
        /// `bound_reached`, `cursor_lost`, …
        reason: String,
        /// For a person.
        detail: String,
    },
    /// The machine's clock was set, or the machine was suspended.
    Clock(Leap),
    /// Events that were acknowledged are lost or damaged.
    Damaged(Damage),
    /// A topic keeps nearly as many bytes as it may; above its cap even what is owed goes.
    NearCap {
        /// Which.
        topic: Topic,
        /// What it keeps.
        bytes: u64,
        /// Its cap.
        max_bytes: u64,
    },
    /// A source left the configuration file.
    SourceRemoved {
        /// Which.
        source: Name,
        /// Where its events went.
        topic: Topic,
    },
    /// A subscription left the configuration file.
    SubscriptionRemoved {
        /// Which.
        subscription: Name,
    },
    /// What is wrong with the store began, ended, or was mended at once.
    Store(News),
    /// Somebody changed something through the API.
    Action(Action),
}

/// A change that somebody made through the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// With which key; `None`: there are none.
    pub key: Option<KeyId>,
    /// Whose key that is.
    pub owner: Option<Name>,
    /// The method of the request.
    pub method: String,
    /// Its path, without the query.
    pub path: String,
}

/// What is wrong with a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceTrouble {
    /// Which.
    pub source: Name,
    /// Where its events would go.
    pub topic: Topic,
    /// When the first walk failed.
    pub since: Micros,
    /// How many failed in a row.
    pub walks: u64,
    /// The kind of the last failure, as in the metric of polls.
    pub kind: String,
    /// What is wrong, for a person.
    pub message: String,
    /// The setting or command that helps.
    pub help: Option<String>,
}

/// Events of one subscription that were given up since the last notice of them.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetters {
    /// Whose.
    pub subscription: Name,
    /// How many.
    pub count: u64,
    /// The topic of the latest.
    pub topic: Topic,
    /// The version of the latest.
    pub version: Version,
    /// Why the latest was given up.
    pub reason: DeadReason,
    /// Attempts made on the latest.
    pub attempts: u32,
    /// How its last attempt ended.
    pub last: LastAnswer,
}

/// How a poll failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastError {
    /// The kind of failure, as in the metric of polls.
    pub kind: String,
    /// For a person.
    pub message: String,
}

impl Notice {
    /// The event's `type`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Failing { .. } => "subscription.failing",
            Self::Recovered { .. } => "subscription.recovered",
            Self::Disabled { .. } => "subscription.disabled",
            Self::DeadLetters(_) => "dead_letter.added",
            Self::Silent { .. } => "source.silent",
            Self::SourceFailing(_) => "source.failing",
            Self::SourceRecovered { .. } => "source.recovered",
            Self::Gap { .. } => "gap.recorded",
            Self::Damaged(_) => "store.damaged",
            Self::NearCap { .. } => "retention.near_cap",
            Self::Clock(Leap::Set(_)) => "clock.set",
            Self::Clock(Leap::Slept(_)) => "clock.slept",
            Self::Clock(Leap::Confirmed(_)) => "clock.confirmed",
            Self::SourceRemoved { .. } => "source.removed",
            Self::SubscriptionRemoved { .. } => "subscription.removed",
            Self::Action(_) => "operator.action",
            Self::Store(news) => match news.change {
                Change::Began => "store.degraded",
                Change::Ended => "store.recovered",
                Change::Mended => "store.mended",
            },
        }
    }

    /// The event's `subject`: the name of the subscription, source or topic that it is about, the
    /// code of the store's trouble, or the path of what was changed; none when it is about the relay as a whole.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        Some(match self {
            Self::Failing { subscription, .. }
            | Self::Recovered { subscription, .. }
            | Self::Disabled { subscription, .. }
            | Self::SubscriptionRemoved { subscription }
            | Self::DeadLetters(DeadLetters { subscription, .. }) => subscription.as_str(),
            Self::Silent { source, .. }
            | Self::SourceFailing(SourceTrouble { source, .. })
            | Self::SourceRecovered { source, .. }
            | Self::SourceRemoved { source, .. }
            | Self::Gap { source, .. } => source.as_str(),
            Self::Damaged(Damage { topic, .. }) | Self::NearCap { topic, .. } => topic.as_str(),
            Self::Store(news) => news.trouble.code,
            Self::Action(action) => &action.path,
            Self::Clock(_) => return None,
        })
    }

    /// The subscription that it is about, if it is about one.
    #[must_use]
    pub const fn subscription(&self) -> Option<&Name> {
        match self {
            Self::Failing { subscription, .. }
            | Self::Recovered { subscription, .. }
            | Self::Disabled { subscription, .. }
            | Self::SubscriptionRemoved { subscription }
            | Self::DeadLetters(DeadLetters { subscription, .. }) => Some(subscription),
            Self::Silent { .. }
            | Self::SourceFailing(_)
            | Self::SourceRecovered { .. }
            | Self::SourceRemoved { .. }
            | Self::Gap { .. }
            | Self::Damaged(_)
            | Self::NearCap { .. }
            | Self::Store(_)
            | Self::Action(_)
            | Self::Clock(_) => None,
        }
    }

    /// The event's `data`; `at` is when it was told.
    pub(super) fn data(&self, at: Micros) -> Value {
        match self {
            Self::Failing { subscription, reason, since, last } => json!({
                "subscription": subscription, "reason": reason, "since": since.to_string(),
                "last": last,
            }),
            Self::Recovered { subscription, since } => json!({
                "subscription": subscription, "since": since.to_string(),
                "held_s": at.since(*since).as_secs(),
            }),
            Self::Disabled { subscription, reason, last } => json!({
                "subscription": subscription, "reason": reason, "last": last,
            }),
            Self::DeadLetters(letters) => letters.data(),
            Self::Silent { source, topic, since, silent_after, last_success, last_error } => {
                json!({
                    "source": source, "topic": topic, "since": since.to_string(),
                    "silent_after_s": silent_after.as_secs(), "last_success": last_success,
                    "last_error": last_error,
                })
            }
            Self::SourceFailing(trouble) => trouble.data(),
            Self::SourceRecovered { source, topic, since, walks } => json!({
                "source": source, "topic": topic, "since": since.to_string(), "walks": walks,
                "failed_s": at.since(*since).as_secs(),
            }),
            Self::Gap { source, topic, reason, detail } => json!({
                "source": source, "topic": topic, "reason": reason, "detail": detail,
            }),
            Self::Clock(Leap::Set(by_us) | Leap::Confirmed(by_us)) => {
                json!({ "by_ms": by_us / 1_000 })
            }
            Self::Clock(Leap::Slept(slept)) => json!({ "slept_s": slept.as_secs() }),
            Self::Damaged(Damage { topic, from, to, reason, detail }) => json!({
                "topic": topic, "from": from, "to": to, "reason": reason, "detail": detail,
            }),
            Self::NearCap { topic, bytes, max_bytes } => json!({
                "topic": topic, "bytes": bytes, "max_bytes": max_bytes,
            }),
            Self::SourceRemoved { source, topic } => json!({ "source": source, "topic": topic }),
            Self::SubscriptionRemoved { subscription } => json!({ "subscription": subscription }),
            Self::Store(News { trouble, .. }) => json!(trouble),
            Self::Action(Action { key, owner, method, path }) => json!({
                "key": key, "owner": owner, "method": method, "path": path,
            }),
        }
    }
}

impl SourceTrouble {
    fn data(&self) -> Value {
        json!({
            "source": self.source, "topic": self.topic, "since": self.since.to_string(),
            "walks": self.walks, "kind": self.kind, "message": self.message, "help": self.help,
        })
    }
}

impl DeadLetters {
    fn data(&self) -> Value {
        json!({
            "subscription": self.subscription, "count": self.count, "topic": self.topic,
            "version": self.version, "reason": self.reason, "attempts": self.attempts,
            "last": self.last,
        })
    }
}
