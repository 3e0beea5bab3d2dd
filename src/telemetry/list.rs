//! Every metric there is, once: its name, its kind, its labels, what it tells. What is exposed takes
//! its HELP from here, and a test holds `docs/metrics.md` to it.

use Kind::{Counter, Gauge, Histogram};

/// What a metric does with time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// Only rises; its name ends in `_total` where it is exposed.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts in buckets, with a sum.
    Histogram,
}

/// A metric.
#[derive(Debug, PartialEq, Eq)]
pub struct Described {
    /// Without `milkrun_`, which all have but those of the process, and without `_total`.
    pub name: &'static str,
    /// What it does with time.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it tells, without a full stop at the end.
    pub help: &'static str,
}

impl Described {
    /// The name as it is exposed, without `_total`.
    #[must_use]
    pub fn family(&self) -> String {
        let prefix = if self.name.starts_with("process_") { "" } else { "milkrun_" };
        format!("{prefix}{}", self.name)
    }
}

/// What is listed under a name.
#[must_use]
pub fn of(name: &str) -> Option<&'static Described> {
    METRICS.iter().find(|metric| metric.name == name)
}

const fn metric(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
) -> Described {
    Described { name, kind, labels, help }
}

const NONE: &[&str] = &[];
const SUBSCRIPTION: &[&str] = &["subscription"];
const SOURCE: &[&str] = &["source"];
const TOPIC: &[&str] = &["topic"];

/// All of them, in the order in which they are shown.
#[rustfmt::skip]
pub const METRICS: &[Described] = &[
    // Subscriptions.
    metric("subscription_owed", Gauge, SUBSCRIPTION, "Events that the subscription still has to get"),
    metric("subscription_oldest_seconds", Gauge, SUBSCRIPTION, "How long the oldest event that could be sent now has been waiting; 0 when there is none"),
    metric("subscription_state", Gauge, &["subscription", "state"], "1 for the state the subscription is in: open, holding, reopening, paused or disabled"),
    metric("subscription_exceptions", Gauge, SUBSCRIPTION, "Events below the reach that are not settled"),
    metric("subscription_exceptions_full", Gauge, SUBSCRIPTION, "Positions that start nothing new because they have max_exceptions"),
    metric("subscription_stopped_keys", Gauge, SUBSCRIPTION, "Keys that stand still until their dead letter is redriven or deleted"),
    metric("subscription_dead_letters", Gauge, SUBSCRIPTION, "Dead letters that are kept"),
    metric("dead_letters", Counter, &["subscription", "reason"], "Events given up; those that retention removed while they were owed have the reason expired"),
    metric("delivery_seconds", Histogram, SUBSCRIPTION, "From the moment an event was recorded to its first 2xx; without replays"),
    metric("attempts", Counter, &["subscription", "class"], "Finished attempts for an event: 2xx (it arrived), 3xx, 4xx, 5xx, partial (a 2xx that did not accept it), timeout, connect, tls, or ours, which the endpoint is not to blame for"),
    metric("attempt_seconds", Histogram, NONE, "From the first byte sent to the end of an attempt"),
    metric("filtered_events", Counter, SUBSCRIPTION, "Events that the subscription's filter passed over, or whose time had passed"),
    metric("deliveries_in_flight", Gauge, NONE, "Attempts under way"),
    metric("resends", Counter, NONE, "Requests sent once more because a kept connection had ended"),
    metric("machine_faults", Counter, NONE, "Connections that this machine had no file, port or memory left for"),
    metric("read_ahead_bytes", Gauge, NONE, "Bytes of events that positions hold ahead of their reach"),
    // Sources.
    metric("source_last_success_timestamp_seconds", Gauge, SOURCE, "When a walk was last complete; 0: never"),
    metric("source_last_event_timestamp_seconds", Gauge, SOURCE, "When the source last had a new event; 0: never"),
    metric("source_next_poll_timestamp_seconds", Gauge, SOURCE, "When the source is asked next; 0: now"),
    metric("source_failing", Gauge, SOURCE, "1 while the source is told as failing"),
    metric("source_silent", Gauge, SOURCE, "1 while the source has had nothing new for silent_after"),
    metric("source_rejected", Counter, SOURCE, "Items that were no events"),
    metric("source_field_errors", Counter, &["source", "field"], "Fields that could not be read and were left out"),
    metric("source_waits", Counter, SOURCE, "Answers that were not ready"),
    metric("polls", Counter, &["source", "result"], "Requests to producers: ok, unchanged, waiting, or the kind of failure"),
    metric("poll_seconds", Histogram, NONE, "From a request to a producer to the page that it answered"),
    metric("gaps", Counter, SOURCE, "Holes recorded in what producers showed"),
    metric("walk_bytes", Gauge, NONE, "Bytes of pages in memory"),
    // Topics.
    metric("topic_head", Gauge, TOPIC, "The version of the topic's newest event"),
    metric("topic_bytes", Gauge, TOPIC, "Bytes of the topic's events"),
    metric("topic_bytes_max", Gauge, TOPIC, "The topic's max_bytes, where it is set"),
    metric("events_appended", Counter, TOPIC, "Events that were numbered"),
    metric("events_duplicate", Counter, TOPIC, "Events that were known already"),
    metric("read_skipped", Counter, TOPIC, "Events that a reader's filter failed on and that were passed over"),
    // The store.
    metric("store_commit_seconds", Histogram, NONE, "How long the store took to commit appends and settlements"),
    metric("store_disk_free_bytes", Gauge, NONE, "What is free on the disk of the store's file"),
    metric("store_bytes", Gauge, NONE, "The size of the store's file, or of its database"),
    metric("store_wal_bytes", Gauge, NONE, "The size of the write-ahead log"),
    metric("store_disk_full", Gauge, NONE, "1 while the store takes no writes for want of disk"),
    metric("store_troubles", Gauge, NONE, "What keeps the store from working as it should, as in /readyz"),
    metric("store_tail_bytes", Gauge, NONE, "Bytes of the newest events in memory"),
    metric("store_queue_operations", Gauge, NONE, "Writes that wait for the store"),
    metric("store_queue_kib", Gauge, NONE, "KiB of writes that wait for the store"),
    metric("store_pending_events", Gauge, NONE, "Published events that are not in the log yet"),
    metric("store_dedupe_keys", Gauge, NONE, "Keys of events by which duplicates are known"),
    metric("store_exceptions", Gauge, NONE, "Exceptions of all positions"),
    metric("store_dead_letters", Gauge, NONE, "Dead letters of all subscriptions"),
    metric("store_journal_events", Gauge, NONE, "Events of newest-first walks that are not numbered yet"),
    metric("store_expired_events", Counter, NONE, "Events that retention removed while somebody was owed them"),
    metric("store_trimmed_dead_letters", Counter, NONE, "Dead letters that went by age, or because there were too many"),
    metric("store_damaged_events", Counter, NONE, "Events found lost or damaged"),
    metric("store_oldest_xmin_seconds", Gauge, NONE, "How long the oldest transaction of the database server has been open"),
    metric("backups", Counter, &["result"], "Backups that the relay made by itself, or could not make: made or failed"),
    metric("backup_last_success_timestamp_seconds", Gauge, NONE, "The moment of the last backup that the relay made by itself; 0: none is known"),
    metric("trace_queue_records", Gauge, NONE, "Attempts that are to be written to the trace"),
    metric("trace_dropped_records", Counter, NONE, "Attempts that the trace had no room for"),
    metric("stale", Counter, NONE, "Work that a raised fence made void"),
    // The cluster.
    metric("cluster_nodes", Gauge, NONE, "Nodes that live"),
    metric("cluster_term_left_seconds", Gauge, NONE, "What is left of this node's term"),
    metric("cluster_held_sources", Gauge, NONE, "Sources that this node asks"),
    metric("cluster_held_subscriptions", Gauge, NONE, "Subscriptions that this node serves"),
    metric("cluster_held_topics", Gauge, NONE, "Topics that this node keeps within their bounds"),
    // The API.
    metric("api_request_seconds", Histogram, &["route", "status"], "From a request to the head of its answer"),
    metric("api_waiting", Gauge, NONE, "Long polls and streams under way"),
    metric("api_bytes", Gauge, NONE, "Bytes held for clients of the API"),
    metric("api_busy", Counter, NONE, "Requests and streams of the API that found no room in limits.api_bytes_max"),
    metric("api_stalled", Counter, NONE, "Answers of the API given up because their client took nothing"),
    // The process.
    metric("build_info", Gauge, &["version"], "1, for the release that runs"),
    metric("start_time_seconds", Gauge, NONE, "When the relay started"),
    metric("config_last_reload_successful", Gauge, NONE, "1 while the file that runs is the one that was last asked for"),
    metric("notices_dropped", Counter, NONE, "Notices that were not appended"),
    metric("clock_leaps", Counter, NONE, "How often the machine's clock was set, or the machine was suspended"),
    metric("log_lines_dropped", Counter, NONE, "Log lines that could not be written to stderr"),
    metric("process_cpu_seconds", Counter, NONE, "Processor time that the process has used"),
    metric("process_resident_memory_bytes", Gauge, NONE, "Memory of the process that is resident"),
    metric("process_open_fds", Gauge, NONE, "Open files of the process"),
    metric("process_max_fds", Gauge, NONE, "Open files that the process may have"),
    metric("process_threads", Gauge, NONE, "Threads of the process"),
    metric("process_start_time_seconds", Gauge, NONE, "When the process started"),
];
