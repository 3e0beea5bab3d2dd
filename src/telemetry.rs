//! What is counted and measured: every metric in one [list], the counters that roles raise, and
//! the samples that are read when somebody asks.

use std::sync::{Arc, atomic::AtomicI64};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry},
};

pub use self::{
    deliveries::{Class, Deliveries, PerSubscription},
    labels::{
        ClassLabel, DeadLabel, FieldLabel, PollLabel, ResultLabel, RouteLabel, SourceLabel,
        SubscriptionLabel, TopicLabel,
    },
    sample::Sample,
};
use crate::event::{Name, Topic};

mod deliveries;
mod labels;
pub mod list;
pub mod process;
mod sample;

/// The fields of an item that an event can do without when they cannot be read.
const FIELDS: [&str; 5] = ["time", "key", "subject", "type", "cursor"];

/// Histograms by label.
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Seconds that a request or a commit takes.
fn short_seconds() -> Histogram {
    Histogram::new([0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0])
}

/// Seconds that an event is on its way, retries and holds included.
fn long_seconds() -> Histogram {
    Histogram::new([0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 60.0, 600.0, 3_600.0, 86_400.0])
}

/// What is counted. Handed around as an `Arc`; there is no global. Names and meanings are in the
/// [list](list::METRICS).
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    per_subscription: PerSubscription,
    attempts: Family<ClassLabel, Counter>,
    dead_letters: Family<DeadLabel, Counter>,
    delivery_seconds: Histograms<SubscriptionLabel>,
    filtered: Family<SubscriptionLabel, Counter>,
    exceptions_full: Family<SubscriptionLabel, Gauge>,
    /// `milkrun_attempt_seconds`
    pub attempt_seconds: Histogram,
    /// `milkrun_resends_total`
    pub resends: Counter,
    /// `milkrun_machine_faults_total`
    pub machine_faults: Counter,
    /// `milkrun_deliveries_in_flight`
    pub in_flight: Gauge<i64, AtomicI64>,
    /// `milkrun_read_ahead_bytes`
    pub read_ahead_bytes: Gauge<i64, AtomicI64>,
    /// `milkrun_source_rejected_total{source}`
    pub rejected: Family<SourceLabel, Counter>,
    /// `milkrun_source_field_errors_total{source,field}`
    pub field_errors: Family<FieldLabel, Counter>,
    /// `milkrun_source_waits_total{source}`
    pub waits: Family<SourceLabel, Counter>,
    /// `milkrun_polls_total{source,result}`
    pub polls: Family<PollLabel, Counter>,
    /// `milkrun_poll_seconds`
    pub poll_seconds: Histogram,
    /// `milkrun_gaps_total{source}`
    pub gaps: Family<SourceLabel, Counter>,
    /// `milkrun_walk_bytes`
    pub walk_bytes: Gauge<i64, AtomicI64>,
    /// `milkrun_events_appended_total{topic}`
    pub appended: Family<TopicLabel, Counter>,
    /// `milkrun_events_duplicate_total{topic}`
    pub duplicates: Family<TopicLabel, Counter>,
    /// `milkrun_read_skipped_total{topic}`
    pub read_skipped: Family<TopicLabel, Counter>,
    /// `milkrun_store_commit_seconds`
    pub commit_seconds: Histogram,
    /// `milkrun_stale_total`
    pub stale: Counter,
    /// `milkrun_api_request_seconds{route,status}`
    pub request_seconds: Histograms<RouteLabel>,
    /// `milkrun_api_busy_total`
    pub api_busy: Counter,
    /// `milkrun_api_stalled_total`
    pub api_stalled: Counter,
    /// `milkrun_backups_total{result}`
    pub backups: Family<ResultLabel, Counter>,
    /// `milkrun_backup_last_success_timestamp_seconds`
    pub backup_last_success: Gauge<i64, AtomicI64>,
    /// `milkrun_config_last_reload_successful`
    pub reload_successful: Gauge<i64, AtomicI64>,
    /// `milkrun_notices_dropped_total`
    pub notices_dropped: Counter,
    /// `milkrun_clock_leaps_total`
    pub clock_leaps: Counter,
    /// `milkrun_log_lines_dropped_total`
    pub log_lines_dropped: Counter,
}

impl Metrics {
    /// All metrics, at zero, each subscription's for itself.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::counting(PerSubscription::All)
    }

    /// All metrics, at zero.
    #[must_use]
    pub fn counting(per_subscription: PerSubscription) -> Arc<Self> {
        let mut registry = Registry::with_prefix("milkrun");
        let all = &mut registry;
        let metrics = Self {
            per_subscription,
            attempts: add(all, "attempts", Family::default()),
            dead_letters: add(all, "dead_letters", Family::default()),
            delivery_seconds: add(
                all,
                "delivery_seconds",
                Histograms::new_with_constructor(long_seconds),
            ),
            filtered: add(all, "filtered_events", Family::default()),
            exceptions_full: add(all, "subscription_exceptions_full", Family::default()),
            attempt_seconds: add(all, "attempt_seconds", short_seconds()),
            resends: add(all, "resends", Counter::default()),
            machine_faults: add(all, "machine_faults", Counter::default()),
            in_flight: add(all, "deliveries_in_flight", Gauge::default()),
            read_ahead_bytes: add(all, "read_ahead_bytes", Gauge::default()),
            rejected: add(all, "source_rejected", Family::default()),
            field_errors: add(all, "source_field_errors", Family::default()),
            waits: add(all, "source_waits", Family::default()),
            polls: add(all, "polls", Family::default()),
            poll_seconds: add(all, "poll_seconds", short_seconds()),
            gaps: add(all, "gaps", Family::default()),
            walk_bytes: add(all, "walk_bytes", Gauge::default()),
            appended: add(all, "events_appended", Family::default()),
            duplicates: add(all, "events_duplicate", Family::default()),
            read_skipped: add(all, "read_skipped", Family::default()),
            commit_seconds: add(all, "store_commit_seconds", short_seconds()),
            stale: add(all, "stale", Counter::default()),
            request_seconds: add(
                all,
                "api_request_seconds",
                Histograms::new_with_constructor(short_seconds),
            ),
            api_busy: add(all, "api_busy", Counter::default()),
            api_stalled: add(all, "api_stalled", Counter::default()),
            backups: add(all, "backups", Family::default()),
            backup_last_success: add(
                all,
                "backup_last_success_timestamp_seconds",
                Gauge::default(),
            ),
            reload_successful: add(all, "config_last_reload_successful", Gauge::default()),
            notices_dropped: add(all, "notices_dropped", Counter::default()),
            clock_leaps: add(all, "clock_leaps", Counter::default()),
            log_lines_dropped: add(all, "log_lines_dropped", Counter::default()),
            registry,
        };
        // The file that runs is the one that was asked for until another is.
        metrics.reload_successful.set(1);
        for result in ["made", "failed"] {
            drop(metrics.backups.get_or_create_owned(&ResultLabel { result }));
        }
        Arc::new(metrics)
    }

    /// Whose metrics are kept apart.
    #[must_use]
    pub const fn per_subscription(&self) -> PerSubscription {
        self.per_subscription
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
        for field in FIELDS {
            let label = FieldLabel { source: name.to_string(), field: field.to_owned() };
            drop(self.field_errors.get_or_create_owned(&label));
        }
        let label = PollLabel { source: label.source, result: "ok".to_owned() };
        drop(self.polls.get_or_create_owned(&label));
    }

    /// The text exposition format of OpenMetrics 1.0: what is counted, and these samples.
    #[must_use]
    pub fn encode(&self, samples: &[Sample]) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = prometheus_client::encoding::text::encode_registry(&mut text, &self.registry);
        let _ = sample::write(&mut text, samples);
        let _ = prometheus_client::encoding::text::encode_eof(&mut text);
        text
    }
}

/// Registers a metric, with the help of the list, and hands it back.
fn add<M: Metric + Clone>(registry: &mut Registry, name: &'static str, metric: M) -> M {
    let help = list::of(name).map_or("", |metric| metric.help);
    registry.register(name, help, metric.clone());
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_registered_is_in_the_list() {
        let metrics = Metrics::new();
        metrics.know_topic(&"a".parse().unwrap());
        metrics.know_source(&"b".parse().unwrap());
        let _ = metrics.deliveries("c");
        let text = metrics.encode(&[]);
        let described = text.lines().filter_map(|line| line.strip_prefix("# HELP "));
        for line in described {
            let (family, help) = line.split_once(' ').unwrap();
            let listed = list::METRICS.iter().find(|metric| metric.family() == family);
            assert_eq!(listed.map(|metric| format!("{}.", metric.help)), Some(help.to_owned()));
        }
    }

    #[test]
    fn no_name_is_listed_twice() {
        let mut names: Vec<_> = list::METRICS.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), list::METRICS.len());
    }
}
