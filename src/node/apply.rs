//! From the file to the store: what can be refused is found before anything is changed.

use std::{collections::HashMap, sync::Arc};

use probes::http::HttpProbe;

use super::{error::NodeError, leaving::Leaving};
use crate::{
    clock::Clock,
    config::{Config, SourceConfig},
    event::{Name, Topic, TopicPattern, Version},
    notices::{self, Notice},
    prober::{Schedule, SourceSetup},
    settings::TopicSettings,
    store::{
        NewSource, NewSubscription, Origin, SourceState, SourceStatus, StartFrom, Store, Stored,
        Subscription, SubscriptionStatus, is_known_source, is_known_subscription,
    },
    stuck::Stuck,
};

/// What became of a file.
pub(super) struct Applied {
    /// How its sources are probed.
    pub(super) setups: Vec<SourceSetup>,
    /// What left it.
    pub(super) removed: Vec<Notice>,
}

/// When a file is applied: what becomes of what it does not name any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// The start of the only node: it goes.
    Start,
    /// The start of a node among others, whose files may be newer: it stays, and is told.
    StartAmongOthers,
    /// A changed file: it goes, unless it is most of what runs and that is not allowed.
    Reload,
}

/// Brings the store to what the file says. A source that needs a cursor stands still and keeps
/// nothing else from being applied.
pub(super) async fn apply(
    store: &dyn Store,
    config: &Config,
    clock: &Clock,
    occasion: Occasion,
) -> Result<Applied, NodeError> {
    let stored = Stored::of(store).await?;
    check(&stored, config)?;
    let leaving = Leaving::of(&stored, config);
    if occasion == Occasion::Reload {
        leaving.check(config)?;
    }
    let known = by_name(&stored.sources);
    let probes: Result<Vec<_>, _> = config
        .sources
        .iter()
        .map(|source| probe(source, known.get(&source.name).copied()))
        .collect();
    let probes = probes?;
    config.warn();
    let now = clock.now();
    store.put_topic(&Topic::notices(), &notices::settings(), now).await?;
    // A subscription may name the relay's own topics, which are set by the relay.
    // Of what is as it was nothing is asked again: there may be thousands.
    let topics: HashMap<&Topic, &TopicSettings> =
        stored.topics.iter().map(|state| (&state.topic, &state.settings)).collect();
    for (topic, settings) in config.topics.iter().filter(|(topic, _)| !topic.is_reserved()) {
        let known = topics.get(topic);
        if known != Some(&settings) {
            store.put_topic(topic, settings, now).await?;
            tell_topic(topic, known.is_some());
        }
    }
    let mut setups = Vec::with_capacity(probes.len());
    for (source, probe) in config.sources.iter().zip(probes) {
        let new = source.new_source();
        let known = known.get(&source.name).copied();
        tell_change(known, &new);
        let state = match known {
            Some(known) if is_known_source(known, &new) => known.clone(),
            _ => store.put_source(&new, now).await?,
        };
        if let Some(stuck) = Stuck::of(&state).filter(|_| state.needs_cursor()) {
            tracing::warn!(
                event = "source.stuck",
                source = %state.name,
                "{}; run {}", stuck.message, stuck.commands()
            );
        }
        setups.push(setup(source, new, state.id, probe));
    }
    let subscriptions = subscriptions_by_name(&stored);
    for subscription in &config.subscriptions {
        let known = subscriptions.get(&subscription.name);
        if !known.is_some_and(|known| is_known_subscription(known, subscription)) {
            store.put_subscription(subscription, now).await?;
            tell_subscription(known.copied(), subscription);
        }
    }
    let removed = if occasion == Occasion::StartAmongOthers {
        leaving.tell_kept();
        Vec::new()
    } else {
        leaving.remove(store, clock).await?
    };
    Ok(Applied { setups, removed })
}

/// Says what a file makes of a source, where that is not plain from its standing still.
fn tell_change(known: Option<&SourceState>, new: &NewSource) {
    let Some(known) = known else {
        return tracing::info!(
            event = "source.added", source = %new.name, topic = %new.topic,
            "is new"
        );
    };
    if known.topic != new.topic {
        tracing::warn!(
            event = "source.topic_changed",
            source = %new.name,
            "its topic is now `{}`: what it finds from now on goes there, what it found before \
             stays in `{}`",
            new.topic,
            known.topic
        );
    }
    if known.status == SourceStatus::Removed {
        tracing::info!(
            event = "source.returned", source = %new.name,
            "is back, and goes on where it was"
        );
    } else if known.config_hash != new.config_hash && known.goes_with(new) {
        tracing::info!(
            event = "source.changed", source = %new.name,
            "has changed settings, and goes on where it was"
        );
    }
}

/// Says what a file made of a topic that was not as the file has it.
fn tell_topic(topic: &Topic, is_known: bool) {
    if is_known {
        tracing::info!(event = "topic.changed", %topic, "has changed settings");
    } else {
        tracing::info!(event = "topic.added", %topic, "is new");
    }
}

/// Says what a file made of a subscription that was not as the file has it.
fn tell_subscription(known: Option<&Subscription>, new: &NewSubscription) {
    let subscription = &new.name;
    match known.map(|known| known.status) {
        None => tracing::info!(event = "subscription.added", %subscription, "is new"),
        Some(SubscriptionStatus::Removed) => tracing::info!(
            event = "subscription.returned", %subscription,
            "is back, and goes on where it was"
        ),
        Some(_) => tracing::info!(
            event = "subscription.changed", %subscription,
            "has changed settings, and goes on where it was"
        ),
    }
}

/// Whether the store can be brought to what the file says; answers which sources will stand still
/// until they are given a cursor. Changes nothing.
///
/// # Errors
/// Names two sources of one topic that would take each other's events for duplicates, or the first
/// subscription whose name was taken through the API or that would begin ahead of a topic's head.
pub fn check(stored: &Stored, config: &Config) -> Result<Vec<Stuck>, NodeError> {
    let known = by_name(&stored.sources);
    check_event_sources(config, &known)?;
    let heads = stored.topics.iter().map(|state| (&state.topic, state.head)).collect();
    let held = subscriptions_by_name(stored);
    for new in &config.subscriptions {
        check_subscription(new, held.get(&new.name).copied(), &heads)?;
    }
    let stuck = |source: &SourceConfig| Stuck::with(known.get(&source.name)?, &source.new_source());
    Ok(config.sources.iter().filter_map(stuck).collect())
}

fn by_name(sources: &[SourceState]) -> HashMap<&Name, &SourceState> {
    sources.iter().map(|state| (&state.name, state)).collect()
}

fn subscriptions_by_name(stored: &Stored) -> HashMap<&Name, &Subscription> {
    stored.subscriptions.iter().map(|one| (&one.name, one)).collect()
}

/// An event is known by its source and id, so two sources of one topic must not share the first.
/// The file alone was looked at when it was read; a source that is stored has what it began with.
fn check_event_sources(
    config: &Config,
    known: &HashMap<&Name, &SourceState>,
) -> Result<(), NodeError> {
    let mut seen: HashMap<(&Topic, String), &SourceConfig> = HashMap::new();
    for source in &config.sources {
        let text = source.event_source().chosen(known.get(&source.name).copied()).to_owned();
        if let Some(first) = seen.insert((&source.topic, text.clone()), source) {
            // The events of a new one cannot be repeated yet.
            let (keeps, changes) =
                if known.contains_key(&first.name) { (first, source) } else { (source, first) };
            return Err(NodeError::Config(changes.shares(keeps, &text)));
        }
    }
    Ok(())
}

/// What asks a source's producer: its events are known by what is stored, whatever its URL has become.
fn probe(source: &SourceConfig, known: Option<&SourceState>) -> Result<HttpProbe, NodeError> {
    let mut spec = source.http.clone();
    spec.source = Some(source.event_source().chosen(known).to_owned());
    HttpProbe::new(spec)
        .map_err(|error| NodeError::Config(format!("source `{}`: {error}", source.name)))
}

fn setup(source: &SourceConfig, new: NewSource, id: i64, probe: HttpProbe) -> SourceSetup {
    SourceSetup {
        id,
        name: new.name,
        topic: new.topic,
        contract: new.contract,
        config_hash: new.config_hash,
        probe: Arc::new(probe),
        schedule: Schedule {
            interval: source.interval,
            min: source.interval_min,
            max: source.interval_max,
        },
        walk_resume: source.walk_resume,
        silent_after: source.silent_after,
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
