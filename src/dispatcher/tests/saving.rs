//! Settlements that are handed over together.

use super::{super::saves::Saves, rig::*};
use crate::{
    dispatcher::*,
    event::{Micros, Version},
    store::{Settlement, StoreError},
};

fn settlement(position: i64, fence: u64, reach: u64, now: Micros) -> Settlement {
    Settlement { position, fence, reach: Version(reach), now, ..Settlement::default() }
}

/// Two events, and the position that owes them.
async fn ready() -> (Rig, i64, Arc<Saves>) {
    let rig = Rig::new(settings()).await;
    rig.publish(2).await;
    let position = rig.subscription().await.positions[0].id;
    (rig, position, Arc::default())
}

#[tokio::test]
async fn each_has_its_own_answer() {
    let (rig, position, saves) = ready().await;
    let now = rig.clock.now();
    let (stale, good, unknown) = tokio::join!(
        saves.save(&rig.store, settlement(position, 77, 2, now)),
        saves.save(&rig.store, settlement(position, 1, 1, now)),
        saves.save(&rig.store, settlement(position + 1, 1, 1, now)),
    );
    assert!(matches!(stale, Err(StoreError::Stale)), "{stale:?}");
    good.unwrap();
    assert!(unknown.is_err());
    assert_eq!(rig.subscription().await.positions[0].reach, Version(1));
    saves.save(&rig.store, settlement(position, 1, 2, now)).await.unwrap();
}

#[tokio::test]
async fn whoever_came_first_may_go_and_the_others_are_saved() {
    let (rig, position, saves) = ready().await;
    let now = rig.clock.now();
    let mut first = Box::pin(saves.save(&rig.store, settlement(position, 1, 1, now)));
    assert!(futures_util::poll!(&mut first).is_pending());
    let second = saves.save(&rig.store, settlement(position, 1, 2, now));
    drop(first);
    let answer = tokio::time::timeout(DEADLINE, second).await;
    answer.expect("it waits for one that is gone").unwrap();
    assert_eq!(rig.subscription().await.positions[0].reach, Version(2));
}
