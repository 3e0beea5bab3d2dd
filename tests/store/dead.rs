//! Dead letters that hold their key back, and which are chosen.

use milkrun::{
    event::Version,
    store::{DeadSelect, Exception, ExceptionKind, PositionState, Settlement},
};

use super::{
    Bench, later, name,
    positions::{dead, retry, settle, settlement, with_position},
    trim_all,
};

fn stopped(version: u64) -> Exception {
    Exception { kind: ExceptionKind::Stopped, lane: Some(u64::MAX - version), ..retry(version) }
}

fn parked(version: u64) -> Exception {
    Exception { kind: ExceptionKind::Parked, lane: Some(u64::MAX - 2), ..retry(version) }
}

fn kinds(position: &PositionState) -> Vec<(u64, ExceptionKind)> {
    position.exceptions.iter().map(|one| (one.version.0, one.kind)).collect()
}

pub async fn a_key_stands_still_until_its_letter_is_redriven(bench: &dyn Bench) {
    let (store, _, position) = with_position(bench).await;
    settle(&store, Settlement { put: vec![retry(2)], ..settlement(&position, 5) }).await.unwrap();
    let died = Settlement {
        put: vec![stopped(2), parked(4)],
        dead: vec![dead(2), dead(3)],
        ..settlement(&position, 5)
    };
    settle(&store, died.clone()).await.unwrap();
    settle(&store, died).await.unwrap();
    store.close().await;
    drop(store);
    let store = bench.open().await;
    let found = store.position(position.id).await.unwrap();
    assert_eq!(found.exceptions, [stopped(2), parked(4)]);
    let who = name("billing");
    assert_eq!(store.dead_letters(&who, 0, 10).await.unwrap().len(), 2);
    assert_eq!(store.redrive(&who, DeadSelect::All, later(60)).await.unwrap(), 2);
    let found = store.position(position.id).await.unwrap();
    let again = &found.exceptions[0];
    assert_eq!((again.kind, again.attempts, again.tries), (ExceptionKind::Retry, 0, 0));
    assert_eq!((again.due, again.lane), (later(60), Some(u64::MAX - 2)), "its lane stays");
    assert_eq!(found.exceptions.len(), 3);
    assert!(store.dead_letters(&who, 0, 10).await.unwrap().is_empty());
}

pub async fn a_key_goes_on_when_its_letter_is_deleted(bench: &dyn Bench) {
    let (store, _, position) = with_position(bench).await;
    let died = Settlement {
        put: vec![stopped(2), parked(4)],
        dead: vec![dead(2), dead(3)],
        ..settlement(&position, 5)
    };
    settle(&store, died).await.unwrap();
    let who = name("billing");
    let edit = store.subscription(&who).await.unwrap().edit;
    assert_eq!(store.delete_dead_letters(&who, DeadSelect::All).await.unwrap(), 2);
    let found = store.position(position.id).await.unwrap();
    assert_eq!(kinds(&found), [(4, ExceptionKind::Parked)]);
    assert_eq!(store.subscriptions(edit).await.unwrap().len(), 1, "its holder looks");
}

pub async fn a_key_goes_on_when_its_letter_is_trimmed(bench: &dyn Bench) {
    let (store, _, position) = with_position(bench).await;
    let died = Settlement {
        put: vec![stopped(2), parked(4)],
        dead: vec![dead(2)],
        ..settlement(&position, 5)
    };
    settle(&store, died).await.unwrap();
    let edit = store.subscription(&name("billing")).await.unwrap().edit;
    trim_all(&store, later(31 * 86_400)).await;
    let found = store.position(position.id).await.unwrap();
    assert_eq!(kinds(&found), [(4, ExceptionKind::Parked)]);
    assert_eq!(store.subscriptions(edit).await.unwrap().len(), 1, "its holder looks");
}

pub async fn what_stands_still_is_redriven_however_full_it_is(bench: &dyn Bench) {
    let (store, _, position) = with_position(bench).await;
    let who = name("billing");
    let mut settings = store.subscription(&who).await.unwrap().settings;
    settings.max_exceptions = 3;
    store.set_subscription(&who, &settings, later(0)).await.unwrap();
    let died = Settlement {
        put: vec![stopped(2), parked(4), parked(5)],
        dead: vec![dead(1), dead(2)],
        reach: Version(5),
        ..settlement(&position, 5)
    };
    settle(&store, died).await.unwrap();
    assert_eq!(store.redrive(&who, DeadSelect::All, later(0)).await.unwrap(), 1);
    let found = store.position(position.id).await.unwrap();
    assert_eq!(kinds(&found)[0], (2, ExceptionKind::Retry));
    assert_eq!(store.dead_letters(&who, 0, 10).await.unwrap()[0].from, Version(1));
}
