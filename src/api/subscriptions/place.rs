//! Where a subscription begins or is moved to: `latest`, `earliest`, a version, a cursor, a time.

use std::str::FromStr;

use probes::moment::MomentError;
use serde::{Deserialize, Deserializer, de};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use crate::{
    api::{ApiState, openapi::forms, position, problem::Problem},
    event::{Micros, Position, Version},
    store::TopicState,
};

/// A place in a log as a person names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Latest,
    Earliest,
    At(Position),
    Since(Micros),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "latest" => Ok(Self::Latest),
            "earliest" => Ok(Self::Earliest),
            _ => text
                .parse()
                .map(Self::At)
                .or_else(|_| text.parse().map(Self::Since))
                .map_err(|_: MomentError| {
                    let given: String = text.chars().take(60).collect();
                    format!(
                        "`{given}` is no place: expected `latest`, `earliest`, a version, a cursor or a time as 2026-01-31T12:00:00Z"
                    )
                }),
        }
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;

        impl de::Visitor<'_> for Words {
            type Value = Place;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("`latest`, `earliest`, a version, a cursor or a time")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Place, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Place, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Words)
    }
}

impl PartialSchema for Place {
    fn schema() -> RefOr<Schema> {
        forms::place()
    }
}

impl ToSchema for Place {}

impl Place {
    /// Whether it means the same in every topic.
    pub(super) fn is_of_any_topic(self) -> bool {
        !matches!(self, Self::At(_))
    }

    /// The last version before the place. A version or cursor is the first event wanted when
    /// `inclusive`, else the last one not wanted.
    pub(super) async fn resolve(
        self,
        api: &ApiState,
        state: &TopicState,
        inclusive: bool,
    ) -> Result<Version, Problem> {
        match self {
            Self::Latest => Ok(state.head),
            Self::Earliest => Ok(state.oldest.previous()),
            Self::Since(moment) => Ok(api.store.version_before(&state.topic, moment).await?),
            Self::At(at) if inclusive && at.version > Version::ZERO => {
                // The event after the head may be waited for.
                if at.epoch.is_none() && at.version == state.head.next() {
                    return Ok(state.head);
                }
                let version = position::check(state, at)?.previous();
                position::check_kept(state, Position { epoch: None, version })
            }
            Self::At(at) => position::check_kept(state, at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_words_versions_cursors_and_times() {
        let place = |json: &str| serde_json::from_str::<Place>(json);
        assert_eq!(place("\"latest\"").unwrap(), Place::Latest);
        assert_eq!(place("\"earliest\"").unwrap(), Place::Earliest);
        assert_eq!(place("42").unwrap(), place("\"42\"").unwrap());
        assert!(matches!(place("\"0a1b2c3d-42\"").unwrap(), Place::At(at) if at.epoch.is_some()));
        assert!(matches!(place("\"2026-01-31T12:00:00Z\"").unwrap(), Place::Since(_)));
        assert!(place("\"newest\"").unwrap_err().to_string().contains("expected `latest`"));
        assert!(place("true").is_err());
    }
}
