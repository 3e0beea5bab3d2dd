//! What is wrong with a source, since when, and when that is told: failed walks in a row, and
//! answers that are never ready. Kept with the report, so that a restart neither forgets nor tells
//! again.

use std::time::Duration;

use probes::{Exchange, Failure};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::event::{Micros, Name};

/// Failed walks in a row that are told of.
const TOLD_WALKS: u64 = 5;
/// How long a source may say that it is not ready before that is told.
const WAIT_TOLD: Duration = Duration::from_hours(1);

/// What is wrong while the last walks failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failing {
    /// When the first of them failed, RFC 3339.
    #[serde(with = "moment")]
    #[schema(value_type = String)]
    pub since: Micros,
    /// How many in a row; a walk that comes further than those before begins anew. Of a source
    /// that is never ready: answers in a row.
    pub walks: u64,
    /// The kind of the last failure, as in the metric of polls.
    pub kind: String,
    /// What is wrong, for a person; the same as long as it is the same.
    pub message: String,
    /// The one setting or command that helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// What the producer answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Said>,
    /// Whether it was told of in a notice.
    pub told: bool,
    /// The furthest request of a walk, from 1, that failed.
    pub reached: u64,
}

/// The answer that was a failure, in the producer's own words; secrets are masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SourceAnswer)]
pub struct Said {
    /// The HTTP status.
    pub status: u16,
    /// The media type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Bytes of the body, decoded.
    pub length: u64,
    /// Its first 200 bytes, control characters escaped.
    pub first: String,
}

/// Answers in a row that were not ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SourceWaits)]
pub struct Waits {
    /// How many.
    pub count: u64,
    /// Since when, RFC 3339.
    #[serde(with = "moment")]
    #[schema(value_type = String)]
    pub since: Micros,
}

impl Waits {
    /// With one more.
    pub(super) fn after(before: Option<Self>, now: Micros) -> Self {
        let before = before.unwrap_or(Self { count: 0, since: now });
        Self { count: before.count + 1, ..before }
    }
}

impl Said {
    fn of(exchange: &Exchange) -> Option<Self> {
        Some(Self {
            status: exchange.status?,
            kind: exchange.content_type.clone(),
            length: exchange.bytes as u64,
            first: exchange.first.clone(),
        })
    }
}

impl Failing {
    fn new(failure: &Failure, name: &Name, request: u64, now: Micros) -> Self {
        Self {
            since: now,
            walks: 1,
            kind: failure.kind.as_str().to_owned(),
            message: failure.message.clone(),
            help: failure.help_for(name.as_str()),
            answer: failure.exchange.as_deref().and_then(Said::of),
            told: false,
            reached: request,
        }
    }

    /// With one more failure, at the `request`th request of its walk.
    pub(super) fn after(
        before: Option<Self>,
        failure: &Failure,
        name: &Name,
        request: u64,
        now: Micros,
    ) -> Self {
        let new = Self::new(failure, name, request, now);
        let Some(before) = before else { return new };
        // Who comes further gets on, however slowly; what was told stays told until a walk is
        // complete.
        let gets_on = request > before.reached && !before.told;
        let (since, walks) = if gets_on { (now, 1) } else { (before.since, before.walks + 1) };
        let told = before.told || walks >= TOLD_WALKS;
        Self { since, walks, told, reached: request.max(before.reached), ..new.steady(before) }
    }

    /// Of a source that is not ready. That is no failure until it has lasted for an hour.
    pub(super) fn waiting(
        before: Option<Self>,
        waits: &Waits,
        failure: &Failure,
        name: &Name,
        now: Micros,
    ) -> Option<Self> {
        if now.since(waits.since) < WAIT_TOLD {
            return before;
        }
        let new = Self { since: waits.since, ..Self::new(failure, name, 0, now) };
        let new = Self { walks: waits.count, told: true, ..new };
        let Some(before) = before else { return Some(new) };
        let (since, reached) = (before.since, before.reached);
        Some(Self { since, reached, ..new.steady(before) })
    }

    /// With the words of `before` when it is the same that is wrong.
    fn steady(self, before: Self) -> Self {
        // A lost cursor is told of with and without what the producer said of it.
        let lost = self.kind == "cursor_lost";
        let status = |failing: &Self| failing.answer.as_ref().map(|answer| answer.status);
        let is_same = self.kind == before.kind
            && (status(&self) == status(&before) || status(&self).is_none() || lost)
            && (lost || pattern(&self.message) == pattern(&before.message));
        if !is_same {
            return self;
        }
        let answer = self.answer.or(before.answer);
        Self { message: before.message, help: before.help, answer, ..self }
    }
}

/// A message without what differs from request to request: words with a digit in them, such as
/// counts, cursors, times and the numbers of requests.
fn pattern(message: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '+');
    let mut pattern = String::new();
    for piece in message.split_inclusive(|c| !is_word(c)) {
        let word = piece.trim_end_matches(|c| !is_word(c));
        let rest = &piece[word.len()..];
        let differs = word.contains(|c: char| c.is_ascii_digit());
        pattern.push_str(if differs { "#" } else { word });
        pattern.push_str(rest);
    }
    pattern
}

/// A moment as RFC 3339.
mod moment {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::event::Micros;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(at: &Micros, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(at)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Micros, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_one_cause_are_alike() {
        for (one, other, alike) in [
            (
                "https://a.example/x?page=2: answered 500",
                "https://a.example/x?page=31: answered 500",
                true,
            ),
            ("error {id: 7f3a-dead}", "error {id: 81bc-beef}", true),
            ("at 2026-01-01T00:00:00Z", "at 2026-02-03T04:05:06.7Z", true),
            ("`items` finds nothing", "`data` finds nothing", false),
            ("no answer", "no answer in time", false),
        ] {
            assert_eq!(pattern(one) == pattern(other), alike, "{one} / {other}");
        }
    }
}
