//! `subscriptions`: who gets what of which topics, and from where on.

use probes::{period::Period, schema::exactly_one};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_saphyr::{Location, Spanned};

use super::{
    error::Problems, forms, names, secret::Env, table::unplaced, webhook::WebhookFile,
    written::Json,
};
use crate::{
    event::{TopicPattern, Version},
    outbound::Guard,
    settings::{Format, OnDead, Order, PriorityPolicy, Rate, SubscriptionSettings, written},
    store::{NewSubscription, Origin, StartFrom},
    vet,
};

/// One subscription.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = exactly_one(&["topic", "topics"]))]
pub struct SubscriptionFile {
    /// Its name.
    #[schemars(schema_with = "forms::name")]
    pub name: Spanned<String>,
    /// The topic, or a pattern as `billing.*`; or `topics`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub topic: Option<Spanned<String>>,
    /// The topics, or patterns as `billing.*`; or `topic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<String>>")]
    pub topics: Option<Vec<Spanned<String>>>,
    /// Whose it is: keys of this owner with the scope `subscribe` see and change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "forms::name")]
    pub owner: Option<Spanned<String>>,
    /// Where it begins when it is new: `latest`, `earliest`, a version, or a time (RFC 3339).
    #[serde(default = "latest")]
    #[schemars(schema_with = "forms::start")]
    pub from: Spanned<String>,
    /// Where to push.
    pub webhook: WebhookFile,
    /// Which events are sent: CloudEvents dialects, as { prefix: { type: Push } }, or an expression
    /// as a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub filter: Option<Spanned<Json>>,
    /// What is sent in the place of the event: JSON whose texts are expressions, or one text that
    /// is a template. Goes with the formats `data` (then the default) and `binary`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub transform: Option<Spanned<Json>>,
    /// How an event is put into a request; by default `structured`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Format>")]
    pub format: Option<Spanned<Format>>,
    /// Several events in one request; format `batch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<written::Batch>")]
    pub batch: Option<Spanned<written::Batch>>,
    /// Whether large bodies are compressed; the signature is over what they were before.
    #[serde(default)]
    pub gzip: bool,
    /// In which order events are tried.
    #[serde(default = "order")]
    #[schemars(with = "Order")]
    pub order: Spanned<Order>,
    /// What becomes of a key whose event died; with an order only.
    #[serde(default = "on_dead")]
    #[schemars(with = "OnDead")]
    pub on_dead: Spanned<OnDead>,
    /// So many events are looked at ahead for those of a higher priority; without an order only.
    #[serde(default = "read_ahead")]
    #[schemars(with = "usize", range(min = 1, max = 100_000))]
    pub read_ahead: Spanned<usize>,
    /// The longest that an event is overtaken by those of a higher priority.
    #[serde(default = "priority_max_wait")]
    #[schemars(with = "Period")]
    pub priority_max_wait: Spanned<Period>,
    /// The most events started in a time, as `100/s`, `20/m` or `5/h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", regex(pattern = "^0*([1-9][0-9]{0,5}|1000000)/[smh]$"))]
    pub rate: Option<Spanned<Rate>>,
    /// The most deliveries of one topic under way at once.
    #[serde(default = "concurrency")]
    #[schemars(with = "usize", range(min = 1, max = 1_024))]
    pub concurrency: Spanned<usize>,
    /// When a failed event is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<written::Retry>")]
    pub retry: Option<Spanned<written::Retry>>,
    /// When the endpoint is left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<written::Hold>")]
    pub hold: Option<Spanned<written::Hold>>,
    /// The most events of one topic that wait for another attempt.
    #[serde(default = "max_exceptions")]
    #[schemars(with = "usize", range(min = 1, max = 1_000_000))]
    pub max_exceptions: Spanned<usize>,
}

fn latest() -> Spanned<String> {
    unplaced("latest".into())
}

fn order() -> Spanned<Order> {
    unplaced(Order::default())
}

fn on_dead() -> Spanned<OnDead> {
    unplaced(OnDead::default())
}

fn read_ahead() -> Spanned<usize> {
    unplaced(PriorityPolicy::default().read_ahead)
}

fn priority_max_wait() -> Spanned<Period> {
    unplaced(Period(PriorityPolicy::default().max_wait))
}

fn concurrency() -> Spanned<usize> {
    unplaced(SubscriptionSettings::new(String::new(), Vec::new()).concurrency)
}

fn max_exceptions() -> Spanned<usize> {
    unplaced(SubscriptionSettings::new(String::new(), Vec::new()).max_exceptions)
}

/// The subscriptions in the order of the file.
pub(crate) fn build(
    subscriptions: &[SubscriptionFile],
    guard: &Guard,
    env: Env<'_>,
    problems: &mut Problems<'_>,
) -> Vec<NewSubscription> {
    names::unique(subscriptions.iter().map(|one| &one.name), "subscription", problems);
    subscriptions.iter().filter_map(|one| one.build(guard, env, problems)).collect()
}

impl SubscriptionFile {
    /// Takes the texts of numbers from the file.
    pub(super) fn as_written(&mut self, file: &str) {
        self.webhook.as_written(file);
        for json in [&mut self.filter, &mut self.transform].into_iter().flatten() {
            json.value.as_written(file);
        }
    }

    fn build(
        &self,
        guard: &Guard,
        env: Env<'_>,
        problems: &mut Problems<'_>,
    ) -> Option<NewSubscription> {
        let name = names::own(&self.name, "subscription", problems);
        let topics = self.topics(problems);
        let from = start(&self.from, problems);
        let unread = problems.unread();
        let settings = self.settings(env, problems);
        let is_read = problems.unread() == unread;
        let check_url = |url: &str| guard.check_url(url).map(drop).map_err(|no| no.to_string());
        let faults = vet::faults(&settings, Origin::File, &check_url).into_iter();
        for fault in faults.filter(|fault| is_read || !fault.field.starts_with("webhook.")) {
            // One of several is told by itself.
            let several = ["webhook.secrets[", "webhook.auth.oauth2."];
            let place = problems.place_beside(self.name.referenced, &fault.field);
            let place = place.filter(|_| several.iter().any(|of| fault.field.starts_with(of)));
            if let Some((line, column)) = place {
                problems.add_at(line, column, fault.to_string());
            } else {
                let at = self.at(&fault.field).unwrap_or(self.name.referenced);
                problems.add(at, fault.to_string());
            }
        }
        Some(NewSubscription { name: name?, origin: Origin::File, topics, from: from?, settings })
    }

    fn settings(&self, env: Env<'_>, problems: &mut Problems<'_>) -> SubscriptionSettings {
        let mut settings = self.webhook.settings(env, problems);
        settings.owner = self.owner.as_ref().and_then(|owner| names::own(owner, "owner", problems));
        settings.filter = self.filter.as_ref().map(|filter| filter.value.value.clone());
        settings.transform = self.transform.as_ref().map(|transform| transform.value.value.clone());
        settings.batch = self.batch.as_ref().map(|batch| batch.value.into());
        settings.set_format(self.format.as_ref().map(|format| format.value));
        settings.gzip = self.gzip;
        settings.order = self.order.value;
        settings.on_dead = self.on_dead.value;
        settings.priority = PriorityPolicy {
            read_ahead: self.read_ahead.value,
            max_wait: self.priority_max_wait.value.0,
        };
        settings.rate = self.rate.as_ref().map(|rate| rate.value);
        settings.concurrency = self.concurrency.value;
        if let Some(retry) = &self.retry {
            match retry.value.policy() {
                Ok(policy) => settings.retry = policy,
                Err(fault) => problems.add(retry.referenced, fault.to_string()),
            }
        }
        if let Some(hold) = &self.hold {
            settings.hold = hold.value.clone().into();
        }
        settings.max_exceptions = self.max_exceptions.value;
        settings
    }

    /// Where a field stands, when it does.
    fn at(&self, field: &str) -> Option<Location> {
        let (first, rest) = field.split_once(['.', '[']).unwrap_or((field, ""));
        match first {
            "webhook" => self.webhook.at(rest),
            "filter" => self.filter.as_ref().map(|filter| filter.referenced),
            "transform" => self.transform.as_ref().map(|transform| transform.referenced),
            "format" => self.format.as_ref().map(|format| format.referenced),
            "batch" => self.batch.as_ref().map(|batch| batch.referenced),
            "on_dead" => Some(self.on_dead.referenced),
            "read_ahead" => Some(self.read_ahead.referenced),
            "priority_max_wait" => Some(self.priority_max_wait.referenced),
            "concurrency" => Some(self.concurrency.referenced),
            "retry" => self.retry.as_ref().map(|retry| retry.referenced),
            "hold" => self.hold.as_ref().map(|hold| hold.referenced),
            "max_exceptions" => Some(self.max_exceptions.referenced),
            _ => None,
        }
    }

    fn topics(&self, problems: &mut Problems<'_>) -> Vec<TopicPattern> {
        let given: Vec<&Spanned<String>> = match (&self.topic, &self.topics) {
            (Some(topic), None) => vec![topic],
            (None, Some(topics)) if (1..=100).contains(&topics.len()) => topics.iter().collect(),
            _ => {
                problems.add(
                    self.name.referenced,
                    format!(
                        "subscription `{}`: expected one of `topic` and `topics` (1 to 100)",
                        self.name.value
                    ),
                );
                Vec::new()
            }
        };
        names::unique(given.iter().copied(), "topic", problems);
        let topics: Vec<_> =
            given.into_iter().filter_map(|topic| pattern(topic, problems)).collect();
        self.check_start(&topics, problems);
        topics
    }

    fn check_start(&self, topics: &[TopicPattern], problems: &mut Problems<'_>) {
        let open = topics.iter().find(|topic| topic.topic().is_none());
        if let (Ok(_), Some(open)) = (self.from.value.parse::<Version>(), open) {
            let message = format!(
                "`from`: a version is of topics that are named, not of `{open}`: expected a word or a time"
            );
            problems.add(self.from.referenced, message);
        }
    }
}

fn pattern(topic: &Spanned<String>, problems: &mut Problems<'_>) -> Option<TopicPattern> {
    match topic.value.parse::<TopicPattern>() {
        Ok(pattern) if pattern.topic().is_none() => Some(pattern),
        Ok(_) => names::subscribed(topic, problems).map(Into::into),
        Err(error) => {
            problems.add(topic.referenced, error.to_string());
            None
        }
    }
}

fn start(from: &Spanned<String>, problems: &mut Problems<'_>) -> Option<StartFrom> {
    let text = from.value.as_str();
    let found = match text {
        "latest" => Some(StartFrom::Latest),
        "earliest" => Some(StartFrom::Earliest),
        _ => text
            .parse::<Version>()
            .map(|version| StartFrom::After(version.previous()))
            .ok()
            .or_else(|| text.parse().map(StartFrom::Since).ok()),
    };
    if found.is_none() {
        problems.add(
            from.referenced,
            format!("`from: {text}`: expected latest, earliest, a version as 42, or a time as 2026-01-31T12:00:00Z"),
        );
    }
    found
}
