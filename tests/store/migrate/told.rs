//! Everything that a store answers, as texts: two stores that are alike answer alike.

use std::{fmt::Debug, sync::Arc};

use milkrun::{
    event::{Topic, Version},
    store::{DeadSelect, Read, Store, StoreError, TopicState},
};

/// What a store says of itself.
pub(super) async fn told(store: &Arc<dyn Store>) -> Vec<String> {
    let mut told = Vec::new();
    let mut tell = |what: &str, answer: &dyn Debug| told.push(format!("{what}: {answer:?}"));
    tell("believed", &store.believed().await.unwrap());
    for state in store.topics().await.unwrap() {
        tell("topic", &state);
        tell("gaps", &store.gaps(&state.topic, 1_000).await.unwrap());
        tell("pending", &store.pending(&state.topic, 0, 1_000).await.unwrap());
        for line in log(store, &state).await {
            tell(state.topic.as_str(), &line);
        }
        for seconds in [0, 2, 4, 6] {
            let moment = super::super::later(seconds);
            tell("before", &store.version_before(&state.topic, moment).await.unwrap());
        }
        for version in (state.oldest.0..=state.head.0).map(Version).take(50) {
            tell("waited", &store.was_pending(&state.topic, version).await.unwrap());
            tell("states", &store.event_states(&state.topic, version).await.unwrap());
        }
    }
    for source in store.sources().await.unwrap() {
        tell("source", &source);
        tell("journal", &store.journal(&source.name, 100).await.map_err(|it| it.to_string()));
        tell("rejected", &store.rejected(&source.name, 100).await.unwrap());
    }
    tell("all that changed", &store.subscriptions(1).await.unwrap());
    for subscription in store.subscriptions(0).await.unwrap() {
        let settings = serde_json::to_string(&subscription.settings).unwrap();
        tell("subscription", &(&subscription, settings));
        for position in &subscription.positions {
            let state = store.position(position.id).await.unwrap();
            tell("position", &state);
            for one in &state.exceptions {
                let kept = store.kept_event(position.id, one.version).await;
                tell("kept", &kept.map_err(|_| "damaged"));
            }
        }
        let name = &subscription.name;
        tell("jobs", &store.replays(name).await.unwrap());
        tell("letters", &store.dead_letters(name, &DeadSelect::All, 0, 100).await.unwrap());
    }
    told
}

/// Every event of a topic, and where none can be read.
async fn log(store: &Arc<dyn Store>, state: &TopicState) -> Vec<String> {
    let topic: &Topic = &state.topic;
    let (mut told, mut after) = (Vec::new(), Version::ZERO);
    while after < state.head {
        match store.read(topic, Read::after(after)).await {
            Ok(page) => {
                told.extend(page.events.iter().map(|event| {
                    let sum = crc32fast::hash(event.data.bytes());
                    let form = std::mem::discriminant(&event.data);
                    let (attributes, cursor) = (event.attributes.as_str(), event.cursor());
                    format!("{cursor} {:?} {attributes} {form:?} {sum}", event.recorded)
                }));
                after = page.events.last().map(|event| event.version).or(page.passed).unwrap();
            }
            Err(StoreError::Damaged { from, to, .. }) => {
                told.push(format!("{from} to {to} are damaged"));
                after = to;
            }
            Err(error) => panic!("{topic} after {after}: {error:?}"),
        }
    }
    told
}

/// Compares what two stores say.
pub(super) fn assert_alike(before: &[String], after: &[String]) {
    for (before, after) in before.iter().zip(after) {
        let short = |text: &str| text.chars().take(4_000).collect::<String>();
        assert!(before == after, "\nwas {}\nis  {}", short(before), short(after));
    }
    assert_eq!(before.len(), after.len());
}
