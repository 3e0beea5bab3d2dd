//! The labels of the metrics.

use prometheus_client::encoding::EncodeLabelSet;

/// A source.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SourceLabel {
    /// The source's name.
    pub source: String,
}

/// A source and a word for what happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PollLabel {
    /// The source's name.
    pub source: String,
    /// `ok`, `unchanged`, or the kind of failure.
    pub result: String,
}

/// A source and a field of its items.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FieldLabel {
    /// The source's name.
    pub source: String,
    /// `time`, `key`, `subject`, `type`, or `cursor`.
    pub field: String,
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TopicLabel {
    /// The topic's name.
    pub topic: String,
}

/// A subscription; empty: all of them together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SubscriptionLabel {
    /// The subscription's name.
    pub subscription: String,
}

/// A word for what happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabel {
    /// `made` or `failed`.
    pub result: &'static str,
}

/// A subscription and how an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ClassLabel {
    /// The subscription's name; empty: all of them together.
    pub subscription: String,
    /// As in [`Class`](super::Class).
    pub class: &'static str,
}

/// A subscription and why events were given up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DeadLabel {
    /// The subscription's name; empty: all of them together.
    pub subscription: String,
    /// As dead letters have it.
    pub reason: &'static str,
}

/// A route of the API and the status of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabel {
    /// The path with its parameters by name; empty: no route.
    pub route: String,
    /// The status.
    pub status: u16,
}
