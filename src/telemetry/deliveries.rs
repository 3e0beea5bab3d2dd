//! What is counted of the deliveries of one subscription.

use prometheus_client::metrics::{counter::Counter, gauge::Gauge, histogram::Histogram};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sinks::{Answer, Outcome, SilentKind};
use strum::{IntoStaticStr, VariantArray};

use super::{
    Metrics,
    labels::{ClassLabel, DeadLabel, SubscriptionLabel},
};
use crate::store::DeadReason;

/// Which subscriptions have metrics of their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PerSubscription {
    /// Every one.
    #[default]
    All,
    /// The 50 that wait longest or are owed most, and all that are not open or have keys that stand
    /// still; counters count all together.
    Top,
    /// None; counters count all together.
    Off,
}

/// How an attempt ended, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
pub enum Class {
    /// The event arrived.
    #[strum(serialize = "2xx")]
    Success,
    /// A redirect, which is not followed, or another answer that is none of the others.
    #[strum(serialize = "3xx")]
    Redirect,
    /// An answer of 400 to 499.
    #[strum(serialize = "4xx")]
    Client,
    /// An answer of 500 to 599.
    #[strum(serialize = "5xx")]
    Server,
    /// A 2xx that accepted only events before it of its batch.
    #[strum(serialize = "partial")]
    Partial,
    /// No whole answer in time.
    #[strum(serialize = "timeout")]
    Timeout,
    /// No connection, or one that broke; no name; no token.
    #[strum(serialize = "connect")]
    Connect,
    /// The handshake failed.
    #[strum(serialize = "tls")]
    Tls,
    /// The endpoint is not to blame: a forbidden address, the relay's own proxy or machine, an event
    /// that cannot be sent.
    #[strum(serialize = "ours")]
    Ours,
}

impl Class {
    /// The class of a request for an event that did not arrive.
    #[must_use]
    pub const fn of_failed(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Answered(Answer { status: 200..300, .. }) => Self::Partial,
            Outcome::Answered(Answer { status: 400..500, .. }) => Self::Client,
            Outcome::Answered(Answer { status: 500..600, .. }) => Self::Server,
            Outcome::Answered(_) => Self::Redirect,
            Outcome::Silent { kind, .. } => match kind {
                SilentKind::Forbidden | SilentKind::Proxy | SilentKind::Machine => Self::Ours,
                SilentKind::Timeout => Self::Timeout,
                SilentKind::Tls => Self::Tls,
                SilentKind::Dns
                | SilentKind::Refused
                | SilentKind::Reset
                | SilentKind::Token
                | SilentKind::Other => Self::Connect,
            },
        }
    }
}

/// The metrics of one subscription, or of all of them together.
#[derive(Debug, Clone)]
pub struct Deliveries {
    attempts: Vec<Counter>,
    dead: Vec<(DeadReason, Counter)>,
    /// `milkrun_delivery_seconds`
    pub seconds: Histogram,
    /// `milkrun_filtered_events_total`
    pub filtered: Counter,
    /// `milkrun_subscription_exceptions_full`
    pub exceptions_full: Gauge,
}

impl Deliveries {
    /// Counts so many attempts.
    pub fn attempted(&self, class: Class, count: u64) {
        // One for each class, in their order.
        if let Some(counter) = self.attempts.get(class as usize) {
            counter.inc_by(count);
        }
    }

    /// Counts events that were given up.
    pub fn died(&self, reason: DeadReason, count: u64) {
        if let Some((_, counter)) = self.dead.iter().find(|(known, _)| *known == reason) {
            counter.inc_by(count);
        }
    }
}

#[cfg(test)]
impl Deliveries {
    /// Attempts that ended so.
    pub(crate) fn attempts(&self, class: Class) -> u64 {
        self.attempts[class as usize].get()
    }

    /// Events that were given up, for whatever reason.
    pub(crate) fn all_dead(&self) -> u64 {
        self.dead.iter().map(|(_, counter)| counter.get()).sum()
    }
}

impl Metrics {
    /// The metrics of a subscription, at zero if they are new.
    #[must_use]
    pub fn deliveries(&self, subscription: &str) -> Deliveries {
        let subscription = self.shown(subscription);
        let attempts = Class::VARIANTS.iter().map(|class| {
            let label = ClassLabel { subscription: subscription.clone(), class: class.into() };
            self.attempts.get_or_create_owned(&label)
        });
        let dead = DeadReason::VARIANTS.iter().map(|reason| {
            let label = DeadLabel { subscription: subscription.clone(), reason: reason.into() };
            (*reason, self.dead_letters.get_or_create_owned(&label))
        });
        let label = SubscriptionLabel { subscription: subscription.clone() };
        Deliveries {
            attempts: attempts.collect(),
            dead: dead.collect(),
            seconds: self.delivery_seconds.get_or_create_owned(&label),
            filtered: self.filtered.get_or_create_owned(&label),
            exceptions_full: self.exceptions_full.get_or_create_owned(&label),
        }
    }

    /// Events that a subscription's filter passed over, or whose time had passed, since this node
    /// began to serve it; `None`: it is not counted here, or not by itself.
    #[must_use]
    pub fn filtered_by(&self, subscription: &str) -> Option<u64> {
        let label = SubscriptionLabel { subscription: self.shown(subscription) };
        let is_alone = self.per_subscription == PerSubscription::All;
        self.filtered.get(&label).filter(|_| is_alone).map(|counter| counter.get())
    }

    /// Drops what is counted of a subscription alone.
    pub fn forget_subscription(&self, subscription: &str) {
        if self.per_subscription != PerSubscription::All {
            return;
        }
        let subscription = subscription.to_owned();
        for class in Class::VARIANTS {
            let label = ClassLabel { subscription: subscription.clone(), class: class.into() };
            self.attempts.remove(&label);
        }
        for reason in DeadReason::VARIANTS {
            let label = DeadLabel { subscription: subscription.clone(), reason: reason.into() };
            self.dead_letters.remove(&label);
        }
        let label = SubscriptionLabel { subscription };
        self.delivery_seconds.remove(&label);
        self.filtered.remove(&label);
        self.exceptions_full.remove(&label);
    }

    /// The label of a subscription.
    fn shown(&self, subscription: &str) -> String {
        match self.per_subscription {
            PerSubscription::All => subscription.to_owned(),
            PerSubscription::Top | PerSubscription::Off => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_counter_of_its_own() {
        let metrics = Metrics::new();
        let deliveries = metrics.deliveries("billing");
        for (more, class) in Class::VARIANTS.iter().enumerate() {
            deliveries.attempted(*class, more as u64 + 1);
        }
        let text = metrics.encode(&[]);
        for (more, class) in Class::VARIANTS.iter().enumerate() {
            let class: &str = class.into();
            let line = format!(
                "milkrun_attempts_total{{subscription=\"billing\",class=\"{class}\"}} {}\n",
                more + 1
            );
            assert!(text.contains(&line), "{line}{text}");
        }
    }

    #[test]
    fn a_forgotten_subscription_shows_no_more() {
        let metrics = Metrics::new();
        metrics.deliveries("billing").died(DeadReason::Refused, 2);
        assert_eq!((metrics.filtered_by("billing"), metrics.filtered_by("none")), (Some(0), None));
        let line = "milkrun_dead_letters_total{subscription=\"billing\",reason=\"refused\"} 2\n";
        assert!(metrics.encode(&[]).contains(line));
        metrics.forget_subscription("billing");
        assert!(!metrics.encode(&[]).contains("billing"));
    }

    #[test]
    fn many_subscriptions_can_be_counted_together() {
        let metrics = Metrics::counting(PerSubscription::Top);
        metrics.deliveries("billing").attempted(Class::Success, 1);
        metrics.deliveries("search").attempted(Class::Success, 2);
        metrics.forget_subscription("search");
        assert_eq!(metrics.filtered_by("billing"), None, "it is of all together");
        let text = metrics.encode(&[]);
        let line = "milkrun_attempts_total{subscription=\"\",class=\"2xx\"} 3\n";
        assert!(text.contains(line) && !text.contains("billing"), "{text}");
    }
}
