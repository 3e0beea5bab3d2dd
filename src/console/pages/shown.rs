//! What pages read of the API's answers: only what they show.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::console::{json::Text, time::When};

/// A number with a comma between each three digits.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A subscription.
#[derive(Debug, Deserialize)]
pub(super) struct Subscription {
    pub(super) name: String,
    pub(super) origin: String,
    pub(super) status: String,
    pub(super) reason: Option<Text>,
    pub(super) topics: Vec<String>,
    pub(super) positions: Vec<Position>,
    pub(super) owed: u64,
    pub(super) exceptions_full: bool,
    pub(super) stopped_keys: u64,
    pub(super) health: Option<Health>,
    pub(super) webhook: Webhook,
}

#[derive(Debug, Deserialize)]
pub(super) struct Webhook {
    pub(super) url: Text,
}

#[derive(Debug, Deserialize)]
pub(super) struct Health {
    pub(super) state: String,
    pub(super) since: Option<When>,
    pub(super) next_trial: Option<When>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Position {
    pub(super) topic: String,
    pub(super) reach: u64,
    pub(super) floor: u64,
    pub(super) owed: u64,
    pub(super) exceptions: u64,
    pub(super) exceptions_full: bool,
    pub(super) stopped_keys: u64,
    pub(super) dead_letters: u64,
    pub(super) delivered: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Subscriptions {
    pub(super) subscriptions: Vec<Subscription>,
}

impl Subscription {
    /// What the endpoint is doing, in a word or two.
    pub(super) fn word(&self) -> &str {
        match (&*self.status, self.health.as_ref().map(|health| &*health.state)) {
            ("active", Some("holding")) => "on hold",
            ("active", Some("reopening")) => "reopening",
            ("active", _) if self.exceptions_full => "full",
            ("active", _) if self.stopped_keys > 0 => "keys stopped",
            ("active", _) => "delivering",
            (other, _) => other,
        }
    }

    /// How the word is shown.
    pub(super) fn mood(&self) -> &'static str {
        match self.word() {
            "delivering" => "ok",
            "reopening" | "keys stopped" => "warn",
            "paused" => "idle",
            _ => "bad",
        }
    }

    pub(super) fn is_served(&self) -> bool {
        self.status == "active"
    }

    pub(super) fn topics_text(&self) -> String {
        self.topics.join(", ")
    }

    pub(super) fn dead(&self) -> u64 {
        self.positions.iter().map(|position| position.dead_letters).sum()
    }

    pub(super) fn delivered(&self) -> u64 {
        self.positions.iter().map(|position| position.delivered).sum()
    }
}

/// An attempt.
#[derive(Debug, Deserialize)]
pub(super) struct Attempt {
    pub(super) id: i64,
    pub(super) subscription: Option<String>,
    #[serde(default)]
    topic: Option<String>,
    pub(super) version: u64,
    #[serde(rename = "attempt")]
    pub(super) number: u32,
    pub(super) started: When,
    pub(super) duration_ms: u64,
    pub(super) status: Option<u16>,
    pub(super) answer: Text,
    pub(super) error: Option<Text>,
    pub(super) verdict: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Attempts {
    pub(super) attempts: Vec<Attempt>,
    pub(super) next: Option<i64>,
}

impl Attempt {
    pub(super) fn mood(&self) -> &'static str {
        match &*self.verdict {
            "delivered" => "ok",
            "retry" => "warn",
            "filtered" | "expired" => "idle",
            _ => "bad",
        }
    }

    pub(super) fn topic(&self) -> &str {
        self.topic.as_deref().unwrap_or_default()
    }

    /// Whose it was.
    pub(super) fn of(&self) -> &str {
        self.subscription.as_deref().unwrap_or("a subscription that is gone")
    }
}

/// A dead letter.
#[derive(Debug, Deserialize)]
pub(super) struct Letter {
    /// Whose it is, which the list is asked for.
    #[serde(skip)]
    pub(super) of: String,
    pub(super) id: i64,
    pub(super) topic: String,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) count: u64,
    pub(super) reason: String,
    pub(super) attempts: u32,
    pub(super) at: When,
    last: Last,
}

/// How a last attempt ended.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Last {
    status: Option<u16>,
    error: Option<Text>,
}

impl Last {
    pub(super) fn text(&self) -> String {
        let status = self.status.map(|status| status.to_string());
        let error = self.error.as_ref().map(ToString::to_string);
        let all: Vec<String> = status.into_iter().chain(error).collect();
        all.join(" · ")
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Letters {
    pub(super) dead_letters: Vec<Letter>,
    pub(super) next: Option<i64>,
}

impl Letters {
    /// The letters, each with whose it is.
    pub(super) fn of(self, name: &str) -> Vec<Letter> {
        let of = |letter| Letter { of: name.to_owned(), ..letter };
        self.dead_letters.into_iter().map(of).collect()
    }
}

impl Letter {
    pub(super) fn last(&self) -> String {
        self.last.text()
    }
}

/// A topic.
#[derive(Debug, Deserialize)]
pub(super) struct Topic {
    #[serde(rename = "topic")]
    pub(super) name: String,
    pub(super) head: u64,
    pub(super) oldest: u64,
    pub(super) cursor: String,
    pub(super) count: u64,
    pub(super) bytes: u64,
    pub(super) rate: f64,
    pub(super) gaps: u64,
    pub(super) recorded: Option<When>,
    pub(super) epochs: Vec<Epoch>,
    pub(super) settings: Box<RawValue>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Epoch {
    #[serde(rename = "epoch")]
    pub(super) id: String,
    pub(super) first: u64,
    pub(super) started: When,
    pub(super) reason: Text,
}

#[derive(Debug, Deserialize)]
pub(super) struct Topics {
    pub(super) topics: Vec<Topic>,
}

/// A source.
#[derive(Debug, Deserialize)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) topic: String,
    pub(super) status: String,
    pub(super) cursor: Box<RawValue>,
    pub(super) stuck: Option<Stuck>,
    pub(super) walking: bool,
    pub(super) walks: u64,
    pub(super) next_poll: When,
    pub(super) report: Option<Report>,
    pub(super) appended: u64,
    pub(super) duplicates: u64,
    pub(super) rejected: u64,
    pub(super) journaled: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Stuck {
    pub(super) message: Text,
    pub(super) help: Vec<Text>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Report {
    pub(super) at: When,
    pub(super) result: Text,
    pub(super) requests: u64,
    pub(super) items: u64,
    pub(super) new: u64,
    pub(super) duplicates: u64,
    pub(super) rejected: u64,
    pub(super) stopped_by: Option<Text>,
    pub(super) message: Option<Text>,
    pub(super) duration_ms: u64,
    pub(super) last_success: Option<When>,
    pub(super) failing: Option<serde::de::IgnoredAny>,
    pub(super) silence: Option<Silence>,
    #[serde(default)]
    pub(super) field_errors: BTreeMap<Text, Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Silence {
    #[serde(default)]
    pub(super) told: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Sources {
    pub(super) sources: Vec<Source>,
}

impl Source {
    pub(super) fn word(&self) -> &str {
        let report = self.report.as_ref();
        match &*self.status {
            "active" if self.stuck.is_some() => "stuck",
            "active" if report.is_some_and(|report| report.failing.is_some()) => "failing",
            "active" if report.and_then(|one| one.silence.as_ref()).is_some_and(|one| one.told) => {
                "silent"
            }
            "active" if self.walking => "walking",
            "active" if report.is_none() => "not asked yet",
            "active" => "well",
            other => other,
        }
    }

    pub(super) fn mood(&self) -> &'static str {
        match self.word() {
            "well" | "walking" => "ok",
            "silent" => "warn",
            "paused" | "removed" | "not asked yet" => "idle",
            _ => "bad",
        }
    }

    pub(super) fn last_success(&self) -> Option<When> {
        self.report.as_ref().and_then(|report| report.last_success)
    }
}

/// What a page leads on to, when there may be more.
pub(super) fn last_name<T>(list: &[T], limit: usize, name: impl Fn(&T) -> &str) -> Option<String> {
    list.last().filter(|_| list.len() >= limit).map(|last| name(last).to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn digits_stand_in_threes() {
        for (number, text) in [(0, "0"), (999, "999"), (1_204, "1,204"), (1_234_567, "1,234,567")] {
            assert_eq!(super::grouped(number), text);
        }
    }
}
