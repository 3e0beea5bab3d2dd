//! Where an event stands at every subscription.

use milkrun::{
    event::Version,
    store::{EventPlace, ExceptionKind, NewJob, Settlement},
};

use super::{
    Bench, NOW, name,
    positions::{dead, retry, settlement, with_position},
    subscribe,
};

pub async fn an_event_stands_somewhere_at_every_subscription(bench: &dyn Bench) {
    let (store, topic, position) = with_position(bench).await;
    subscribe(&store, "other", &topic).await;
    let job = NewJob { topic: topic.clone(), from: Version(2), to: Version(3), rate: None };
    let job = store.start_replay(&name("billing"), &job, NOW).await.unwrap();
    let settled = Settlement {
        open: vec![Version(1)],
        put: vec![retry(2)],
        dead: vec![dead(3)],
        ..settlement(&position, 5)
    };
    store.settle(vec![settled]).await.remove(0).unwrap();
    let at = async |version| store.event_states(&topic, Version(version)).await.unwrap();
    let words = async |version| {
        let states = at(version).await.into_iter();
        let word = |place: &EventPlace| match place {
            EventPlace::Waiting => "waiting",
            EventPlace::InFlight => "in flight",
            EventPlace::Excepted { kind: ExceptionKind::Retry, attempts: 2, .. } => "retry",
            EventPlace::Excepted { .. } => "excepted",
            EventPlace::Dead { .. } => "dead",
            EventPlace::Settled => "settled",
        };
        states.map(|state| (state.replay, word(&state.place))).collect::<Vec<_>>()
    };
    let replay = Some(job.id);
    assert_eq!(words(1).await, [(None, "in flight"), (None, "waiting")]);
    assert_eq!(words(2).await, [(None, "retry"), (replay, "waiting"), (None, "waiting")]);
    assert_eq!(words(3).await, [(None, "dead"), (replay, "waiting"), (None, "waiting")]);
    assert_eq!(words(4).await, [(None, "settled"), (None, "waiting")]);
    assert_eq!(words(9).await, [(None, "waiting"), (None, "waiting")]);
    assert_eq!(at(1).await[1].subscription, name("other"));
}
