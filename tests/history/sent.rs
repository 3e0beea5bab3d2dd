//! What consumers got: all of it, in order, and again only where a fault explains it.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use super::{Delivery, Entry, History, Kind, Report, Rules, Subscription};

pub(super) fn check(
    name: &str,
    subscription: &Subscription,
    log: &[Entry],
    history: &History,
    rules: &Rules,
    report: &mut Report,
) {
    let mut by_version: BTreeMap<u64, Vec<&Delivery>> = BTreeMap::new();
    for delivery in &subscription.deliveries {
        by_version.entry(delivery.version).or_default().push(delivery);
    }
    for entry in log {
        let mut got = by_version.get(&entry.version).into_iter().flatten();
        if !got.any(|one| one.accepted_at().is_some()) {
            let text = format!("{name}: {} of {} versions", entry.version, log.len());
            report.found(Kind::Undelivered, text);
        }
    }
    if subscription.in_order {
        check_order(name, &subscription.deliveries, log, report);
    }
    for times in by_version.values() {
        for pair in times.windows(2) {
            check_again(name, pair[0], pair[1], history, rules, report);
        }
    }
}

/// A key goes forward one by one, each after the one before it was accepted. Where it goes back is for
/// [`check_again`]: from there it goes on one by one, or where it was before, for what goes back may be
/// one late request of a process that stood still.
fn check_order(name: &str, deliveries: &[Delivery], log: &[Entry], report: &mut Report) {
    let mut sizes: HashMap<&str, usize> = HashMap::new();
    let mut places: HashMap<u64, (&str, usize)> = HashMap::new();
    for entry in log.iter().filter(|entry| !entry.key.is_empty()) {
        let size = sizes.entry(&entry.key).or_default();
        *size += 1;
        places.insert(entry.version, (&entry.key, *size));
    }
    // The one before, and the furthest one.
    let mut lasts: HashMap<&str, [(usize, Option<&Delivery>); 2]> = HashMap::new();
    for now in deliveries {
        // What is not in the log is said elsewhere.
        let Some((key, place)) = places.get(&now.version) else { continue };
        let [last, furthest] = lasts.entry(key).or_insert([(0, None); 2]);
        let follows = |(before, delivery): &(usize, Option<&Delivery>)| {
            let accepted = delivery.is_none_or(|delivery| {
                delivery.accepted_at().is_some_and(|accepted| accepted <= now.started)
            });
            *place == before + 1 && accepted
        };
        if *place > last.0 && !follows(last) && !follows(furthest) {
            let text = format!("{name}: {now:?}, place {place} of {key}, after {:?}", last.1);
            report.found(Kind::Inverted, text);
        }
        *last = (*place, Some(now));
        if *place >= furthest.0 {
            *furthest = *last;
        }
    }
}

/// What was accepted is sent again only when a fault took what was known of it.
fn check_again(
    name: &str,
    first: &Delivery,
    again: &Delivery,
    history: &History,
    rules: &Rules,
    report: &mut Report,
) {
    if first.finished.is_some() && !first.accepted {
        return;
    }
    let mut faults = history.faults.iter().enumerate();
    let fault = faults.find(|(_, fault)| fault.healed + rules.reading >= first.started);
    let Some((number, fault)) = fault.filter(|(_, fault)| fault.began <= again.started) else {
        report.figures.unexplained += 1;
        let text = format!("{name}: {again:?} after {first:?} without a fault between");
        return report.found(Kind::SettledAgain, text);
    };
    let accepted = first.accepted_at();
    let age = accepted.map_or(Duration::ZERO, |at| fault.began.saturating_duration_since(at));
    if age.is_zero() {
        report.figures.in_flight += 1;
        return;
    }
    report.figures.unsaved += 1;
    report.figures.oldest[number] = report.figures.oldest[number].max(age);
    if rules.unsaved_max.is_some_and(|max| age > max) {
        let text = format!("{name}: {again:?} was accepted {age:?} before {}", fault.what);
        report.found(Kind::SettledAgain, text);
    }
}

/// How long after each fault every busy subscription had been served again.
pub(super) fn recovery(history: &History, rules: &Rules, report: &mut Report) {
    let busy: Vec<&Subscription> =
        history.subscriptions.values().filter(|subscription| subscription.busy).collect();
    let served = |subscription: &&Subscription, healed: Instant| {
        let accepted = subscription.deliveries.iter().filter_map(Delivery::accepted_at);
        accepted.filter(|at| *at >= healed).min().map(|at| at - healed)
    };
    for fault in &history.faults {
        let each = busy.iter().map(|subscription| served(subscription, fault.healed));
        let recovered = each.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max());
        report.figures.recovered.push(recovered);
        let is_slow = |max| recovered.is_none_or(|recovered| recovered > max);
        if !busy.is_empty() && rules.recovery_max.is_some_and(is_slow) {
            let text = format!("after {}: {recovered:?}", fault.what);
            report.found(Kind::Slow, text);
        }
    }
}
