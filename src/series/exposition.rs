//! What the metrics are at one moment, read from their text: the one form in which all of them are at
//! hand, those of the registry and those that are read from the store.

use std::collections::BTreeMap;

use super::Labels;
use crate::telemetry::list::{Described, Kind, METRICS};

/// The value of one metric with one set of labels.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// A gauge, as it is.
    Gauge(f64),
    /// What a counter has come to.
    Counter(f64),
    /// What a histogram has counted up to each bound, in the order of the bounds.
    Buckets(Vec<(f64, f64)>),
}

/// Whether a metric is kept as a series: seconds since 1970 are no curve, and there are too many
/// routes and states.
pub(super) fn is_kept(metric: &Described) -> bool {
    let not_kept = ["api_request_seconds", "build_info", "subscription_state"];
    !metric.name.ends_with("time_seconds")
        && !metric.name.ends_with("timestamp_seconds")
        && !not_kept.contains(&metric.name)
}

/// The metrics that are kept, by their names in the list and their labels.
pub(super) fn read(text: &str) -> BTreeMap<(&'static str, Labels), Value> {
    let families: BTreeMap<String, &'static Described> =
        METRICS.iter().filter(|metric| is_kept(metric)).map(|m| (m.family(), m)).collect();
    let mut read = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, mut labels, value)) = sample(line) else { continue };
        let suffixes = [("", Kind::Gauge), ("_total", Kind::Counter), ("_bucket", Kind::Histogram)];
        let found = suffixes.into_iter().find_map(|(suffix, kind)| {
            let metric = families.get(name.strip_suffix(suffix)?)?;
            (metric.kind == kind).then_some(*metric)
        });
        let Some(metric) = found else { continue };
        match metric.kind {
            Kind::Gauge => {
                read.insert((metric.name, labels), Value::Gauge(value));
            }
            Kind::Counter => {
                read.insert((metric.name, labels), Value::Counter(value));
            }
            Kind::Histogram => {
                let bound = labels.iter().position(|(label, _)| label == "le");
                let Some(bound) = bound.map(|at| labels.remove(at).1) else { continue };
                let bound = bound.parse().unwrap_or(f64::INFINITY);
                let buckets =
                    read.entry((metric.name, labels)).or_insert_with(|| Value::Buckets(Vec::new()));
                if let Value::Buckets(buckets) = buckets {
                    buckets.push((bound, value));
                }
            }
        }
    }
    read
}

/// `name{label="value"} 1`; `None`: it is none.
fn sample(line: &str) -> Option<(&str, Labels, f64)> {
    let Some((name, mut rest)) = line.split_once('{') else {
        let (name, value) = line.split_once(' ')?;
        return Some((name, Vec::new(), value.parse().ok()?));
    };
    let mut labels = Vec::new();
    loop {
        if let Some(value) = rest.strip_prefix('}') {
            labels.sort();
            return Some((name, labels, value.trim().parse().ok()?));
        }
        let (label, behind) = rest.trim_start_matches(',').split_once("=\"")?;
        let mut value = String::new();
        let mut chars = behind.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => match chars.next()?.1 {
                    'n' => value.push('\n'),
                    escaped => value.push(escaped),
                },
                (_, plain) => value.push(plain),
            }
        };
        labels.push((label.to_owned(), value));
        rest = behind.get(end + 1..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Class, Metrics, Sample};

    #[test]
    fn what_the_metrics_write_is_read() {
        let metrics = Metrics::new();
        let billing = metrics.deliveries("billing");
        billing.attempted(Class::Success, 3);
        billing.seconds.observe(0.2);
        let text = metrics.encode(&[
            Sample::of("topic_head", "topic", "a\"}\\", 5.0),
            Sample::plain("start_time_seconds", 9.0),
        ]);
        let read = read(&text);
        let labels = |some: &[(&str, &str)]| -> Labels {
            some.iter().map(|(label, value)| ((*label).into(), (*value).into())).collect()
        };
        let arrived = labels(&[("class", "2xx"), ("subscription", "billing")]);
        assert_eq!(read[&("attempts", arrived)], Value::Counter(3.0));
        assert_eq!(read[&("topic_head", labels(&[("topic", "a\"}\\")]))], Value::Gauge(5.0));
        let took = &read[&("delivery_seconds", labels(&[("subscription", "billing")]))];
        let Value::Buckets(buckets) = took else { panic!("{took:?}") };
        assert_eq!(buckets[2..4], [(0.1, 0.0), (0.3, 1.0)]);
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, 1.0)));
        assert!(read.keys().all(|(name, _)| *name != "start_time_seconds"));
    }
}
