//! Secrets at rest: sealed under a master key, and what stays in the file of what was deleted.

use std::fs;

use milkrun::{
    seal::{MasterKey, Seal},
    settings::{SubscriptionSettings, TopicSettings},
    store::{
        NewSubscription, Options, Origin, Resealed, StartFrom, StoreError, SubscriptionSteer, open,
    },
};

use super::{Bench, NOW, name, subscribe, with_topic};

#[tokio::test]
async fn the_secrets_of_a_deleted_subscription_are_gone_from_the_file() {
    const SECRET: &str = "whsec_c2VjcmV0IHRoYXQgbXVzdCBub3Qgc3RheSBiZWhpbmQ=";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let store = open(&format!("sqlite:{}", path.display()), &Options::default()).await.unwrap();
    let topic = name("orders");
    store.put_topic(&topic, &TopicSettings::default(), NOW).await.unwrap();
    let secret = |number: usize| vec![SECRET.to_owned(); number];
    let new = |who: &str, secrets: usize| NewSubscription {
        name: name(who),
        origin: Origin::Api,
        topics: vec![topic.clone().into()],
        from: StartFrom::Earliest,
        settings: SubscriptionSettings::new("https://example.com/hook".into(), secret(secrets)),
    };
    // Some are short, and some do not fit into one page.
    for (who, secrets) in [("a", 1), ("b", 1), ("long", 300), ("last", 1)] {
        store.put_subscription(&new(who, secrets), NOW).await.unwrap();
    }
    let has = || {
        let bytes = fs::read(&path).unwrap();
        bytes.windows(40).filter(|bytes| *bytes == &SECRET.as_bytes()[6..46]).count()
    };
    let plain = SubscriptionSettings::new("https://example.com/hook".into(), Vec::new());
    store.set_subscription(&name("last"), &plain, None, NOW).await.unwrap();
    for who in ["a", "b", "long"] {
        store.steer_subscription(&name(who), SubscriptionSteer::Delete, NOW).await.unwrap();
    }
    store.close().await;
    assert_eq!(has(), 0, "left in the file");
}

pub(super) async fn settings_are_sealed_under_the_master_key(bench: &dyn Bench) {
    let (clear, topic) = with_topic(bench, TopicSettings::default()).await;
    subscribe(&clear, "billing", &topic).await;
    let gone = subscribe(&clear, "gone", &topic).await.name;
    clear.steer_subscription(&gone, SubscriptionSteer::Delete, NOW).await.unwrap();
    let url = clear.subscription(&name("billing")).await.unwrap().settings.url;
    clear.close().await;

    // What was kept in clear is read, and sealed on demand.
    let (first, second) = (MasterKey::fresh().unwrap().0, MasterKey::fresh().unwrap().0);
    let store = bench.open_sealed(Seal::new(Some(first.clone()), Vec::new())).await.unwrap();
    assert_eq!(store.subscription(&name("billing")).await.unwrap().settings.url, url);
    assert_eq!(store.reseal().await.unwrap(), Resealed { changed: 2, unchanged: 0 });
    assert_eq!(store.reseal().await.unwrap(), Resealed { changed: 0, unchanged: 2 });
    subscribe(&store, "shipping", &topic).await;
    assert_eq!(store.reseal().await.unwrap().unchanged, 3, "what is new is sealed at once");
    store.close().await;

    // Without its key nothing is read, and nothing is changed.
    for seal in [Seal::default(), Seal::new(Some(second.clone()), Vec::new())] {
        let store = bench.open_sealed(seal).await.unwrap();
        for error in [
            store.subscriptions(0).await.unwrap_err(),
            store.subscription(&name("shipping")).await.unwrap_err(),
            store.reseal().await.unwrap_err(),
        ] {
            assert!(matches!(error, StoreError::Refused(_)), "{error:?}");
            assert!(error.to_string().contains(first.id()), "{error}");
        }
        store.close().await;
    }

    // Another key takes its place.
    let both = Seal::new(Some(second.clone()), vec![first]);
    let store = bench.open_sealed(both).await.unwrap();
    assert_eq!(store.subscriptions(0).await.unwrap().len(), 2);
    assert_eq!(store.reseal().await.unwrap(), Resealed { changed: 3, unchanged: 0 });
    store.close().await;
    let store = bench.open_sealed(Seal::new(Some(second.clone()), Vec::new())).await.unwrap();
    assert_eq!(store.subscription(&name("shipping")).await.unwrap().settings.url, url);
    let plain = SubscriptionSettings::new("https://example.com/new".into(), Vec::new());
    store.set_subscription(&name("shipping"), &plain, None, NOW).await.unwrap();
    assert_eq!(store.reseal().await.unwrap(), Resealed { changed: 0, unchanged: 3 });
    store.close().await;

    // And in clear again.
    let store = bench.open_sealed(Seal::new(None, vec![second])).await.unwrap();
    assert_eq!(store.reseal().await.unwrap(), Resealed { changed: 3, unchanged: 0 });
    store.close().await;
    let store = bench.open().await;
    assert_eq!(store.subscription(&name("shipping")).await.unwrap().settings, plain);
    store.close().await;
}
