//! What a topic is set to, as it is written and shown.

use std::time::Duration;

use probes::period::Period;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    api::problem::Problem,
    settings::{TopicSettings, forms::PeriodText},
};

/// The largest number that every client can read.
const COUNT_MAX: u64 = i64::MAX.cast_unsigned();

/// What a topic is set to; what is left out is as by default.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TopicBody {
    retention: RetentionBody,
    dedupe: DedupeBody,
    /// Whether anyone may read it without a key.
    public: bool,
}

/// How long and how much is kept.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RetentionBody {
    /// Events older than this go; null: never. Default `30d`.
    #[schema(value_type = Option<PeriodText>)]
    age: Option<Period>,
    /// More events than this go.
    #[schema(minimum = 1)]
    count: Option<u64>,
    /// The hard cap.
    #[schema(minimum = 1)]
    max_bytes: Option<u64>,
    /// How long owed events outlive the limits. Default `30d`.
    #[schema(value_type = PeriodText)]
    owed: Period,
}

impl Default for RetentionBody {
    fn default() -> Self {
        TopicBody::from(&TopicSettings::default()).retention
    }
}

/// What is recognised as known.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DedupeBody {
    /// How far back. Default `7d`.
    #[schema(value_type = PeriodText)]
    age: Period,
    /// How many events back. Default 1,000,000.
    count: u64,
}

impl Default for DedupeBody {
    fn default() -> Self {
        TopicBody::from(&TopicSettings::default()).dedupe
    }
}

impl From<&TopicSettings> for TopicBody {
    fn from(settings: &TopicSettings) -> Self {
        Self {
            retention: RetentionBody {
                age: settings.max_age.map(Period),
                count: settings.max_count,
                max_bytes: settings.max_bytes,
                owed: Period(settings.owed),
            },
            dedupe: DedupeBody { age: Period(settings.dedupe_age), count: settings.dedupe_count },
            public: settings.public,
        }
    }
}

impl From<TopicBody> for TopicSettings {
    fn from(body: TopicBody) -> Self {
        Self {
            max_age: body.retention.age.map(Duration::from),
            max_count: body.retention.count,
            max_bytes: body.retention.max_bytes,
            owed: body.retention.owed.0,
            dedupe_age: body.dedupe.age.0,
            dedupe_count: body.dedupe.count,
            public: body.public,
        }
    }
}

/// A limit of nothing would remove every event, which nobody means; one that is no `int64` would be
/// shown to clients that cannot read it.
pub(super) fn refuse_senseless(settings: &TopicSettings) -> Result<(), Problem> {
    if let Some(field) = settings.limits_of_nothing().next() {
        return Err(Problem::field(field, format!("`{field}`: expected more than zero, or null")));
    }
    let counts = [
        ("retention.count", settings.max_count),
        ("retention.max_bytes", settings.max_bytes),
        ("dedupe.count", Some(settings.dedupe_count)),
    ];
    match counts.iter().find(|(_, count)| count.is_some_and(|count| count > COUNT_MAX)) {
        Some((field, _)) => {
            Err(Problem::field(field, format!("`{field}`: expected at most {COUNT_MAX}")))
        }
        None => Ok(()),
    }
}
