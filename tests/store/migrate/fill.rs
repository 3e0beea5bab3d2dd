//! A store with something of everything.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use milkrun::{
    event::{Data, Topic, Version},
    settings::{SubscriptionSettings, TopicSettings},
    store::{
        Append, DeadSelect, Exception, ExceptionKind, NewEvent, NewGap, NewJob, NewRejected,
        NewSource, NewSubscription, Origin, Pending, Settlement, SourceProgress, StartFrom, Steer,
        Store, SubscriptionSteer,
    },
};

use super::super::{
    NOW, append_at, events, later, name,
    positions::{dead, retry, settle, settlement},
    source, trim_all,
};

/// Events that go into one batch of a move are fewer.
pub(super) const MANY: u64 = 4_500;

/// Fills a new store.
pub(super) async fn fill(store: &Arc<dyn Store>) {
    logs(store).await;
    consumers(store).await;
    trim_all(store, later(30)).await;
    redriven(store).await;
    producers(store).await;
    waiting(store).await;
    store.delete_topic(&name("gone"), later(40)).await.unwrap();
    store.keep_believed(later(50)).await.unwrap();
}

/// Topics with events of every form, one of many, one in its second epoch, and one that goes.
async fn logs(store: &Arc<dyn Store>) {
    for topic in ["orders", "bills", "empty", "gone", "metrics"] {
        store.put_topic(&name(topic), &TopicSettings::default(), NOW).await.unwrap();
    }
    let small = TopicSettings {
        max_count: Some(20),
        owed: Duration::ZERO,
        dedupe_count: 30,
        ..TopicSettings::default()
    };
    store.put_topic(&name("orders"), &small, NOW).await.unwrap();
    append_at(store, &name("orders"), 1..=25, NOW).await.unwrap();
    store.new_epoch(&name("orders"), "a backup was put back: \u{fc}", later(1)).await.unwrap();
    append_at(store, &name("orders"), 26..=40, later(2)).await.unwrap();
    append_at(store, &name("gone"), 1..=5, later(2)).await.unwrap();
    for first in (1..=MANY).step_by(500) {
        let ids = first..first + 500;
        append_at(store, &name("metrics"), ids, later(2 + first / 500)).await.unwrap();
    }
    let data = [
        Data::None,
        Data::Json(Bytes::from_static(b"{\"a\" : 1.50, \"b\":\"\\u0000\"}")),
        Data::Text(Bytes::from("k\u{e4}se\0")),
        Data::Text(Bytes::new()),
        Data::Binary(Bytes::from_static(&[0, 255, 7])),
        Data::Binary(Bytes::from(vec![9; 3 << 20])),
        Data::Binary(Bytes::from(vec![8; 3 << 20])),
    ];
    let made = events(100..107)
        .into_iter()
        .zip(data)
        .map(|(event, data)| NewEvent { data, ..event })
        .collect();
    put(store, &name("bills"), made, None).await;
    append_at(store, &name("bills"), 1..=9, later(3)).await.unwrap();
}

async fn put(
    store: &Arc<dyn Store>,
    topic: &Topic,
    events: Vec<NewEvent>,
    progress: Option<SourceProgress>,
) -> Vec<milkrun::store::Placed> {
    let append = Append { topic: topic.clone(), events, progress, now: later(4) };
    store.append(append).await.unwrap()
}

/// Subscriptions of every kind, with positions that have something open and excepted.
async fn consumers(store: &Arc<dyn Store>) {
    let new = |who: &str, topics: &[&str], from| NewSubscription {
        name: name(who),
        origin: Origin::Api,
        topics: topics.iter().map(|topic| topic.parse().unwrap()).collect(),
        from,
        settings: SubscriptionSettings::new(
            format!("https://example.com/{who}"),
            vec!["whsec_c2VjcmV0IHRoYXQgaXMgbW92ZWQgYWxvbmc=".into()],
        ),
    };
    for one in [
        new("billing", &["orders", "b*"], StartFrom::Earliest),
        new("audit", &["orders"], StartFrom::After(Version(30))),
        new("paused", &["bills"], StartFrom::Latest),
        new("deleted", &["bills"], StartFrom::Latest),
    ] {
        store.put_subscription(&one, later(5)).await.unwrap();
    }
    let file = NewSubscription { origin: Origin::File, ..new("file", &["*"], StartFrom::Earliest) };
    store.put_subscription(&file, later(5)).await.unwrap();
    let steer = async |who: &str, how| {
        store.steer_subscription(&name(who), how, later(6)).await.unwrap();
    };
    steer("paused", SubscriptionSteer::Pause).await;
    steer("deleted", SubscriptionSteer::Delete).await;
    steer("file", SubscriptionSteer::Remove).await;
    let billing = store.subscription(&name("billing")).await.unwrap();
    store.save_health(billing.id, billing.resets, "{\"failures\":3}".into()).await.unwrap();
    let at = billing.positions.iter().find(|one| one.topic.as_str() == "orders").unwrap();
    let position = store.position(at.id).await.unwrap();
    let stopped = Exception { kind: ExceptionKind::Stopped, lane: Some(u64::MAX - 7), ..retry(27) };
    let parked = Exception { kind: ExceptionKind::Parked, lane: Some(7), ..retry(29) };
    let saved = Settlement {
        open: vec![Version(31), Version(33)],
        put: vec![retry(24), stopped, parked],
        dead: vec![dead(2), dead(3), dead(27), dead(28)],
        delivered: 20,
        ..settlement(&position, 35)
    };
    settle(store, saved).await.unwrap();
    let job = NewJob {
        topic: name("bills"),
        from: Version(2),
        to: Version(12),
        rate: Some("10/s".parse().unwrap()),
    };
    let ended = store.start_replay(&name("billing"), &job, later(7)).await.unwrap();
    store.cancel_replay(&name("billing"), ended.id, later(8)).await.unwrap();
    store.start_replay(&name("billing"), &job, later(9)).await.unwrap();
}

/// One letter whose event the log has let go of is tried again.
async fn redriven(store: &Arc<dyn Store>) {
    let who = name("billing");
    let letters = store.dead_letters(&who, &DeadSelect::All, 0, 100).await.unwrap();
    let oldest = letters.iter().find(|letter| letter.from == Version(2)).unwrap();
    assert!(oldest.event.is_some(), "{letters:?}");
    let ids = DeadSelect::Ids(vec![oldest.id]);
    assert_eq!(store.redrive(&who, ids, None, later(31)).await.unwrap(), 1);
}

/// A source in the middle of a walk, one that stands still, and one that left the file.
async fn producers(store: &Arc<dyn Store>) {
    let topic = name("bills");
    let one = store.put_source(&source(&topic), later(10)).await.unwrap();
    let page = SourceProgress {
        source: one.id,
        fence: one.fence,
        mark: Some(Some("page 2".into())),
        cursor: Some("{\"value\":7}".into()),
        journal: events([3_006, 3_005, 3_004]),
        rejected: vec![NewRejected { reason: "no id".into(), item: vec![0, 1, 255] }],
        gap: Some(NewGap { reason: "bound_reached".into(), detail: "more than 10 pages".into() }),
        next_poll: Some(later(90)),
        report: Some("{\"failures\":1}".into()),
        ..SourceProgress::default()
    };
    put(store, &topic, events([3_001, 1]), Some(page)).await;
    for (who, how) in [("set", Steer::Cursor("9".into())), ("left", Steer::Remove)] {
        let new = NewSource { name: name(who), ..source(&topic) };
        store.put_source(&new, later(11)).await.unwrap();
        store.steer_source(&new.name, how, later(12)).await.unwrap();
    }
    let other = NewSource { contract: "other".into(), config_hash: "2".into(), ..source(&topic) };
    store.put_source(&NewSource { name: name("left"), ..other }, later(13)).await.unwrap();
}

/// Events that are due later, prepared, committed, and gone into the log.
async fn waiting(store: &Arc<dyn Store>) {
    let topic = name("bills");
    let wait = |ids: std::ops::RangeInclusive<u64>, due| {
        let wait = move |event| NewEvent { deliver_at: Some(due), ..event };
        events(ids).into_iter().map(wait).collect::<Vec<_>>()
    };
    put(store, &topic, wait(5_001..=5_003, later(20)), None).await;
    assert_eq!(store.release_pending(later(20), 2).await.unwrap().len(), 2);
    put(store, &topic, wait(5_004..=5_005, later(600)), None).await;
    let prepared = put(store, &topic, wait(5_006..=5_009, Pending::PREPARED), None).await;
    let [first, second] = [0, 1].map(|at: usize| prepared[at].pending.unwrap());
    store.commit_pending(&topic, first, later(700), later(21)).await.unwrap();
    store.commit_pending(&topic, second, later(22), later(22)).await.unwrap();
    let last = prepared[3].pending.unwrap();
    store.cancel_pending(&topic, last).await.unwrap();
}
