//! What became of everything: nothing lost, renumbered, out of order within a key, or sent twice for
//! no reason.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    load::{Got, id},
    rig::{Rig, is_ordered},
};

/// When a process went, for what was under way there.
pub(crate) type Ends = Vec<Instant>;

/// How long after its end a process's last requests may still be read.
const READING: Duration = Duration::from_millis(200);

/// Figures of what was sent twice.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub requests: usize,
    pub events: u64,
    /// In flight at an end.
    pub in_flight: usize,
    /// Accepted before it, and not saved.
    pub unsaved: usize,
    /// How long before each end the oldest of those was accepted.
    pub oldest: Vec<Duration>,
    /// Without an end between: not explained.
    pub unexplained: usize,
}

/// Compares log and deliveries with what happened; panics on anything lost, twice in the log,
/// renumbered or inverted.
pub(crate) async fn account(rig: &Rig, had: &[u64], ends: &Ends) -> Figures {
    let api = rig.any();
    let mut keys: Vec<HashMap<u64, String>> = Vec::new();
    let mut figures = Figures {
        events: had.iter().sum(),
        oldest: vec![Duration::ZERO; ends.len()],
        ..Figures::default()
    };
    for (source, had) in had.iter().enumerate() {
        let log = api.log(&format!("t{source}")).await;
        assert_eq!(log.len() as u64, *had, "t{source}: lost, or twice in the log");
        let mut of_version = HashMap::new();
        for (n, line) in (1..).zip(&log) {
            let event: Value = serde_json::from_str(line).unwrap();
            assert_eq!(event["version"].as_u64(), Some(n), "a gap in {line}");
            // One source appends in the order of its list.
            assert_eq!(event["id"].as_str(), Some(&*id(source, n)), "in another order: {line}");
            of_version.insert(n, event["partitionkey"].as_str().unwrap_or_default().to_owned());
        }
        keys.push(of_version);
    }
    for (subscription, got) in rig.endpoints.got() {
        let topic = rig.load.topic_of(subscription);
        figures.requests += got.len();
        let versions: std::collections::BTreeSet<u64> = got.iter().map(|one| one.version).collect();
        assert!(
            versions.iter().copied().eq(1..=had[topic]),
            "b{subscription}: {} of {} versions came",
            versions.len(),
            had[topic]
        );
        if is_ordered(subscription) {
            check_order(subscription, &got, &keys[topic]);
        }
        check_twice(&got, ends, &mut figures);
    }
    figures
}

/// Within a key the first acceptances come in the order of the versions.
fn check_order(subscription: usize, got: &[Got], keys: &HashMap<u64, String>) {
    let mut first: BTreeMap<u64, Instant> = BTreeMap::new();
    for one in got {
        if let Some(finished) = one.finished {
            first.entry(one.version).and_modify(|at| *at = finished.min(*at)).or_insert(finished);
        }
    }
    let mut last: HashMap<&str, (u64, Instant)> = HashMap::new();
    for (version, at) in &first {
        let key = &*keys[version];
        if let Some((before, earlier)) = last.insert(key, (*version, *at)) {
            assert!(
                *at >= earlier,
                "b{subscription}: version {version} of key {key} was accepted before {before}"
            );
        }
    }
}

fn check_twice(got: &[Got], ends: &Ends, figures: &mut Figures) {
    let mut by_version: BTreeMap<u64, Vec<&Got>> = BTreeMap::new();
    for one in got {
        by_version.entry(one.version).or_default().push(one);
    }
    for pair in by_version.values().flat_map(|times| times.windows(2)) {
        let mut numbered = ends.iter().enumerate();
        let end = numbered.find(|(_, end)| **end + READING >= pair[0].started);
        let Some((number, end)) = end.filter(|(_, end)| **end <= pair[1].started) else {
            figures.unexplained += 1;
            continue;
        };
        let age = pair[0].finished.map_or(Duration::ZERO, |at| end.saturating_duration_since(at));
        if age.is_zero() {
            figures.in_flight += 1;
        } else {
            figures.unsaved += 1;
            figures.oldest[number] = figures.oldest[number].max(age);
        }
    }
}
