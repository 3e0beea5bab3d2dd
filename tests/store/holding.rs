//! Who does what: two nodes on one store.

use std::{collections::BTreeSet, sync::Arc};

use milkrun::store::{Member, NewMember, Share, Store, Work};

use super::{Bench, NOW, source, subscribe, with_topic};

async fn join(store: &Arc<dyn Store>, who: &str) -> Member {
    let work = BTreeSet::from(Work::ALL);
    store
        .join(&NewMember { name: who.to_owned(), roles: Vec::new(), work })
        .await
        .expect("a member")
}

/// Two nodes on a store with a source and a subscription; answers their handles and the numbers.
async fn two(bench: &dyn Bench) -> ([(Arc<dyn Store>, Member); 2], i64, i64) {
    let (first, topic) = with_topic(bench, milkrun::settings::TopicSettings::default()).await;
    let shop = first.put_source(&source(&topic), NOW).await.unwrap().id;
    let billing = subscribe(&first, "billing", &topic).await.id;
    let second = bench.beside(&first).await;
    let members = [join(&first, "one").await, join(&second, "two").await];
    assert_ne!(members[0].incarnation, members[1].incarnation);
    let [one, two] = members;
    ([(first, one), (second, two)], shop, billing)
}

pub(super) async fn each_piece_of_work_has_one_holder(bench: &dyn Bench) {
    let ([(one, first), (two, second)], shop, billing) = two(bench).await;
    for (work, number) in [(Work::Source, shop), (Work::Subscription, billing)] {
        // Claimed by turns until both have their part.
        let mut holders = Vec::new();
        for _ in 0..3 {
            let held = one.claim(&first, work).await.unwrap();
            let other = two.claim(&second, work).await.unwrap();
            holders = vec![held.has(number), other.has(number)];
            assert!(holders.iter().filter(|has| **has).count() <= 1, "{work:?}: two hold {number}");
        }
        assert!(holders.contains(&true), "{work:?}: nobody holds {number}");
    }
    one.renew(&first).await.unwrap();
    two.renew(&second).await.unwrap();
}

pub(super) async fn what_is_given_back_goes_to_the_next(bench: &dyn Bench) {
    let ([(one, first), (two, second)], shop, _) = two(bench).await;
    one.claim(&first, Work::Source).await.unwrap();
    let mut changes = two.changes();
    changes.mark_unchanged();
    one.give_back(&first, Work::Source).await.unwrap();
    changes.changed().await.expect("the other is told");
    assert!(two.claim(&second, Work::Source).await.unwrap().has(shop));
    let back = one.claim(&first, Work::Source).await.unwrap();
    assert!(!back.has(shop), "it is the other's now");
    // What somebody else holds is not given away.
    one.give_back(&first, Work::Source).await.unwrap();
    assert!(two.claim(&second, Work::Source).await.unwrap().has(shop));
}

pub(super) async fn an_earlier_incarnation_holds_nothing(bench: &dyn Bench) {
    let ([(one, first), _], shop, _) = two(bench).await;
    one.claim(&first, Work::Source).await.unwrap();
    one.give_back(&first, Work::Source).await.unwrap();
    let again = join(&one, "one").await;
    assert_ne!(again.incarnation, first.incarnation);
    let held = one.claim(&again, Work::Source).await.unwrap();
    let stale = one.claim(&first, Work::Source).await.unwrap_or(Share::Nothing);
    assert!(held.has(shop) && !stale.has(shop));
}
