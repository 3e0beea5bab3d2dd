//! What a changed file does not name any more: told before it goes, and refused when it is most of
//! what runs, for a file that was cut looks just like that.

use std::collections::HashSet;

use super::error::NodeError;
use crate::{
    clock::Clock,
    config::Config,
    event::{Name, Topic},
    notices::Notice,
    store::{
        Origin, SourceStatus, Steer, Store, StoreError, Stored, SubscriptionStatus,
        SubscriptionSteer,
    },
};

/// How many names a refusal lists.
const NAMES_MAX: usize = 20;

/// What runs by a file and is not in the next one.
pub(super) struct Leaving {
    sources: Vec<(Name, Topic)>,
    subscriptions: Vec<Name>,
    /// How many run by the file at present.
    running: usize,
}

impl Leaving {
    pub(super) fn of(stored: &Stored, config: &Config) -> Self {
        let mut sources: Vec<_> = stored.sources.iter().collect();
        sources.retain(|source| source.status != SourceStatus::Removed);
        let mut subscriptions: Vec<_> = stored.subscriptions.iter().collect();
        subscriptions
            .retain(|one| one.origin == Origin::File && one.status != SubscriptionStatus::Removed);
        let running = sources.len() + subscriptions.len();
        let named: HashSet<&Name> = config.sources.iter().map(|source| &source.name).collect();
        sources.retain(|source| !named.contains(&source.name));
        let named: HashSet<&Name> = config.subscriptions.iter().map(|one| &one.name).collect();
        subscriptions.retain(|one| !named.contains(&one.name));
        Self {
            sources: sources
                .into_iter()
                .map(|source| (source.name.clone(), source.topic.clone()))
                .collect(),
            subscriptions: subscriptions.into_iter().map(|one| one.name.clone()).collect(),
            running,
        }
    }

    /// Refuses a file without more than half of what runs.
    pub(super) fn check(&self, config: &Config) -> Result<(), NodeError> {
        let going = self.sources.len() + self.subscriptions.len();
        if config.allow_removal || going * 2 <= self.running {
            return Ok(());
        }
        let sources = self.sources.iter().map(|(name, _)| format!("source `{name}`"));
        let subscriptions = self.subscriptions.iter().map(|name| format!("subscription `{name}`"));
        let mut names: Vec<String> = sources.chain(subscriptions).take(NAMES_MAX).collect();
        if going > names.len() {
            names.push(format!("{} more", going - names.len()));
        }
        Err(NodeError::Config(format!(
            "it leaves out {going} of the {} sources and subscriptions that run by it: {}; if they \
             are to go, run `milkrun reload --allow-removal`, or write `reload: {{ allow_removal: \
             true }}` into the file",
            self.running,
            names.join(", ")
        )))
    }

    /// Says that it goes on although this node's file lacks it.
    pub(super) fn tell_kept(&self) {
        for (source, _) in &self.sources {
            tracing::warn!(
                event = "source.kept", %source,
                "is not in this node's file, and other nodes run: it stays, and is not asked while \
                 this node holds it; bring the file up to date, or take it out by `milkrun reload`"
            );
        }
        for subscription in &self.subscriptions {
            tracing::warn!(
                event = "subscription.kept", %subscription,
                "is not in this node's file, and other nodes run: it goes on; bring the file up to \
                 date, or take it out by `milkrun reload`"
            );
        }
    }

    /// Removes it all; it is kept as `removed` and finds its place again under its name.
    pub(super) async fn remove(
        self,
        store: &dyn Store,
        clock: &Clock,
    ) -> Result<Vec<Notice>, StoreError> {
        let mut told = Vec::new();
        for (source, topic) in self.sources {
            tracing::warn!(
                event = "source.removed", %source,
                "left the file: it is asked no more, and finds its place again when it is back"
            );
            store.steer_source(&source, Steer::Remove, clock.now()).await?;
            told.push(Notice::SourceRemoved { source, topic });
        }
        for subscription in self.subscriptions {
            tracing::warn!(
                event = "subscription.removed", %subscription,
                "left the file: nothing is sent to it any more"
            );
            let remove = SubscriptionSteer::Remove;
            store.steer_subscription(&subscription, remove, clock.now()).await?;
            told.push(Notice::SubscriptionRemoved { subscription });
        }
        Ok(told)
    }
}
