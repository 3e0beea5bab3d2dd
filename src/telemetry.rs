//! Tracing, and every metric in one list, starting at zero.

use std::{
    fmt::Write as _,
    sync::{Arc, atomic::AtomicI64},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::event::{Name, Topic};

/// A label set of one name.
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

/// The fields of an item that an event can do without when they cannot be read.
const FIELDS: [&str; 5] = ["time", "key", "subject", "type", "cursor"];

/// A label set of one name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TopicLabel {
    /// The topic's name.
    pub topic: String,
}

/// A subscription and a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct VerdictLabel {
    /// The subscription's name.
    pub subscription: String,
    /// `delivered`, `retry`, `dead`, `gone`.
    pub verdict: String,
}

/// Every metric. Handed around as an `Arc`; there is no global.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// `milkrun_events_appended_total{topic}`
    pub appended: Family<TopicLabel, Counter>,
    /// `milkrun_events_duplicate_total{topic}`
    pub duplicates: Family<TopicLabel, Counter>,
    /// `milkrun_read_skipped_total{topic}`: events that a reader's filter failed on
    pub read_skipped: Family<TopicLabel, Counter>,
    /// `milkrun_polls_total{source,result}`
    pub polls: Family<PollLabel, Counter>,
    /// `milkrun_items_rejected_total{source}`
    pub rejected: Family<SourceLabel, Counter>,
    /// `milkrun_gaps_total{source}`
    pub gaps: Family<SourceLabel, Counter>,
    /// `milkrun_source_field_errors_total{source,field}`
    pub field_errors: Family<FieldLabel, Counter>,
    /// `milkrun_source_waits_total{source}`
    pub waits: Family<SourceLabel, Counter>,
    /// `milkrun_source_failing{source}`
    pub failing: Family<SourceLabel, Gauge>,
    /// `milkrun_attempts_total{subscription,verdict}`
    pub attempts: Family<VerdictLabel, Counter>,
    /// `milkrun_attempt_seconds`
    pub attempt_seconds: Histogram,
    /// `milkrun_resends_total`: requests sent once more, because the connection kept for them had
    /// ended; no attempts
    pub resends: Counter,
    /// `milkrun_machine_faults_total`: connections that this machine had nothing left for
    pub machine_faults: Counter,
    /// `milkrun_deliveries_in_flight`
    pub in_flight: Gauge<i64, AtomicI64>,
    /// `milkrun_read_ahead_bytes`: events that positions hold ahead of their reach
    pub read_ahead_bytes: Gauge<i64, AtomicI64>,
    /// `milkrun_walk_bytes`: decoded bytes of pages held by walks
    pub walk_bytes: Gauge<i64, AtomicI64>,
    /// `milkrun_stale_total`: work that a raised fence made void
    pub stale: Counter,
    /// `milkrun_api_busy_total`: requests and streams that found no room for their bytes
    pub api_busy: Counter,
    /// `milkrun_api_stalled_total`: answers given up because their client took nothing
    pub api_stalled: Counter,
    /// `milkrun_notices_dropped_total`: notices that found no room, or no store at the stop
    pub notices_dropped: Counter,
    /// `milkrun_clock_leaps_total`: how often the machine's clock was set, or the machine slept
    pub clock_leaps: Counter,
    /// `milkrun_log_lines_dropped_total`: log lines that stderr did not take
    pub log_lines_dropped: Counter,
}

impl Metrics {
    /// All metrics, at zero.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let mut metrics = Self {
            registry: Registry::with_prefix("milkrun"),
            appended: Family::default(),
            duplicates: Family::default(),
            read_skipped: Family::default(),
            polls: Family::default(),
            rejected: Family::default(),
            gaps: Family::default(),
            field_errors: Family::default(),
            waits: Family::default(),
            failing: Family::default(),
            attempts: Family::default(),
            attempt_seconds: Histogram::new([
                0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0,
            ]),
            resends: Counter::default(),
            machine_faults: Counter::default(),
            in_flight: Gauge::default(),
            read_ahead_bytes: Gauge::default(),
            walk_bytes: Gauge::default(),
            stale: Counter::default(),
            api_busy: Counter::default(),
            api_stalled: Counter::default(),
            notices_dropped: Counter::default(),
            clock_leaps: Counter::default(),
            log_lines_dropped: Counter::default(),
        };
        metrics.register();
        Arc::new(metrics)
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("events_appended", "Events that were numbered", self.appended.clone());
        registry.register(
            "events_duplicate",
            "Events that were known already",
            self.duplicates.clone(),
        );
        registry.register(
            "read_skipped",
            "Events that a reader's filter failed on and that were passed over",
            self.read_skipped.clone(),
        );
        self.register_sources();
        let registry = &mut self.registry;
        registry.register("attempts", "Finished attempts", self.attempts.clone());
        registry.register(
            "attempt_seconds",
            "Time from the first byte sent to the verdict",
            self.attempt_seconds.clone(),
        );
        registry.register(
            "resends",
            "Requests sent once more because a kept connection had ended",
            self.resends.clone(),
        );
        registry.register(
            "machine_faults",
            "Connections that this machine had no file, port or memory left for",
            self.machine_faults.clone(),
        );
        registry.register("deliveries_in_flight", "Attempts under way", self.in_flight.clone());
        registry.register(
            "read_ahead_bytes",
            "Bytes of events that positions hold ahead of their reach",
            self.read_ahead_bytes.clone(),
        );
        registry.register("walk_bytes", "Bytes of pages in memory", self.walk_bytes.clone());
        registry.register("stale", "Work that a raised fence made void", self.stale.clone());
        registry.register(
            "api_busy",
            "Requests and streams of the API that found no room in limits.api_bytes_max",
            self.api_busy.clone(),
        );
        registry.register(
            "api_stalled",
            "Answers of the API given up because their client took nothing",
            self.api_stalled.clone(),
        );
        registry.register(
            "notices_dropped",
            "Notices that were not appended",
            self.notices_dropped.clone(),
        );
        registry.register(
            "clock_leaps",
            "How often the machine's clock was set, or the machine was suspended",
            self.clock_leaps.clone(),
        );
        registry.register(
            "log_lines_dropped",
            "Log lines that could not be written to stderr",
            self.log_lines_dropped.clone(),
        );
    }

    fn register_sources(&mut self) {
        let registry = &mut self.registry;
        registry.register("polls", "Requests to producers", self.polls.clone());
        registry.register("items_rejected", "Items that were no events", self.rejected.clone());
        registry.register("gaps", "Holes recorded in what producers showed", self.gaps.clone());
        registry.register(
            "source_field_errors",
            "Fields that could not be read and were left out",
            self.field_errors.clone(),
        );
        registry.register("source_waits", "Answers that were not ready", self.waits.clone());
        registry.register(
            "source_failing",
            "1 while the source is told as failing",
            self.failing.clone(),
        );
    }

    /// Starts a topic's counters at zero; those that are known go on.
    pub fn know_topic(&self, topic: &Topic) {
        let label = TopicLabel { topic: topic.to_string() };
        drop(self.appended.get_or_create_owned(&label));
        drop(self.duplicates.get_or_create_owned(&label));
        drop(self.read_skipped.get_or_create_owned(&label));
    }

    /// Drops a topic's counters.
    pub fn forget_topic(&self, topic: &Topic) {
        let label = TopicLabel { topic: topic.to_string() };
        self.appended.remove(&label);
        self.duplicates.remove(&label);
        self.read_skipped.remove(&label);
    }

    /// Starts a source's counters at zero; those that are known go on.
    pub fn know_source(&self, name: &Name) {
        let label = SourceLabel { source: name.to_string() };
        drop(self.rejected.get_or_create_owned(&label));
        drop(self.gaps.get_or_create_owned(&label));
        drop(self.waits.get_or_create_owned(&label));
        drop(self.failing.get_or_create_owned(&label));
        for field in FIELDS {
            let label = FieldLabel { source: name.to_string(), field: field.to_owned() };
            drop(self.field_errors.get_or_create_owned(&label));
        }
        let label = PollLabel { source: label.source, result: "ok".to_owned() };
        drop(self.polls.get_or_create_owned(&label));
    }

    /// The text exposition format of OpenMetrics 1.0; `gauges` are the store's.
    #[must_use]
    pub fn encode(&self, gauges: &[(&'static str, f64)]) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = prometheus_client::encoding::text::encode_registry(&mut text, &self.registry);
        for (name, value) in gauges {
            let _ = writeln!(text, "# TYPE milkrun_{name} gauge\nmilkrun_{name} {value}");
        }
        let _ = prometheus_client::encoding::text::encode_eof(&mut text);
        text
    }
}
