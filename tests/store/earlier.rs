//! A file of an earlier release opens, with everything in it good.
//!
//! `earlier/` was written by the release before checksums, clean to the end: ten events, of which one
//! waits; a paused subscription that lags by one; one whose nine events are dead letters; one whose
//! seven are to be tried again; a source with a cursor.

use std::{fs, io::Read as _, path::Path};

use flate2::read::GzDecoder;
use milkrun::event::{Data, Topic, Version};
use milkrun::store::{
    AttemptQuery, DeadReason, DeadSelect, ExceptionKind, Options, Read, Store, SubscriptionStatus,
    open, verify,
};

use super::{NOW, all, append, name};

fn unpack(packed: &[u8], to: &Path) {
    let mut bytes = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut bytes).expect("a packed file");
    fs::write(to, bytes).expect("a file");
}

/// Puts the file there, without what it traced.
pub(super) fn unpack_to(path: &Path) {
    unpack(include_bytes!("earlier/relay.db.gz"), path);
}

async fn reach(store: &dyn Store, who: &str) -> (Version, Vec<u64>) {
    let subscription = store.subscription(&name(who)).await.unwrap();
    let [position] = &subscription.positions[..] else { panic!("{subscription:?}") };
    let state = store.position(position.id).await.unwrap();
    assert!(state.open.is_empty());
    assert!(state.exceptions.iter().all(|one| one.kind == ExceptionKind::Retry));
    (state.reach, state.exceptions.iter().map(|one| one.version.0).collect())
}

#[tokio::test]
async fn a_file_of_an_earlier_release_is_good() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.db");
    unpack_to(&path);
    unpack(include_bytes!("earlier/relay.db-trace.gz"), &folder.path().join("relay.db-trace"));
    let url = format!("sqlite:{}", path.display());
    let store = open(&url, &Options::default()).await.unwrap();
    let topic: Topic = name("orders");

    let numbers: Vec<u64> = (1..=9).collect();
    let events = all(&store, &topic).await;
    assert_eq!(events.iter().map(|(version, _)| *version).collect::<Vec<_>>(), numbers);
    assert_eq!((events[0].1.as_str(), events[8].1.as_str()), ("1", "b"));
    let state = store.topic(&topic).await.unwrap();
    assert_eq!((state.head, state.oldest, state.epochs.len()), (Version(9), Version(1), 1));
    let page = store.read(&topic, Read::after(Version(7))).await.unwrap();
    let Data::Json(data) = &page.events[0].data else { panic!("{page:?}") };
    assert_eq!(data, "{\"n\": 1.5}");
    assert_eq!(page.events[0].attributes.get("subject").as_deref(), Some("käse"));

    assert_eq!(reach(&*store, "billing").await, (Version(8), Vec::new()));
    assert_eq!(reach(&*store, "dead").await, (Version(9), Vec::new()));
    assert_eq!(reach(&*store, "retry").await, (Version(7), numbers[..7].to_vec()));
    let billing = store.subscription(&name("billing")).await.unwrap();
    assert_eq!(billing.status, SubscriptionStatus::Paused);

    let letters = store.dead_letters(&name("dead"), &DeadSelect::All, 0, 100).await.unwrap();
    assert_eq!(letters.len(), 9);
    assert!(letters.iter().all(|letter| letter.reason == DeadReason::Attempts));
    assert!(letters.iter().all(|letter| letter.last.status == Some(400)));
    assert_eq!(store.redrive(&name("dead"), DeadSelect::All, None, NOW).await.unwrap(), 9);

    let shop = store.source(&name("shop")).await.unwrap();
    assert!(shop.cursor.is_some_and(|cursor| cursor.contains("\"value\":\"7\"")));
    assert_eq!((shop.walks, shop.appended, shop.mark), (1, 7, None));
    assert_eq!(shop.event_source.as_deref(), Some("https://shop.example/orders"));

    let waiting = store.pending(&topic, 0, 10).await.unwrap();
    assert_eq!(waiting.len(), 1);
    let query = AttemptQuery { limit: 100, ..AttemptQuery::default() };
    assert!(store.attempts(query).await.unwrap().len() > 20);

    // It goes on: the next version, and what is known is known.
    assert_eq!(append(&store, &topic, [1]).await.unwrap()[0].version, Version(10));
    let gaps = store.gaps(&topic, 10).await.unwrap();
    assert!(gaps.is_empty(), "{gaps:?}");
    assert!(store.troubles().is_empty());
    store.close().await;
    let verified = verify(&url).await.unwrap();
    assert!(verified.problems.is_empty(), "{verified:?}");
}
