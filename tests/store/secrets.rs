//! What stays in the file of what was deleted.

use std::fs;

use milkrun::{
    settings::{SubscriptionSettings, TopicSettings},
    store::{NewSubscription, Options, Origin, StartFrom, SubscriptionSteer, open},
};

use super::{NOW, name};

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
