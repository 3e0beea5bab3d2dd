//! `subscriptions`: who gets what of which topics, and from where on.

use probes::period::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

use super::{
    error::Problems,
    names,
    retry::{HoldFile, RetryFile},
    secret::{Env, SecretRef, Value, resolve, resolve_value},
    table::{Table, unplaced},
};
use crate::{
    event::{Topic, Version},
    outbound::Guard,
    settings::{SubscriptionSettings, check_header},
    store::{NewSubscription, Origin, StartFrom},
};

/// One subscription.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionFile {
    /// Its name.
    #[schemars(with = "String")]
    pub name: Spanned<String>,
    /// The topic; or `topics`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub topic: Option<Spanned<String>>,
    /// The topics; or `topic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<String>>")]
    pub topics: Option<Vec<Spanned<String>>>,
    /// Where it begins when it is new: `latest`, `earliest`, a version, or a time (RFC 3339).
    #[serde(default = "latest")]
    #[schemars(with = "String")]
    pub from: Spanned<String>,
    /// Where to push.
    pub webhook: WebhookFile,
    /// When a failed event is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<RetryFile>")]
    pub retry: Option<Spanned<RetryFile>>,
    /// When the endpoint is left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<HoldFile>")]
    pub hold: Option<Spanned<HoldFile>>,
    /// In which order events are tried: `none` promises no order.
    #[serde(default = "unordered")]
    #[schemars(with = "String", extend("enum" = ["none"]))]
    pub order: Spanned<String>,
    /// The most deliveries of one topic under way at once.
    #[serde(default = "concurrency")]
    #[schemars(with = "usize")]
    pub concurrency: Spanned<usize>,
    /// The most events of one topic that wait for another attempt.
    #[serde(default = "max_exceptions")]
    #[schemars(with = "usize")]
    pub max_exceptions: Spanned<usize>,
}

fn latest() -> Spanned<String> {
    unplaced("latest".into())
}

fn unordered() -> Spanned<String> {
    unplaced("none".into())
}

fn concurrency() -> Spanned<usize> {
    unplaced(SubscriptionSettings::new(String::new(), Vec::new()).concurrency)
}

fn max_exceptions() -> Spanned<usize> {
    unplaced(SubscriptionSettings::new(String::new(), Vec::new()).max_exceptions)
}

/// An HTTP endpoint.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookFile {
    /// `http` or `https`.
    #[schemars(with = "String")]
    pub url: Spanned<String>,
    /// The signing secret, `whsec_…`; or `secrets`. Without one nothing is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<SecretRef>")]
    pub secret: Option<Spanned<SecretRef>>,
    /// Several signing secrets, the newest first: each signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<SecretRef>>")]
    pub secrets: Option<Vec<Spanned<SecretRef>>>,
    /// Extra headers of every request.
    #[serde(default)]
    #[schemars(with = "Table<Value>")]
    pub headers: Table<Spanned<Value>>,
    /// One deadline over connecting, sending and the whole answer.
    #[serde(default = "timeout")]
    #[schemars(with = "Period")]
    pub timeout: Spanned<Period>,
}

fn timeout() -> Spanned<Period> {
    unplaced(Period(SubscriptionSettings::new(String::new(), Vec::new()).timeout))
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
    fn build(
        &self,
        guard: &Guard,
        env: Env<'_>,
        problems: &mut Problems<'_>,
    ) -> Option<NewSubscription> {
        let name = names::own(&self.name, "subscription", problems);
        let topics = self.topics(problems);
        let from = start(&self.from, problems);
        let mut settings = self.webhook.settings(guard, env, problems);
        if let Some(retry) = &self.retry {
            settings.retry = retry.value.policy(retry.referenced, problems);
        }
        if let Some(hold) = &self.hold {
            settings.hold = hold.value.policy(hold.referenced, problems);
        }
        if self.order.value != "none" {
            let given: String = self.order.value.chars().take(60).collect();
            problems.add(
                self.order.referenced,
                format!("`order: {given}`: other orders are not there yet: expected `none`"),
            );
        }
        for (field, number, bounds) in [
            ("concurrency", &self.concurrency, SubscriptionSettings::CONCURRENCY),
            ("max_exceptions", &self.max_exceptions, SubscriptionSettings::MAX_EXCEPTIONS),
        ] {
            if !bounds.contains(&number.value) {
                let (least, most) = bounds.into_inner();
                problems.add(number.referenced, format!("`{field}`: expected {least} to {most}"));
            }
        }
        settings.concurrency = self.concurrency.value;
        settings.max_exceptions = self.max_exceptions.value;
        let topics = topics.into_iter().map(Into::into).collect();
        Some(NewSubscription { name: name?, origin: Origin::File, topics, from: from?, settings })
    }

    fn topics(&self, problems: &mut Problems<'_>) -> Vec<Topic> {
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
        given.into_iter().filter_map(|topic| names::subscribed(topic, problems)).collect()
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

impl WebhookFile {
    fn settings(
        &self,
        guard: &Guard,
        env: Env<'_>,
        problems: &mut Problems<'_>,
    ) -> SubscriptionSettings {
        self.check_url(guard, problems);
        let given: Vec<&Spanned<SecretRef>> = match (&self.secret, &self.secrets) {
            (Some(secret), Some(_)) => {
                problems
                    .add(secret.referenced, "`webhook`: expected one of `secret` and `secrets`");
                vec![secret]
            }
            (one, many) => one.iter().chain(many.iter().flatten()).collect(),
        };
        let mut secrets = Vec::new();
        for secret in given {
            let text = resolve(secret, env, problems);
            if !text.is_empty()
                && let Err(error) = text.parse::<sinks::sign::Secret>()
            {
                problems.add(secret.referenced, error.to_string());
            }
            secrets.push(text);
        }
        let mut settings = SubscriptionSettings::new(self.url.value.clone(), secrets);
        settings.timeout = self.timeout.value.0;
        if settings.timeout.is_zero() || settings.timeout > SubscriptionSettings::TIMEOUT_MAX {
            let most = Period(SubscriptionSettings::TIMEOUT_MAX);
            let expected = format!("`timeout`: expected more than zero and at most {most}");
            problems.add(self.timeout.referenced, expected);
        }
        for (name, value) in &self.headers.0 {
            let (text, _) = resolve_value(value, env, problems);
            let field = &name.value;
            if let Err(problem) = check_header(field, &text) {
                problems.add(name.referenced, format!("`headers.{field}`: {problem}"));
            }
            settings.headers.push((field.clone(), text));
        }
        settings
    }

    fn check_url(&self, guard: &Guard, problems: &mut Problems<'_>) {
        if let Err(refused) = guard.check_url(&self.url.value) {
            let refused = refused.to_string();
            let problem = refused.strip_prefix("`url`: ").unwrap_or(&refused);
            problems.add(self.url.referenced, format!("`webhook.url`: {problem}"));
        }
    }
}
