//! Instants for people: UTC, with the day only where it is another one.

use std::time::Duration;

use probes::period::Period;
use serde::{Deserialize, Deserializer, de};

use crate::event::Micros;

/// An instant as the API tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct When(pub(crate) Micros);

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(de::Error::custom)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "templates hand fields over by reference")]
impl When {
    /// RFC 3339 with microseconds, for programs.
    pub(crate) fn iso(&self) -> String {
        self.0.to_string()
    }

    /// To the second; the day too, when it is not the one of `now`.
    pub(crate) fn at(&self, now: &Micros) -> String {
        let text = self.0.to_string();
        let (day, rest) = text.split_once('T').unwrap_or((&text, ""));
        let clock = rest.split(['.', 'Z']).next().unwrap_or_default();
        if now.to_string().starts_with(day) {
            format!("{clock}Z")
        } else {
            format!("{day} {clock}Z")
        }
    }

    /// How long ago it was, or how long it takes until it comes.
    pub(crate) fn ago(&self, now: &Micros) -> String {
        if self.0 > *now {
            format!("in {}", span(self.0.since(*now)))
        } else {
            format!("{} ago", span(now.since(self.0)))
        }
    }
}

/// A duration in its two largest units at most.
pub(crate) fn span(of: Duration) -> String {
    let seconds = of.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..600 => format!("{minutes} min {} s", seconds % 60),
        600..3_600 => format!("{minutes} min"),
        3_600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// A time that somebody types: RFC 3339, or how long ago, as `10m`.
///
/// # Errors
/// What was expected.
pub(crate) fn typed(text: &str, now: Micros) -> Result<Micros, String> {
    let text = text.trim();
    if let Ok(Period(ago)) = text.parse::<Period>() {
        return Ok(now.minus(ago));
    }
    text.parse().map_err(|_| {
        let given: String = text.chars().take(60).collect();
        format!("`{given}` is no time: expected RFC 3339, as 2026-01-31T12:00:00Z, or how long ago, as `10m`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_told_as_a_person_needs_it() {
        let now: Micros = "2026-01-31T12:00:00Z".parse().unwrap();
        let when = |text: &str| When(text.parse().unwrap());
        assert_eq!(when("2026-01-31T11:58:53.25Z").at(&now), "11:58:53Z");
        assert_eq!(when("2026-01-30T11:58:53Z").at(&now), "2026-01-30 11:58:53Z");
        assert_eq!(when("2026-01-31T11:58:53Z").ago(&now), "1 min 7 s ago");
        assert_eq!(when("2026-01-31T12:16:02Z").ago(&now), "in 16 min");
        for (seconds, text) in [(0, "0 s"), (59, "59 s"), (3_661, "1 h 1 min"), (90_000, "1 d 1 h")]
        {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_typed_time_is_one_or_how_long_ago() {
        let now: Micros = "2026-01-31T12:00:00Z".parse().unwrap();
        assert_eq!(typed(" 10m ", now).unwrap().to_string(), "2026-01-31T11:50:00.000000Z");
        let at = "2026-01-31T11:00:00Z";
        assert_eq!(typed(at, now).unwrap(), at.parse().unwrap());
        assert!(typed("yesterday", now).unwrap_err().contains("expected RFC 3339"));
    }
}
