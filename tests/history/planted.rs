//! Each kind of fault is planted in a history that has none, and is found.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    Delivery, Entry, Fault, History, Kind, Reading, Report, Rules, Subscription, Topic, Write,
    check,
};

const RULES: Rules = Rules {
    reading: Duration::from_millis(10),
    unsaved_max: Some(Duration::from_millis(50)),
    recovery_max: Some(Duration::from_secs(1)),
};

/// Moments of one history.
struct Time(Instant);

impl Time {
    fn at(&self, millis: u64) -> Instant {
        self.0 + Duration::from_millis(millis)
    }

    /// A request that is accepted 2 ms later.
    fn sent(&self, version: u64, millis: u64) -> Delivery {
        let (started, finished) = (self.at(millis), Some(self.at(millis + 2)));
        Delivery { version, started, finished, accepted: true }
    }
}

fn entry(version: u64, id: &str, epoch: &str) -> Entry {
    // Odd ones have one key, even ones another.
    let key = if version % 2 == 1 { "odd" } else { "even" };
    Entry { version, id: id.into(), key: key.into(), epoch: epoch.into() }
}

/// Six events from two producers, one of them published, with a node that was killed after 300 ms.
fn sound() -> (History, Time) {
    let time = Time(Instant::now());
    let ids = ["a1", "b1", "a2", "a3", "b2", "p1"];
    let log: Vec<Entry> = (1..).zip(ids).map(|(version, id)| entry(version, id, "")).collect();
    let page = |range: std::ops::Range<usize>| Reading::Page {
        after: range.start as u64,
        epoch: "one".into(),
        entries: log[range].iter().map(|it| Entry { epoch: "one".into(), ..it.clone() }).collect(),
    };
    let list = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    let topic = Topic {
        emitted: vec![list(&["a1", "a2", "a3"]), list(&["b1", "b2"])],
        told: vec![entry(6, "p1", "one")],
        unknown: ["p2".to_owned()].into(),
        readers: vec![vec![page(0..2), page(2..2), page(2..6)]],
        epochs: vec![("one".into(), 0)],
        log,
    };
    let deliveries = (1..=6).map(|version| time.sent(version, version * 50)).collect();
    // In flight at the kill, and once more.
    let mut deliveries: Vec<Delivery> = deliveries;
    deliveries[5].finished = None;
    deliveries.push(time.sent(6, 700));
    let subscription =
        Subscription { topic: "orders".into(), in_order: true, busy: true, deliveries };
    let write = |fence, progress| Write { of: "position 1".into(), fence, progress };
    let history = History {
        topics: BTreeMap::from([("orders".into(), topic)]),
        subscriptions: BTreeMap::from([("billing".into(), subscription)]),
        writes: vec![write(1, 2), write(1, 4), write(2, 4), write(2, 6)],
        faults: vec![Fault::at("a kill", time.at(301))],
    };
    (history, time)
}

/// What is found when something is planted.
fn found(plant: impl FnOnce(&mut History, &Time)) -> Report {
    let (mut history, time) = sound();
    plant(&mut history, &time);
    check(&history, &RULES)
}

fn topic(history: &mut History) -> &mut Topic {
    history.topics.get_mut("orders").expect("the topic")
}

fn deliveries(history: &mut History) -> &mut Vec<Delivery> {
    &mut history.subscriptions.get_mut("billing").expect("the subscription").deliveries
}

/// Panics unless this kind was found, and nothing else.
fn only(kind: Kind, report: &Report) {
    assert_eq!(report.kinds().into_keys().collect::<Vec<_>>(), [kind], "{:?}", report.findings);
}

fn check_kinds(report: &Report) -> Vec<Kind> {
    report.kinds().into_keys().collect()
}

#[test]
fn nothing_is_found_in_a_sound_history() {
    let figures = found(|_, _| {}).clean();
    assert_eq!((figures.events, figures.requests, figures.in_flight), (6, 7, 1));
    assert_eq!(figures.recovered, [Some(Duration::from_millis(401))]);
}

#[test]
fn what_is_lost_is_found() {
    only(Kind::Lost, &found(|it, _| topic(it).emitted[0].push("a4".into())));
    // An acknowledged one that is not in the log.
    only(Kind::Lost, &found(|it, _| topic(it).told.push(entry(7, "p3", "one"))));
    // One that nobody knows of may be lost.
    found(|it, _| topic(it).unknown.insert("p4".into()).then_some(()).expect("new")).clean();
}

#[test]
fn a_gap_is_found() {
    let report = found(|it, time| {
        topic(it).log.push(entry(8, "a4", ""));
        topic(it).emitted[0].push("a4".into());
        deliveries(it).push(time.sent(8, 800));
    });
    only(Kind::Gap, &report);
}

#[test]
fn what_is_renumbered_is_found() {
    only(Kind::Renumbered, &found(|it, _| topic(it).told.push(entry(2, "a1", "one"))));
    let report = found(|it, _| {
        let read = vec![entry(1, "a1", "one"), entry(2, "x", "one")];
        let page = Reading::Page { after: 0, epoch: "one".into(), entries: read };
        topic(it).readers.push(vec![page]);
    });
    only(Kind::Renumbered, &report);
}

#[test]
fn what_is_twice_in_the_log_is_found() {
    let report = found(|it, time| {
        topic(it).log.push(entry(7, "b2", ""));
        deliveries(it).push(time.sent(7, 800));
    });
    assert!(report.kinds().contains_key(&Kind::Duplicated), "{:?}", report.findings);
}

#[test]
fn what_is_not_where_its_producer_has_it_is_found() {
    only(Kind::Misplaced, &found(|it, _| topic(it).emitted[0].swap(0, 1)));
    let report = found(|it, time| {
        topic(it).log.push(entry(7, "nobody's", ""));
        deliveries(it).push(time.sent(7, 800));
    });
    only(Kind::Misplaced, &report);
}

#[test]
fn what_a_reader_skips_is_found() {
    let report = found(|it, _| {
        let Reading::Page { entries, .. } = &mut topic(it).readers[0][2] else { return };
        entries.remove(1);
    });
    only(Kind::Skipped, &report);
    // Between two pages.
    let report = found(|it, _| {
        let Reading::Page { entries, .. } = &mut topic(it).readers[0][2] else { return };
        entries.remove(0);
    });
    only(Kind::Skipped, &report);
    // By the cursor that leads on.
    let report = found(|it, _| {
        let Reading::Page { entries, .. } = &mut topic(it).readers[0][0] else { return };
        entries.pop();
    });
    only(Kind::Skipped, &report);
}

/// A failover that lost versions 5 and 6, of which 5 was read.
fn failed_over(it: &mut History, announced: bool) {
    let topic = topic(it);
    topic.epochs.push(("two".into(), 4));
    let read = |after, epoch: &str, entries| Reading::Page { after, epoch: epoch.into(), entries };
    let one = [(1, "a1"), (2, "b1"), (3, "a2"), (4, "a3"), (5, "gone")];
    let one = one.map(|(version, id)| entry(version, id, "one")).to_vec();
    let two = |from: usize| topic.log[from..].iter().map(|it| entry(it.version, &it.id, "two"));
    let mut reader = vec![read(0, "one", one)];
    if announced {
        reader.push(Reading::Changed { last_common: 4 });
        reader.push(read(4, "two", two(4).collect()));
    } else {
        reader.push(read(5, "two", two(5).collect()));
    }
    topic.readers = vec![reader];
}

#[test]
fn an_epoch_that_nobody_tells_of_is_found() {
    found(|it, _| failed_over(it, true)).clean();
    only(Kind::Unannounced, &found(|it, _| failed_over(it, false)));
}

#[test]
fn what_never_came_is_found() {
    let report = found(|it, _| deliveries(it).truncate(6));
    assert!(report.kinds().contains_key(&Kind::Undelivered), "{:?}", report.findings);
}

#[test]
fn what_is_inverted_within_a_key_is_found() {
    // 3 before 1 was accepted.
    let report = found(|it, time| deliveries(it)[0].finished = Some(time.at(200)));
    only(Kind::Inverted, &report);
    let report = found(|it, _| {
        let deliveries = deliveries(it);
        let (first, third) = (deliveries[0].version, deliveries[2].version);
        (deliveries[0].version, deliveries[2].version) = (third, first);
    });
    only(Kind::Inverted, &report);
    // A late request of a process that stood still is no inversion, a skip after it is one.
    found(|it, time| deliveries(it).insert(6, time.sent(5, 400))).clean();
    let skips = |it: &mut History, time: &Time| {
        let late = [1, 5].map(|version| time.sent(version, 710 + version));
        deliveries(it).extend(late);
    };
    let report = check_kinds(&found(skips));
    assert!(report.contains(&Kind::Inverted), "{report:?}");
    // Without an order there is none.
    let report = found(|it, time| {
        deliveries(it)[0].finished = Some(time.at(200));
        it.subscriptions.get_mut("billing").expect("it").in_order = false;
    });
    report.clean();
}

#[test]
fn what_is_sent_again_after_its_settlement_is_found() {
    // Without a fault between.
    only(Kind::SettledAgain, &found(|it, time| deliveries(it).insert(1, time.sent(1, 60))));
    // Accepted long before the kill.
    only(Kind::SettledAgain, &found(|it, time| deliveries(it).push(time.sent(3, 800))));
    // Accepted just before it.
    found(|it, time| deliveries(it).extend([5].map(|version| time.sent(version, 800)))).clean();
    // What was refused is tried again.
    let report = found(|it, time| {
        let refused = Delivery { accepted: false, ..time.sent(3, 140) };
        deliveries(it).insert(2, refused);
    });
    report.clean();
}

#[test]
fn a_stale_write_is_found() {
    let plant = |fence, progress| {
        found(move |it, _| it.writes.push(Write { of: "position 1".into(), fence, progress }))
    };
    only(Kind::Stale, &plant(1, 7));
    only(Kind::Stale, &plant(2, 5));
    plant(3, 6).clean();
}

#[test]
fn what_does_not_go_on_in_time_is_found() {
    let report = found(|it, time| {
        let at = time.at(1_400);
        let again = deliveries(it).last_mut().expect("one");
        (again.started, again.finished) = (at, Some(at));
    });
    only(Kind::Slow, &report);
}
