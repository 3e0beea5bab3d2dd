//! Where an event stands at every subscription.

use milkrun::{
    event::Version,
    settings::SubscriptionSettings,
    store::{EventPlace, ExceptionKind, NewJob, NewSubscription, Origin, Settlement, StartFrom},
};

use super::{
    Bench, NOW, append, name,
    positions::{dead, retry, settlement, with_position},
    subscribe,
};

pub(super) async fn an_event_stands_somewhere_at_every_subscription(bench: &dyn Bench) {
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
            EventPlace::BeforeStart => "before start",
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

pub(super) async fn what_came_before_a_subscription_was_never_owed(bench: &dyn Bench) {
    let (store, topic, _) = with_position(bench).await;
    let new = NewSubscription {
        name: name("later"),
        origin: Origin::Api,
        topics: vec![topic.clone().into()],
        from: StartFrom::After(Version(6)),
        settings: SubscriptionSettings::new("https://example.com/hook".into(), Vec::new()),
    };
    let made = store.put_subscription(&new, NOW).await.unwrap();
    append(&store, &topic, [11]).await.unwrap();
    let place = async |version| {
        let states = store.event_states(&topic, Version(version)).await.unwrap();
        states.into_iter().find(|state| state.subscription == new.name).unwrap().place
    };
    let settle = async || {
        let position = store.position(made.positions[0].id).await.unwrap();
        store.settle(vec![settlement(&position, 11)]).await.remove(0).unwrap();
    };
    settle().await;
    assert_eq!(place(6).await, EventPlace::BeforeStart);
    assert_eq!(place(7).await, EventPlace::Settled);
    // What an operator goes back to is owed, and what he leaves out was.
    store.rewind(&new.name, None, Version(3), NOW).await.unwrap();
    assert_eq!(place(4).await, EventPlace::Waiting);
    store.rewind(&new.name, None, Version(9), NOW).await.unwrap();
    settle().await;
    assert_eq!((place(3).await, place(4).await), (EventPlace::BeforeStart, EventPlace::Settled));
}
