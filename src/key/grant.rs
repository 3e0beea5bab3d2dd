//! What the holder of a key may do.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::error::KeyError;
use crate::{
    event::{Name, Topic, TopicPattern},
    settings::Rate,
};

/// What a key is good for.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::Display,
    schemars::JsonSchema,
    utoipa::ToSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Scope {
    /// To read topics, events and sources.
    Read,
    /// To publish events.
    Publish,
    /// To see and change the subscriptions of the key's owner, and to make some.
    Subscribe,
    /// Everything, whoever owns it.
    Admin,
}

/// What the holder of a key may do, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Whose key it is; a person, a team or a program.
    pub owner: Name,
    /// What it is good for.
    pub scopes: BTreeSet<Scope>,
    /// In which topics.
    pub topics: Vec<TopicPattern>,
    /// The most requests in a time on one node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
}

impl Grant {
    /// The most topics and patterns of a key.
    pub const TOPICS_MAX: usize = 100;

    /// Every topic but those of the relay itself.
    #[must_use]
    pub fn all_topics() -> Vec<TopicPattern> {
        vec![TopicPattern::any()]
    }

    /// What is wrong with it.
    ///
    /// # Errors
    /// It is good for nothing, for too much, or says that an admin is kept to some topics.
    pub fn check(&self) -> Result<(), KeyError> {
        let wrong = |field, problem| Err(KeyError::Grant { field, problem });
        if self.scopes.is_empty() {
            return wrong(
                "scopes",
                "expected one or more of `read`, `publish`, `subscribe`, `admin`",
            );
        }
        if self.topics.is_empty() || self.topics.len() > Self::TOPICS_MAX {
            return wrong("topics", "expected 1 to 100 topics or patterns");
        }
        if self.is_admin() && self.topics != Self::all_topics() {
            return wrong(
                "topics",
                "a key with the scope `admin` is good for every topic: leave `topics` out, or take \
                 the scopes `read`, `publish` and `subscribe`",
            );
        }
        Ok(())
    }

    /// Whether everything may be done with it.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.scopes.contains(&Scope::Admin)
    }

    /// Whether it is good for this, in some topic.
    #[must_use]
    pub fn has(&self, scope: Scope) -> bool {
        self.is_admin() || self.scopes.contains(&scope)
    }

    /// Whether it is good in this topic.
    #[must_use]
    pub fn covers(&self, topic: &Topic) -> bool {
        self.is_admin() || self.topics.iter().any(|pattern| pattern.matches(topic))
    }

    /// Whether it is good in every topic that `wanted` means now or later.
    #[must_use]
    pub fn covers_all(&self, wanted: &TopicPattern) -> bool {
        self.is_admin() || self.topics.iter().any(|pattern| pattern.includes(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(scopes: &[Scope], topics: &[&str]) -> Grant {
        Grant {
            owner: "billing".parse().unwrap(),
            scopes: scopes.iter().copied().collect(),
            topics: topics.iter().map(|topic| topic.parse().unwrap()).collect(),
            rate: None,
        }
    }

    #[test]
    fn a_grant_is_good_for_what_it_names() {
        let reader = grant(&[Scope::Read], &["billing.*"]);
        let good = |topic: &str| reader.covers(&topic.parse().unwrap());
        assert!(reader.has(Scope::Read) && !reader.has(Scope::Publish) && !reader.is_admin());
        assert!(good("billing.eu") && !good("billing") && !good("orders"));
        let all = |pattern: &str| reader.covers_all(&pattern.parse().unwrap());
        assert!(all("billing.eu") && all("billing.*") && all("billing.eu.*"));
        assert!(!all("*") && !all("b*") && !all("orders") && !all("*.eu"));
        let everywhere = grant(&[Scope::Read], &["*"]);
        assert!(!everywhere.covers(&Name::notices()), "the relay's own is named or for admins");
        let admin = grant(&[Scope::Admin], &["*"]);
        assert!(admin.covers(&Name::notices()) && admin.has(Scope::Subscribe));
    }

    #[test]
    fn a_grant_that_nobody_means_is_refused() {
        assert!(grant(&[Scope::Read], &["*"]).check().is_ok());
        for bad in
            [grant(&[], &["*"]), grant(&[Scope::Read], &[]), grant(&[Scope::Admin], &["orders"])]
        {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
