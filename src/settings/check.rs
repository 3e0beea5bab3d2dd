//! What is wrong with settings: one set of rules for the file and the API.

use std::{collections::BTreeSet, fmt, ops::RangeInclusive, time::Duration};

use probes::period::Period;
use sinks::sign::Secret;

use super::{
    Auth, BatchPolicy, Delays, Format, HoldPolicy, OnDead, Order, PriorityPolicy, RetryPolicy,
    SubscriptionSettings,
    header::{check_content_type, check_header, check_user_agent},
};

/// One setting that cannot be as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which, as the file and the API name it: `webhook.timeout`.
    pub field: String,
    /// What was expected.
    pub problem: String,
}

impl Fault {
    /// A fault of one field.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.field, self.problem)
    }
}

impl SubscriptionSettings {
    /// Everything that is wrong with the settings, as far as they tell it themselves: addresses
    /// are the guard's to judge, certificates the network's, expressions their parser's.
    #[must_use]
    pub fn check(&self) -> Vec<Fault> {
        let mut found = Found(Vec::new());
        self.check_webhook(&mut found);
        self.check_auth(&mut found);
        self.check_body(&mut found);
        self.check_order(&mut found);
        self.retry.check(&mut found);
        self.hold.check(&mut found);
        found.within("concurrency", self.concurrency, Self::CONCURRENCY);
        found.within("max_exceptions", self.max_exceptions, Self::MAX_EXCEPTIONS);
        found.0
    }

    fn check_webhook(&self, found: &mut Found) {
        if self.url.len() > Self::URL_BYTES_MAX {
            found.add("webhook.url", format!("expected at most {} bytes", Self::URL_BYTES_MAX));
        }
        let field = if self.secrets.len() > 1 { "webhook.secrets" } else { "webhook.secret" };
        if self.secrets.len() + self.retiring.len() > Self::SECRETS_MAX {
            let most = Self::SECRETS_MAX;
            found
                .add(field, format!("expected at most {most} secrets, those that retire included"));
        }
        for (index, secret) in self.secrets.iter().enumerate() {
            if let Err(error) = secret.parse::<Secret>() {
                let one = format!("{field}[{index}]");
                found.add(if self.secrets.len() > 1 { &one } else { field }, error.to_string());
            }
        }
        if self.headers.len() > Self::HEADERS_MAX {
            found.add("webhook.headers", format!("expected at most {}", Self::HEADERS_MAX));
        }
        let mut seen = BTreeSet::new();
        for (name, value) in &self.headers {
            let field = format!("webhook.headers.{name}");
            if let Err(problem) = check_header(name, value) {
                found.add(&field, problem);
            }
            if !seen.insert(name.to_ascii_lowercase()) {
                found.add(&field, "is there twice");
            }
        }
        if let Some(Err(problem)) = self.user_agent.as_deref().map(check_user_agent) {
            found.add("webhook.user_agent", problem);
        }
        if let Some(Err(problem)) = self.content_type.as_deref().map(check_content_type) {
            found.add("webhook.content_type", problem);
        }
        if self.timeout.is_zero() {
            found.add("webhook.timeout", "expected more than zero");
        }
        found.at_most("webhook.timeout", self.timeout, Self::TIMEOUT_MAX);
    }

    fn check_auth(&self, found: &mut Found) {
        let field = "webhook.auth";
        let sendable = |text: &str| !text.is_empty() && http::HeaderValue::try_from(text).is_ok();
        match &self.auth {
            None => return,
            Some(Auth::Bearer(token)) if !sendable(token) => {
                found.add("webhook.auth.bearer", "expected a token that a header can carry");
            }
            Some(Auth::Basic { username, .. })
                if username.contains(|c: char| c == ':' || c.is_control()) =>
            {
                found.add("webhook.auth.basic.username", "expected a name without a colon");
            }
            Some(Auth::OAuth2 { client_id, client_secret, scope, .. }) => {
                for (field, text) in [
                    ("webhook.auth.oauth2.client_id", client_id),
                    ("webhook.auth.oauth2.client_secret", client_secret),
                ] {
                    if text.is_empty() {
                        found.add(field, "expected more than nothing");
                    }
                }
                // RFC 6749, 3.3.
                let token = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
                if scope.as_ref().is_some_and(|text| !text.chars().all(|c| c == ' ' || token(c))) {
                    found.add("webhook.auth.oauth2.scope", "expected words separated by spaces");
                }
            }
            Some(_) => {}
        }
        if self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
            found.add(field, "expected no `authorization` in `webhook.headers` beside it");
        }
    }

    fn check_body(&self, found: &mut Found) {
        if let Some(batch) = &self.batch {
            found.within("batch.max_events", batch.max_events, BatchPolicy::MAX_EVENTS);
            found.at_most("batch.max_wait", batch.max_wait, BatchPolicy::MAX_WAIT_MAX);
            if self.format != Format::Batch {
                found.add(
                    "batch",
                    format!("expected `format: batch` with it, not `{}`", self.format),
                );
            }
        } else if self.format == Format::Batch {
            found.add("format", "`batch` expects `batch` with it, as { max_events: 100 }");
        }
        if self.transform.is_some() && !matches!(self.format, Format::Binary | Format::Data) {
            let format = self.format;
            let expected = "expected `format: data` or `format: binary` with it";
            found.add("transform", format!("{expected}, not `{format}`"));
        }
    }

    fn check_order(&self, found: &mut Found) {
        if self.on_dead == OnDead::StopKey && self.order == Order::None {
            found.add("on_dead", "`stop_key` expects `order: key` or `order: strict` with it");
        }
        let usual = PriorityPolicy::default();
        let PriorityPolicy { read_ahead, max_wait } = self.priority;
        found.within("read_ahead", read_ahead, PriorityPolicy::READ_AHEAD);
        found.at_most("priority_max_wait", max_wait, PriorityPolicy::MAX_WAIT_MAX);
        if self.order != Order::None {
            for (field, set) in [
                ("read_ahead", read_ahead != usual.read_ahead),
                ("priority_max_wait", max_wait != usual.max_wait),
            ] {
                if set {
                    found.add(field, "is for `order: none` only: with an order nothing overtakes");
                }
            }
        }
    }
}

impl RetryPolicy {
    fn check(&self, found: &mut Found) {
        let share = |found: &mut Found, field: &str, share: f64| {
            if !(0.0..=1.0).contains(&share) {
                found.add(field, "expected a share from 0 to 1");
            }
        };
        match &self.delays {
            Delays::Schedule { delays, jitter } => {
                if delays.len() > Self::DELAYS_MAX {
                    found.add("retry.schedule", format!("expected at most {}", Self::DELAYS_MAX));
                }
                if let Some(longest) = delays.iter().max() {
                    found.at_most("retry.schedule", *longest, Self::DELAY_MAX);
                }
                share(found, "retry.jitter", *jitter);
            }
            Delays::Exponential { initial, multiplier, max, jitter } => {
                if initial.is_zero() || initial > max {
                    let problem = "expected more than zero and at most `max`";
                    found.add("retry.exponential.initial", problem);
                }
                if !Self::MULTIPLIER.contains(multiplier) {
                    found.add("retry.exponential.multiplier", "expected 1 to 100");
                }
                found.at_most("retry.exponential.max", *max, Self::DELAY_MAX);
                share(found, "retry.exponential.jitter", *jitter);
            }
        }
        if let Some(most) = self.max_attempts {
            found.within("retry.max_attempts", most, Self::MAX_ATTEMPTS);
        }
        let wrong = |status: &u16| !(300..=599).contains(status);
        if self.never_retry.len() > 300 || self.never_retry.iter().any(wrong) {
            found.add("retry.never_retry", "expected statuses from 300 to 599");
        }
    }
}

impl HoldPolicy {
    fn check(&self, found: &mut Found) {
        found.within("hold.after", self.after, Self::AFTER);
        if self.interval.is_zero() || self.interval > self.max_interval {
            found.add("hold.interval", "expected more than zero and at most `max_interval`");
        }
        if self.give_up_after.is_zero() {
            found.add("hold.give_up_after", "expected more than zero");
        }
        found.at_most("hold.max_interval", self.max_interval, RetryPolicy::DELAY_MAX);
        found.at_most("hold.max", self.max, RetryPolicy::DELAY_MAX);
    }
}

struct Found(Vec<Fault>);

impl Found {
    fn add(&mut self, field: &str, problem: impl Into<String>) {
        self.0.push(Fault::new(field, problem));
    }

    fn within<T: Copy + PartialOrd + fmt::Display>(
        &mut self,
        field: &str,
        number: T,
        bounds: RangeInclusive<T>,
    ) {
        if !bounds.contains(&number) {
            let (least, most) = bounds.into_inner();
            self.add(field, format!("expected {least} to {most}, not {number}"));
        }
    }

    fn at_most(&mut self, field: &str, period: Duration, most: Duration) {
        if period > most {
            self.add(field, format!("expected at most {}", Period(most)));
        }
    }
}
