//! From the file to the store: what can be refused is found before anything is changed.

use std::collections::{HashMap, HashSet};

use super::error::NodeError;
use crate::{
    clock::Clock,
    config::{Config, SourceConfig},
    event::{Name, Topic, TopicPattern, Version},
    notices,
    store::{
        NewSource, NewSubscription, Origin, SourceStatus, StartFrom, Steer, Store, StoreError,
        Subscription, SubscriptionStatus, SubscriptionSteer,
    },
};

/// Brings the store to what the file says.
pub(super) async fn apply(
    store: &dyn Store,
    config: &Config,
    clock: &Clock,
) -> Result<(), NodeError> {
    check(store, config).await?;
    config.warn();
    let now = clock.now();
    store.put_topic(&Topic::notices(), &notices::settings(), now).await?;
    // A subscription may name the relay's own topics, which are set by the relay.
    for (topic, settings) in config.topics.iter().filter(|(topic, _)| !topic.is_reserved()) {
        store.put_topic(topic, settings, now).await?;
    }
    for source in &config.sources {
        store.put_source(&new_source(source), now).await?;
    }
    for subscription in &config.subscriptions {
        store.put_subscription(subscription, now).await?;
    }
    remove_the_rest(store, config, clock).await
}

/// Whether the store can be brought to what the file says. Changes nothing.
///
/// # Errors
/// Names the first source whose cursor was stored for another contract, or the first subscription
/// whose name was taken through the API or that would begin ahead of a topic's head.
pub async fn check(store: &dyn Store, config: &Config) -> Result<(), NodeError> {
    for source in &config.sources {
        check_source(store, source).await?;
    }
    let states = store.topics().await?;
    let heads = states.iter().map(|state| (&state.topic, state.head)).collect();
    let all = store.subscriptions(0).await?;
    let known: HashMap<&Name, &Subscription> = all.iter().map(|one| (&one.name, one)).collect();
    for new in &config.subscriptions {
        check_subscription(new, known.get(&new.name).copied(), &heads)?;
    }
    Ok(())
}

/// A stored cursor is good for one kind, URL and cursor rule.
async fn check_source(store: &dyn Store, source: &SourceConfig) -> Result<(), NodeError> {
    match store.source(&source.name).await {
        Ok(known) if !known.accepts(&source.http.contract()) => Err(NodeError::Config(format!(
            "source `{}` has a cursor that was stored for another kind, URL or cursor rule; set \
             one first (`milkrun sources cursor {}`)",
            source.name, source.name
        ))),
        Ok(_) | Err(StoreError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn check_subscription(
    new: &NewSubscription,
    known: Option<&Subscription>,
    heads: &HashMap<&Topic, Version>,
) -> Result<(), NodeError> {
    if known.is_some_and(|known| known.origin == Origin::Api) {
        return Err(NodeError::Config(format!(
            "subscription `{}` was made through the API; delete it there or take another name",
            new.name
        )));
    }
    let StartFrom::After(from) = new.from else { return Ok(()) };
    let holds = |topic: &Topic| {
        known.is_some_and(|known| known.positions.iter().any(|held| held.topic == *topic))
    };
    let named = new.topics.iter().filter_map(TopicPattern::topic);
    for topic in named.filter(|topic| !holds(topic)) {
        // A topic that is not there yet begins empty.
        let head = heads.get(&topic).copied().unwrap_or(Version::ZERO);
        if from > head {
            return Err(NodeError::Config(format!(
                "subscription `{}`: `from: {}`: expected at most {}, for the head of topic \
                 `{topic}` is {head}",
                new.name,
                from.next(),
                head.next()
            )));
        }
    }
    Ok(())
}

fn new_source(source: &SourceConfig) -> NewSource {
    NewSource {
        name: source.name.clone(),
        topic: source.topic.clone(),
        contract: source.http.contract(),
        config_hash: config_hash(source),
    }
}

/// Identifies what a worker of the source must not mix with what was before: the topic too, for a
/// walk's journal is numbered in one topic.
pub(super) fn config_hash(source: &SourceConfig) -> String {
    format!("{} {}", source.http.fingerprint(), source.topic)
}

/// What left the file is kept as `removed` and finds its place again under its name.
async fn remove_the_rest(
    store: &dyn Store,
    config: &Config,
    clock: &Clock,
) -> Result<(), NodeError> {
    let named: HashSet<&Name> = config.sources.iter().map(|source| &source.name).collect();
    for source in store.sources().await? {
        if source.status != SourceStatus::Removed && !named.contains(&source.name) {
            store.steer_source(&source.name, Steer::Remove, clock.now()).await?;
        }
    }
    let named: HashSet<&Name> = config.subscriptions.iter().map(|one| &one.name).collect();
    for known in store.subscriptions(0).await? {
        let gone = known.origin == Origin::File
            && known.status != SubscriptionStatus::Removed
            && !named.contains(&known.name);
        if gone {
            let remove = SubscriptionSteer::Remove;
            store.steer_subscription(&known.name, remove, clock.now()).await?;
        }
    }
    Ok(())
}
