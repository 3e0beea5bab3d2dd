//! What a subscriber sends: plain values only, for a reference to the server's environment or
//! files would let a subscriber read them.

use std::{collections::BTreeMap, ops::RangeInclusive};

use probes::period::Period;
use serde::Deserialize;
use sinks::sign::Secret;
use utoipa::ToSchema;

use super::{
    place::Place,
    policy::{HoldBody, RetryBody},
};
use crate::{
    api::{VetUrl, body::REFERENCES, problem::Problem},
    event::{Name, Topic},
    settings::{SubscriptionSettings, check_header},
};

const SECRETS_MAX: usize = 10;
const HEADERS_MAX: usize = 50;
const TOPICS_MAX: usize = 100;

/// A subscription to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBody {
    /// Its name.
    #[schema(value_type = String)]
    pub(super) name: Name,
    /// Its topic; or `topics`.
    #[schema(value_type = Option<String>)]
    topic: Option<Topic>,
    /// Its topics; or `topic`.
    #[schema(value_type = Option<Vec<String>>)]
    topics: Option<Vec<Topic>>,
    /// Where it begins: `latest` (default), `earliest`, a version, a cursor or a time.
    #[schema(value_type = Option<String>)]
    pub(super) from: Option<Place>,
    /// Where to push, and how.
    pub(super) webhook: WebhookBody,
    /// When a failed event is tried again.
    retry: Option<RetryBody>,
    /// When the endpoint is left alone.
    hold: Option<HoldBody>,
    /// The most deliveries under way at once in each topic. Default 16.
    concurrency: Option<usize>,
    /// The most exceptions of one position. Default 100,000.
    max_exceptions: Option<usize>,
}

/// Changes to a subscription; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchBody {
    /// What is left out of it stays too.
    webhook: Option<WebhookBody>,
    /// Replaces the whole policy.
    retry: Option<RetryBody>,
    /// Replaces the whole policy.
    hold: Option<HoldBody>,
    /// As in a new subscription.
    concurrency: Option<usize>,
    /// As in a new subscription.
    max_exceptions: Option<usize>,
}

/// Where to push, and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookBody {
    /// The address; required for a new subscription.
    url: Option<String>,
    /// The signing secret, `whsec_` and base64; one is made when none is given.
    secret: Option<String>,
    /// Signing secrets, newest first; each signs.
    secrets: Option<Vec<String>>,
    /// Extra headers of every request.
    headers: Option<BTreeMap<String, String>>,
    /// One deadline over the whole exchange. Default `15s`.
    #[schema(value_type = Option<String>)]
    timeout: Option<Period>,
}

impl NewBody {
    /// Its topics, one or more, each once.
    pub(super) fn topics(&self) -> Result<Vec<Topic>, Problem> {
        let mut topics = match (&self.topic, &self.topics) {
            (Some(topic), None) => vec![topic.clone()],
            (None, Some(topics)) => topics.clone(),
            _ => return Err(Problem::field("topic", "expected either `topic` or `topics`")),
        };
        topics.sort();
        topics.dedup();
        if topics.is_empty() || topics.len() > TOPICS_MAX {
            let detail = format!("`topics`: expected 1 to {TOPICS_MAX} topics");
            return Err(Problem::field("topics", detail));
        }
        Ok(topics)
    }

    /// What it asks for, and the secret that was made for it.
    pub(super) fn settings(
        &self,
        vet: &VetUrl,
    ) -> Result<(SubscriptionSettings, Option<String>), Problem> {
        let mut settings = SubscriptionSettings::new(String::new(), Vec::new());
        self.webhook.apply(&mut settings, vet)?;
        if settings.url.is_empty() {
            return Err(Problem::field("webhook.url", "`webhook.url` is missing"));
        }
        let made = if settings.secrets.is_empty() { Some(new_secret()?) } else { None };
        settings.secrets.extend(made.clone());
        let policy = (self.retry.as_ref(), self.hold.as_ref());
        apply_rest(&mut settings, policy, self.concurrency, self.max_exceptions)?;
        Ok((settings, made))
    }
}

impl PatchBody {
    /// Changes `settings` as asked.
    pub(super) fn apply(
        &self,
        settings: &mut SubscriptionSettings,
        vet: &VetUrl,
    ) -> Result<(), Problem> {
        if let Some(webhook) = &self.webhook {
            webhook.apply(settings, vet)?;
        }
        let policy = (self.retry.as_ref(), self.hold.as_ref());
        apply_rest(settings, policy, self.concurrency, self.max_exceptions)
    }
}

fn apply_rest(
    settings: &mut SubscriptionSettings,
    (retry, hold): (Option<&RetryBody>, Option<&HoldBody>),
    concurrency: Option<usize>,
    max_exceptions: Option<usize>,
) -> Result<(), Problem> {
    if let Some(retry) = retry {
        settings.retry = retry.policy()?;
    }
    if let Some(hold) = hold {
        settings.hold = hold.policy()?;
    }
    if let Some(number) = concurrency {
        settings.concurrency = within("concurrency", number, SubscriptionSettings::CONCURRENCY)?;
    }
    if let Some(number) = max_exceptions {
        settings.max_exceptions =
            within("max_exceptions", number, SubscriptionSettings::MAX_EXCEPTIONS)?;
    }
    Ok(())
}

fn within(field: &str, number: usize, bounds: RangeInclusive<usize>) -> Result<usize, Problem> {
    if bounds.contains(&number) {
        return Ok(number);
    }
    let (least, most) = bounds.into_inner();
    Err(Problem::field(field, format!("`{field}`: expected {least} to {most}, not {number}")))
}

impl WebhookBody {
    fn apply(&self, settings: &mut SubscriptionSettings, vet: &VetUrl) -> Result<(), Problem> {
        if let Some(url) = &self.url {
            vet(url).map_err(|reason| {
                Problem::field("webhook.url", format!("`webhook.url`: {reason}"))
            })?;
            settings.url.clone_from(url);
        }
        if let Some(secrets) = self.secrets()? {
            settings.secrets = secrets;
        }
        if let Some(headers) = &self.headers {
            settings.headers = check_headers(headers)?;
        }
        if let Some(Period(timeout)) = self.timeout {
            if timeout.is_zero() || timeout > SubscriptionSettings::TIMEOUT_MAX {
                let detail = "`webhook.timeout`: expected more than nothing and at most `5m`";
                return Err(Problem::field("webhook.timeout", detail));
            }
            settings.timeout = timeout;
        }
        Ok(())
    }

    fn secrets(&self) -> Result<Option<Vec<String>>, Problem> {
        let (field, secrets) = match (&self.secret, &self.secrets) {
            (None, None) => return Ok(None),
            (Some(secret), None) => ("webhook.secret", vec![secret.clone()]),
            (None, Some(secrets)) => ("webhook.secrets", secrets.clone()),
            (Some(_), Some(_)) => {
                let detail = "`webhook.secret` and `webhook.secrets` cannot both be given";
                return Err(Problem::field("webhook.secret", detail));
            }
        };
        if secrets.is_empty() || secrets.len() > SECRETS_MAX {
            let detail = format!("`{field}`: expected 1 to {SECRETS_MAX} secrets");
            return Err(Problem::field(field, detail));
        }
        for secret in &secrets {
            secret
                .parse::<Secret>()
                .map_err(|error| Problem::field(field, format!("`{field}`: {error}")))?;
        }
        Ok(Some(secrets))
    }
}

fn check_headers(headers: &BTreeMap<String, String>) -> Result<Vec<(String, String)>, Problem> {
    // Read as a header it would be sent to the receiver, which nobody means.
    if headers.len() == 1 && headers.keys().all(|name| name == "env" || name == "file") {
        let detail = format!("`webhook.headers`: {REFERENCES}");
        return Err(Problem::field("webhook.headers", detail));
    }
    if headers.len() > HEADERS_MAX {
        let detail = format!("`webhook.headers`: at most {HEADERS_MAX}");
        return Err(Problem::field("webhook.headers", detail));
    }
    let mut checked = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let field = format!("webhook.headers.{name}");
        check_header(name, value)
            .map_err(|detail| Problem::field(&field, format!("`{field}`: {detail}")))?;
        checked.push((name.to_ascii_lowercase(), value.clone()));
    }
    Ok(checked)
}

/// A signing secret of 32 random bytes.
fn new_secret() -> Result<String, Problem> {
    use base64::Engine as _;

    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the system gives no random bytes");
        Problem::internal()
    })?;
    Ok(format!("{}{}", Secret::PREFIX, base64::prelude::BASE64_STANDARD.encode(bytes)))
}
