//! `topics`: how long and how much is kept, and what is recognised as known.

use std::collections::BTreeMap;

use probes::period::{Period, Positive};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{error::Problems, names, table::Table};
use crate::{event::Topic, settings::TopicSettings};

/// One topic.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TopicFile {
    /// How long and how much is kept.
    pub retention: Retention,
    /// What is recognised as known.
    pub dedupe: Dedupe,
    /// Whether anyone may read it without a key.
    pub public: bool,
}

/// How long and how much of a topic is kept.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Older events go; `null`: whatever their age, they stay.
    #[schemars(with = "Option<Positive>")]
    pub age: Option<Period>,
    /// More events than this go, the oldest first.
    #[schemars(range(min = 1))]
    pub count: Option<u64>,
    /// The hard cap on attributes and data; what subscriptions are owed goes too.
    #[schemars(range(min = 1))]
    pub max_bytes: Option<u64>,
    /// How long events that a subscription is owed outlive the limits; `0s`: not at all.
    pub owed: Period,
}

/// How far back a known event is recognised.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Dedupe {
    /// By age.
    pub age: Period,
    /// By number of events.
    pub count: u64,
}

impl Default for Retention {
    fn default() -> Self {
        let settings = TopicSettings::default();
        Self {
            age: settings.max_age.map(Period),
            count: settings.max_count,
            max_bytes: settings.max_bytes,
            owed: Period(settings.owed),
        }
    }
}

impl Default for Dedupe {
    fn default() -> Self {
        let settings = TopicSettings::default();
        Self { age: Period(settings.dedupe_age), count: settings.dedupe_count }
    }
}

impl TopicFile {
    fn settings(&self) -> TopicSettings {
        TopicSettings {
            max_age: self.retention.age.map(|age| age.0),
            max_count: self.retention.count,
            max_bytes: self.retention.max_bytes,
            owed: self.retention.owed.0,
            dedupe_age: self.dedupe.age.0,
            dedupe_count: self.dedupe.count,
            public: self.public,
        }
    }
}

/// The topics by name.
pub(crate) fn build(
    topics: &Table<Option<TopicFile>>,
    problems: &mut Problems<'_>,
) -> BTreeMap<Topic, TopicSettings> {
    topics
        .0
        .iter()
        .filter_map(|(name, topic)| {
            let settings = topic.clone().unwrap_or_default().settings();
            for field in settings.limits_of_nothing() {
                problems.add(name.referenced, format!("`{field}`: expected more than zero"));
            }
            names::own(name, "topic", problems).map(|name| (name, settings))
        })
        .collect()
}
