//! `sources`: who is probed, how often, and into which topic.

use std::{
    collections::{HashMap, hash_map::Entry},
    time::Duration,
};

use probes::period::{Period, Positive};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, de::Unexpected};
use serde_saphyr::Spanned;

use super::{error::Problems, forms, http::HttpFile, limits::Limits, names, secret::Env};
use crate::{
    event::{Name, Topic},
    outbound::{Guard, Refused},
    store::{EventSource, NewSource},
};

/// One source.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Its name.
    #[schemars(schema_with = "forms::name")]
    pub name: Spanned<String>,
    /// Where its events go.
    #[schemars(schema_with = "forms::name")]
    pub topic: Spanned<String>,
    /// How often it is asked; by default every minute.
    #[serde(default)]
    #[schemars(with = "Option<IntervalFile>")]
    pub interval: Option<Spanned<IntervalFile>>,
    /// How old an interrupted walk may be to be continued.
    #[serde(default = "walk_resume")]
    pub walk_resume: Period,
    /// How long it may show nothing new before a notice says so; `0` or `null`: for ever.
    #[serde(default = "silent_after", deserialize_with = "period_or_none")]
    #[schemars(schema_with = "period_or_none_schema")]
    pub silent_after: Option<Period>,
    /// What is asked over HTTP.
    #[schemars(with = "HttpFile")]
    pub http: Spanned<HttpFile>,
}

fn walk_resume() -> Period {
    Period(Duration::from_mins(10))
}

#[expect(clippy::unnecessary_wraps, reason = "the type of the field")]
fn silent_after() -> Option<Period> {
    Some(Period(Duration::from_hours(24)))
}

/// A length of time; `None` for `0`, `0s` and `null`.
fn period_or_none<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Period>, D::Error> {
    struct PeriodOrNone;
    impl serde::de::Visitor<'_> for PeriodOrNone {
        type Value = Option<Period>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a length of time as `24h`, or 0 or null for none")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Option<Period>, E> {
            let period: Period = text.parse().map_err(E::custom)?;
            Ok((!period.0.is_zero()).then_some(period))
        }

        fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Option<Period>, E> {
            if number == 0 {
                Ok(None)
            } else {
                Err(E::invalid_value(Unexpected::Unsigned(number), &self))
            }
        }

        fn visit_unit<E: serde::de::Error>(self) -> Result<Option<Period>, E> {
            Ok(None)
        }
    }
    deserializer.deserialize_any(PeriodOrNone)
}

fn period_or_none_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["string", "integer", "null"],
        "pattern": "^[0-9]+ *(ms|s|m|h|d)$",
        "minimum": 0,
        "maximum": 0,
        "description": "How long it may show nothing new before a notice says so; 0 or null: for ever"
    })
}

/// `60s`, or `{ every: 60s, min: 5s, max: 10m }`.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum IntervalFile {
    /// The time between two polls.
    #[schemars(with = "Positive")]
    Every(Period),
    /// With its bounds.
    Between(Between),
}

/// A time between two polls that adapts.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Between {
    /// The usual time between two polls.
    #[schemars(with = "Positive")]
    pub every: Period,
    /// The time between two polls while catching up; by default a tenth, at least 1 s.
    #[serde(default)]
    #[schemars(with = "Option<Positive>")]
    pub min: Option<Period>,
    /// What it may grow to while there is nothing new; by default it does not grow.
    #[serde(default)]
    #[schemars(with = "Option<Positive>")]
    pub max: Option<Period>,
}

impl<'de> Deserialize<'de> for IntervalFile {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IntervalVisitor)
    }
}

struct IntervalVisitor;

impl<'de> serde::de::Visitor<'de> for IntervalVisitor {
    type Value = IntervalFile;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a length of time as `60s`, or { every: 60s, min: 5s, max: 10m }")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<IntervalFile, E> {
        text.parse().map(IntervalFile::Every).map_err(E::custom)
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<IntervalFile, A::Error> {
        Between::deserialize(serde::de::value::MapAccessDeserializer::new(map))
            .map(IntervalFile::Between)
    }
}

/// A source as the relay takes it up.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// Its name.
    pub name: Name,
    /// Where its events go.
    pub topic: Topic,
    /// The usual time between two polls.
    pub interval: Duration,
    /// The time between two polls while catching up.
    pub interval_min: Duration,
    /// The longest time between two polls while there is nothing new.
    pub interval_max: Duration,
    /// How old an interrupted walk may be to be continued.
    pub walk_resume: Duration,
    /// How long it may show nothing new before that is told; `None`: for ever.
    pub silent_after: Option<Duration>,
    /// What is asked.
    pub http: probes::http::Spec,
}

impl SourceConfig {
    /// What the store is told of it.
    #[must_use]
    pub fn new_source(&self) -> NewSource {
        NewSource {
            name: self.name.clone(),
            topic: self.topic.clone(),
            contract: self.http.contract(),
            contract_before: self.http.contract_before(),
            event_source: self.event_source(),
            // The topic too, for a walk's journal is numbered in one topic.
            config_hash: format!("{} {}", self.http.fingerprint(), self.topic),
        }
    }

    /// What the CloudEvents `source` of its events may be.
    #[must_use]
    pub fn event_source(&self) -> EventSource {
        EventSource {
            set: self.http.source.clone(),
            default: self.http.default_source(),
            before: self.http.default_source_before(),
        }
    }

    /// Says that its events have the same CloudEvents source as those of `other`, and what to do.
    pub(crate) fn shares(&self, other: &Self, text: &str) -> String {
        let default = self.http.default_source();
        let own = if default == text { format!("{text}#{}", self.name) } else { default };
        format!(
            "the events of the sources `{}` and `{}` of topic `{}` have the same CloudEvents \
             source `{text}`, so that each would take the other's for duplicates; write another \
             one below `http:` of `{}`, as `source: \"{own}\"`",
            other.name, self.name, self.topic, self.name
        )
    }
}

/// The sources in the order of the file.
pub(crate) fn build(
    sources: &[SourceFile],
    guard: &Guard,
    env: Env<'_>,
    problems: &mut Problems<'_>,
) -> Vec<SourceConfig> {
    names::unique(sources.iter().map(|source| &source.name), "source", problems);
    let mut built: Vec<SourceConfig> = Vec::new();
    let mut seen: HashMap<(Topic, String), usize> = HashMap::new();
    for source in sources {
        let Some(new) = source.build(guard, env, problems) else { continue };
        let text = new.http.effective_source();
        match seen.entry((new.topic.clone(), text)) {
            Entry::Vacant(place) => {
                place.insert(built.len());
            }
            // Of two of one name was told already.
            Entry::Occupied(first) if built[*first.get()].name == new.name => {}
            Entry::Occupied(first) => problems.add(
                source.http.value.url.referenced,
                new.shares(&built[*first.get()], &first.key().1),
            ),
        }
        built.push(new);
    }
    built
}

impl SourceFile {
    /// One page that fills its own bound must fit into what all pages may take.
    pub(super) fn check_limits(&self, limits: &Limits, problems: &mut Problems<'_>) {
        let max = limits.walk_bytes_max;
        for (name, bytes) in self.http.value.limits.bytes() {
            if bytes > max {
                let message = format!(
                    "`limits.{name}: {bytes}`: expected at most {max}, which is the process's \
                     `limits.walk_bytes_max`"
                );
                let field = format!("limits.{name}");
                problems.add_below(self.http.referenced, &field, message);
            }
        }
    }

    fn build(
        &self,
        guard: &Guard,
        env: Env<'_>,
        problems: &mut Problems<'_>,
    ) -> Option<SourceConfig> {
        let name = names::own(&self.name, "source", problems);
        let topic = names::own(&self.topic, "topic", problems);
        let (interval, min, max) = self.interval(problems);
        let unread = problems.unread();
        let mut http = self.http.value.build(topic.as_ref(), env, problems);
        if let Some(spec) = &mut http {
            HttpFile::hide(self.http.referenced, env, problems, spec);
        }
        if problems.unread() == unread
            && let Some(Err(error)) = http.clone().map(probes::http::HttpProbe::new)
        {
            let message = format!("`http`: {error}");
            problems.add_below(self.http.referenced, error.field, message);
        }
        if let Some(spec) = &http
            && let Err(refused @ Refused::Address { .. }) = guard.check_url(spec.url.url().as_str())
        {
            problems.add(self.http.value.url.referenced, format!("`url`: {refused}"));
        }
        Some(SourceConfig {
            name: name?,
            topic: topic?,
            interval,
            interval_min: min,
            interval_max: max,
            walk_resume: self.walk_resume.0,
            silent_after: self.silent_after.map(|period| period.0),
            http: http?,
        })
    }

    fn interval(&self, problems: &mut Problems<'_>) -> (Duration, Duration, Duration) {
        let second = Duration::from_secs(1);
        let between = match self.interval.as_ref().map(|interval| interval.value) {
            None => Between { every: Period(Duration::from_mins(1)), min: None, max: None },
            Some(IntervalFile::Every(every)) => Between { every, min: None, max: None },
            Some(IntervalFile::Between(between)) => between,
        };
        let every = between.every.0;
        let min = between.min.map_or_else(|| (every / 10).max(second).min(every), |min| min.0);
        let max = between.max.map_or(every, |max| max.0);
        if let Some(at) = &self.interval
            && (every.is_zero() || min.is_zero() || min > every || every > max)
        {
            problems.add(
                at.referenced,
                "`interval`: expected more than zero, and min ≤ every ≤ max".to_owned(),
            );
        }
        (every, min, max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_may_be_of_no_interest() {
        let silent_after = |line: &str| {
            let text = format!(
                "sources:\n- name: s\n  topic: t\n  http: {{ url: \"https://a.example/\", id: id }}\n{line}\n"
            );
            let config = crate::config::parse(&text, "m.yaml", |_| None);
            config.map(|config| config.sources[0].silent_after).map_err(|error| error.to_string())
        };
        let day = Duration::from_hours(24);
        for (line, expected) in [
            ("", Some(day)),
            ("  silent_after: 2h", Some(day / 12)),
            ("  silent_after: 0", None),
            ("  silent_after: 0s", None),
            ("  silent_after: null", None),
        ] {
            assert_eq!(silent_after(line).unwrap(), expected, "{line}");
        }
        for bad in ["  silent_after: 5", "  silent_after: soon", "  silent_after: [1d]"] {
            let error = silent_after(bad).unwrap_err();
            assert!(error.contains("m.yaml:5:"), "{error}");
            assert!(error.contains("length of time"), "{error}");
        }
    }

    #[test]
    fn two_sources_of_a_topic_are_told_apart() {
        let parse = |one: &str, other: &str| {
            let text = format!("sources:\n- {{ name: a, {one} }}\n- {{ name: b, {other} }}\n");
            crate::config::parse(&text, "m.yaml", |_| None).map_err(|error| error.to_string())
        };
        let url =
            |rest: &str| format!("topic: t, http: {{ id: id, url: \"https://x.example/{rest}\" }}");
        let error = parse(&url("?token=1"), &url("?token=2")).unwrap_err();
        for told in ["m.yaml:3:", "`a` and `b` of topic `t`", "`https://x.example/`", "#b\"`"] {
            assert!(error.contains(told), "{error}");
        }
        let set = url("").replace("id: id", "id: id, source: \"https://x.example/?q=1\"");
        let error = parse(&url("?q=1"), &set).unwrap_err();
        assert!(error.contains("as `source: \"https://x.example/\"`"), "{error}");
        for other in
            [url("?q=2"), set.replace("q=1", "q=2"), url("?q=1").replace("topic: t", "topic: u")]
        {
            parse(&url("?q=1"), &other).unwrap();
        }
    }
}
