//! How metrics went: every 10 s what they are is kept in rings of a fixed size, so that a console has
//! charts without a database of its own.
//!
//! A counter is kept as its rate a second, a gauge as it is, a histogram as three quantiles. What is
//! kept is of this node, in memory: 360 values of 10 s and 1,440 of a minute for each series, 7.2 KB,
//! of at most 2,000 series. Nothing is done for an event. After a restart, and where the wall was set
//! back, it begins anew.

use std::{collections::BTreeMap, time::Duration};

pub(crate) use self::shown::{Wanted, Window};
use self::{
    exposition::Value,
    quantile::{Buckets, between},
    ring::Ring,
};
use crate::{
    clock::Reading,
    event::Micros,
    telemetry::list::{Described, Kind, METRICS},
};

mod exposition;
mod quantile;
mod ring;
mod shown;

/// The most series.
const SERIES_MAX: usize = 2_000;
/// Slots of 10 s: an hour.
const FINE_SLOTS: usize = 360;
/// Slots of a minute: a day.
const COARSE_SLOTS: usize = 1_440;
/// Looks in a minute.
const MINUTE_LOOKS: i64 = 6;
const FINE_US: i64 = 10_000_000;
/// What a look may take of the time, as one part of so many.
const COST_SHARE: u32 = 100;
/// The quantiles of a histogram, as they are labelled.
const QUANTILES: [(&str, f64); 3] = [("0.5", 0.5), ("0.95", 0.95), ("0.99", 0.99)];

/// Labels and their values, by the labels' names.
pub(crate) type Labels = Vec<(String, String)>;
type Key = (&'static str, Labels);

/// How long to wait after a look at `now` that took `took`: until the next slot begins, and so long
/// that looking costs a hundredth of the time at most, however much there is in the store.
pub(crate) fn pause(now: Micros, took: Duration) -> Duration {
    let least = now.plus(took.saturating_mul(COST_SHARE));
    let next = (least.0.div_euclid(FINE_US) + 1).saturating_mul(FINE_US);
    Micros(next).since(now)
}

/// The metric of a name as it is exposed, with or without its prefix and `_total`; `None`: it is not
/// kept as a series, or there is none.
pub(crate) fn metric(name: &str) -> Option<&'static Described> {
    let name = name.strip_prefix("milkrun_").unwrap_or(name);
    let name = name.strip_suffix("_total").unwrap_or(name);
    METRICS.iter().find(|metric| metric.name == name && exposition::is_kept(metric))
}

/// The names of what is kept, as they are exposed.
pub(crate) fn names() -> impl Iterator<Item = String> {
    METRICS.iter().filter(|metric| exposition::is_kept(metric)).map(exposed)
}

/// The name by which a metric is exposed.
pub(crate) fn exposed(metric: &Described) -> String {
    let is_counter = metric.kind == Kind::Counter;
    metric.family() + if is_counter { "_total" } else { "" }
}

/// What a value of its series is.
pub(crate) fn values_are(metric: &Described) -> &'static str {
    match metric.kind {
        Kind::Counter => "per_second",
        Kind::Gauge => "value",
        Kind::Histogram => "quantile",
    }
}

/// One series.
#[derive(Debug, Clone)]
struct Kept {
    fine: Ring,
    coarse: Ring,
    /// Of the minute that has not ended.
    sum: f32,
    count: u16,
    /// The slot in which it was last there.
    seen: i64,
}

impl Kept {
    fn new() -> Self {
        let (fine, coarse) = (Ring::new(FINE_SLOTS), Ring::new(COARSE_SLOTS));
        Self { fine, coarse, sum: 0.0, count: 0, seen: i64::MIN }
    }

    fn put(&mut self, slot: i64, value: f32) {
        self.fine.put(slot, value);
        self.sum += value;
        self.count += 1;
    }

    /// Keeps the mean of a minute, or what stands for it.
    fn end_minute(&mut self, minute: i64, instead: Option<f32>) {
        let mean = (self.count > 0).then(|| self.sum / f32::from(self.count));
        if let Some(value) = instead.or(mean) {
            self.coarse.put(minute, value);
        }
        (self.sum, self.count) = (0.0, 0);
    }
}

/// What a histogram had counted at the last look, and when the minute began.
#[derive(Debug, Default)]
struct Before {
    look: Buckets,
    minute: Buckets,
}

/// Everything that is kept.
#[derive(Debug)]
pub(crate) struct Recorder {
    kept: BTreeMap<Key, Kept>,
    /// What counters had come to at the last look.
    totals: BTreeMap<Key, f64>,
    histograms: BTreeMap<Key, Before>,
    /// A series of nothing: how a counter that is new was until now.
    quiet: Kept,
    /// The last look.
    last: Option<(i64, Micros)>,
    /// Series that had no room at the last look.
    missing: usize,
    most: usize,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::holding(SERIES_MAX)
    }
}

impl Recorder {
    fn holding(most: usize) -> Self {
        Self {
            kept: BTreeMap::new(),
            totals: BTreeMap::new(),
            histograms: BTreeMap::new(),
            quiet: Kept::new(),
            last: None,
            missing: 0,
            most,
        }
    }

    /// The slot of the last look.
    #[cfg(test)]
    pub(crate) fn looks(&self) -> Option<i64> {
        self.last.map(|(slot, _)| slot)
    }

    /// How many series had no room at the last look.
    pub(crate) fn missing(&self) -> usize {
        self.missing
    }

    /// Keeps what the metrics are now, by their text. A second look within 10 s changes nothing.
    pub(crate) fn step(&mut self, now: Reading, text: &str) {
        let slot = now.wall.0.div_euclid(FINE_US);
        match self.last {
            Some((last, _)) if last == slot => return,
            Some((last, _)) if last > slot => *self = Self::holding(self.most),
            _ => {}
        }
        let metrics = exposition::read(text);
        if let Some((last, _)) = self.last.filter(|(last, _)| minute(*last) != minute(slot)) {
            self.end_minute(minute(last), slot);
        }
        self.missing = 0;
        let seconds = self.last.map(|(_, at)| now.steady.since(at).as_secs_f64().max(1.0));
        self.totals.retain(|key, _| metrics.contains_key(key));
        self.histograms.retain(|key, _| metrics.contains_key(key));
        for (key, value) in metrics {
            self.take(slot, seconds, &key, value);
        }
        if seconds.is_some() {
            self.quiet.put(slot, 0.0);
        }
        self.last = Some((slot, now.steady));
    }

    /// Keeps one value; without `seconds` there was no look before.
    fn take(&mut self, slot: i64, seconds: Option<f64>, key: &Key, value: Value) {
        match value {
            Value::Gauge(value) => self.put(slot, key, value, false),
            Value::Counter(total) => {
                let before = self.totals.insert(key.clone(), total);
                let Some(seconds) = seconds else { return };
                // One that fell began anew.
                let before = before.filter(|before| *before <= total).unwrap_or(0.0);
                // One that never counted anything takes no room.
                if total > before || self.kept.contains_key(key) {
                    self.put(slot, key, (total - before) / seconds, true);
                }
            }
            Value::Buckets(buckets) => {
                let before = self.histograms.entry(key.clone()).or_default();
                let earlier = std::mem::replace(&mut before.look, buckets.clone());
                if seconds.is_none() {
                    before.minute = buckets;
                    return;
                }
                for (label, share) in QUANTILES {
                    if let Some(value) = between(&earlier, &buckets, share) {
                        self.put(slot, &quantile(key, label), value, false);
                    }
                }
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "seven digits are enough for a curve")]
    fn put(&mut self, slot: i64, key: &Key, value: f64, was_quiet: bool) {
        if !self.kept.contains_key(key) {
            if self.kept.len() >= self.most {
                self.missing += 1;
                return;
            }
            let new = if was_quiet { self.quiet.clone() } else { Kept::new() };
            self.kept.insert(key.clone(), new);
        }
        if let Some(kept) = self.kept.get_mut(key) {
            kept.put(slot, value as f32);
            kept.seen = slot;
        }
    }

    /// Keeps the values of a minute that ended. What is not there any more goes after a day, and
    /// after a minute when there is no room.
    fn end_minute(&mut self, minute: i64, slot: i64) {
        let mut of_minute: BTreeMap<Key, f32> = BTreeMap::new();
        for (key, before) in &mut self.histograms {
            for (label, share) in QUANTILES {
                if let Some(value) = between(&before.minute, &before.look, share) {
                    #[expect(clippy::cast_possible_truncation, reason = "as in `put`")]
                    of_minute.insert(quantile(key, label), value as f32);
                }
            }
            before.minute.clone_from(&before.look);
        }
        for (key, kept) in &mut self.kept {
            kept.end_minute(minute, of_minute.remove(key));
        }
        self.quiet.end_minute(minute, None);
        let is_full = self.missing > 0;
        let slots = if is_full { MINUTE_LOOKS } else { MINUTE_LOOKS * 1_440 };
        self.kept.retain(|_, kept| kept.seen >= slot - slots);
    }
}

fn minute(slot: i64) -> i64 {
    slot.div_euclid(MINUTE_LOOKS)
}

/// The series of a quantile of a histogram.
fn quantile((name, labels): &Key, label: &str) -> Key {
    let mut labels = labels.clone();
    labels.push(("quantile".to_owned(), label.to_owned()));
    labels.sort();
    (name, labels)
}

#[cfg(test)]
mod tests;
