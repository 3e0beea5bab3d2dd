//! One process of Milkrun: opens store, clock and network, starts the roles, stops them twice.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

use sinks::webhook::Webhook;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{self, Gate, Tls},
    clock::{Clock, Leap},
    config::{ApiTls, Config},
    event::Topic,
    holdings::Holder,
    key::AccessKey,
    notices::{Notice, Notices},
    outbound::Guard,
    prober::SourceSetup,
    store::{self, Store, StoreError},
    telemetry::Metrics,
};

pub use self::{apply::check, error::NodeError, reloads::Reload, role::Role};
use self::{
    apply::{Applied, Occasion, apply},
    reloads::Reloads,
};

mod apply;
mod error;
mod leaving;
mod reloads;
mod role;
mod starting;
#[cfg(test)]
mod tests;

/// How a node ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Whether work was dropped that was under way.
    pub work_under_way: bool,
}

/// A running node.
pub struct Node {
    store: Arc<dyn Store>,
    clock: Clock,
    config: Config,
    metrics: Arc<Metrics>,
    notices: Notices,
    sources: watch::Sender<Arc<Vec<SourceSetup>>>,
    file_topics: watch::Sender<Arc<BTreeSet<Topic>>>,
    file_keys: watch::Sender<Arc<Vec<AccessKey>>>,
    /// What the API is encrypted with.
    tls: Option<Tls>,
    certificate: watch::Sender<Option<ApiTls>>,
    reloads: Reloads,
    soft: CancellationToken,
    hard: CancellationToken,
    roles: JoinSet<bool>,
    /// Appends what the roles tell and gives back what they held, and ends after them.
    behind: JoinSet<()>,
    last: CancellationToken,
    address: Option<SocketAddr>,
}

impl Node {
    /// Opens everything and starts the roles.
    ///
    /// # Errors
    /// See [`NodeError`]; nothing runs then.
    pub async fn start(config: Config, roles: &[Role], clock: Clock) -> Result<Self, NodeError> {
        let tls = config.tls.as_ref().map(|tls| Tls::new(&tls.shown)).transpose();
        let tls = tls.map_err(NodeError::Config)?;
        let metrics = Metrics::counting(config.metrics.per_subscription);
        let guard = config.outbound.guard().counting(&metrics);
        let network = guard.network().map_err(NodeError::Network)?;
        check_addresses(&config, &guard)?;
        let options = store::Options {
            tail_bytes: config.limits.tail_bytes,
            dedupe_keys_max: config.limits.dedupe_keys_max,
            positions_max: config.limits.positions_max,
            readers: config.limits.readers,
            durability: config.durability,
            term: config.cluster.term,
            seal: config.seal.clone(),
            clock: clock.clone(),
            commit_seconds: metrics.commit_seconds.clone(),
            ..store::Options::default()
        };
        let store = store::open(config.store.as_str(), &options).await?;
        let file_keys = watch::Sender::new(Arc::new(config.keys.clone()));
        let gate = Gate::new(store.clone(), clock.clone(), file_keys.subscribe());
        gate.refresh().await?;
        let access = api::check_bind(config.listen, config.insecure, gate.has_keys())
            .map_err(NodeError::Config)?;
        // Behind the store: of two relays on one file the second is to be told of the first. Before
        // anything is changed: a node that cannot start changes nothing.
        let listener =
            if roles.contains(&Role::Api) { Some(listen(config.listen).await?) } else { None };
        let watched = match config.metrics.listen {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let member = role::member(roles, &config);
        let others = store.members().await?;
        let is_alone = !others.iter().any(|other| other.lives && other.name != member.name);
        let occasion = if is_alone { Occasion::Start } else { Occasion::StartAmongOthers };
        // Nodes that are about may lack the key: `milkrun secrets rekey` is for them.
        if is_alone {
            starting::reseal(&*store, &config.seal).await?;
        }
        let Applied { setups, removed } = apply(&*store, &config, &clock, occasion).await?;
        start_counters(&*store, &config, &metrics).await?;
        let (notices, writer) = Notices::new(store.clone(), clock.clone(), metrics.clone());
        for notice in removed {
            notices.tell(notice);
        }
        let mut holder = Holder::new(store.clone(), clock.clone(), member);
        holder.step().await?;
        let last = CancellationToken::new();
        let mut behind = JoinSet::new();
        behind.spawn(writer.run(last.clone()));
        let mut node = Self {
            behind,
            last: last.clone(),
            address: listener.as_ref().and_then(|listener| listener.local_addr().ok()),
            sources: watch::Sender::new(Arc::new(setups)),
            notices,
            file_topics: watch::Sender::new(topics(&config)),
            file_keys,
            tls,
            certificate: watch::Sender::new(config.tls.clone()),
            reloads: Reloads::default(),
            soft: CancellationToken::new(),
            hard: CancellationToken::new(),
            roles: JoinSet::new(),
            metrics: metrics.clone(),
            store,
            clock,
            config,
        };
        node.watch_clock();
        node.watch_certificate();
        if roles.contains(&Role::Probe) {
            node.start_prober(network.clone(), metrics.clone(), &holder);
        }
        let everybody = guard.webhooks(None).map_err(NodeError::Config)?;
        let webhook = webhook(everybody, guard.clone());
        if roles.contains(&Role::Dispatch) {
            node.start_dispatcher(webhook.clone(), &holder);
        }
        if roles.contains(&Role::Janitor) {
            node.start_janitor(&holder);
            node.start_backups();
        }
        let state = node.api_state((access, gate), guard, webhook, &holder);
        if let Some(listener) = watched {
            node.start_metrics(listener, state.clone());
        }
        if let Some(listener) = listener {
            node.start_api(listener, state);
        }
        node.behind.spawn(holder.run(node.store.changes(), last));
        Ok(node)
    }

    /// Where the API listens, if this node has that role.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Takes over a changed file; positions and cursors stay.
    ///
    /// # Errors
    /// What cannot change while the node runs, or cannot be used, is refused, and the old
    /// configuration stays; so is a file that leaves out more than half of what runs, unless
    /// [`Config::allow_removal`] is set.
    pub async fn reload(&mut self, config: Config) -> Result<(), NodeError> {
        let fixed = [
            ("store", config.store != self.config.store),
            ("store", config.durability != self.config.durability),
            ("cluster", config.cluster != self.config.cluster),
            ("listen", config.listen != self.config.listen),
            ("public_url", config.public_url != self.config.public_url),
            ("trust_proxy", config.trust_proxy != self.config.trust_proxy),
            ("tls", config.tls.is_some() != self.config.tls.is_some()),
            ("outbound", config.outbound != self.config.outbound),
            ("limits", config.limits != self.config.limits),
            ("metrics", config.metrics != self.config.metrics),
            ("backup", config.backup != self.config.backup),
            ("secrets", config.seal != self.config.seal),
        ];
        if let Some((name, _)) = fixed.iter().find(|(_, changed)| *changed) {
            return Err(NodeError::Config(format!("`{name}` changes only with a restart")));
        }
        check_addresses(&config, &config.outbound.guard())?;
        // Before anything is stored: a certificate that cannot be used refuses the whole file.
        if let (Some(tls), Some(new)) = (&self.tls, &config.tls) {
            tls.replace(&new.shown).map_err(NodeError::Config)?;
        }
        let applied = apply(&*self.store, &config, &self.clock, Occasion::Reload).await?;
        for notice in applied.removed {
            self.notices.tell(notice);
        }
        start_counters(&*self.store, &config, &self.metrics).await?;
        self.sources.send_replace(Arc::new(applied.setups));
        self.file_topics.send_replace(topics(&config));
        self.certificate.send_replace(config.tls.clone());
        self.file_keys.send_replace(Arc::new(config.keys.clone()));
        self.config = config;
        Ok(())
    }

    /// Requests of the API to apply the file as it is now. The first caller takes them over and is
    /// to answer each; a node without one refuses them.
    #[must_use]
    pub fn reloads(&self) -> mpsc::Receiver<Reload> {
        self.reloads.serve()
    }

    /// Ends when a role ends although nobody stopped it, which is told in the log. Safe to drop.
    pub async fn failed(&mut self) {
        match self.roles.join_next().await {
            Some(Ok(_)) => tracing::error!(
                event = "relay.role_ended",
                "a role ended although nobody stopped it"
            ),
            Some(Err(error)) => tracing::error!(
                event = "relay.role_failed", %error,
                "a role broke down"
            ),
            // A node without roles only looks after its store.
            None => std::future::pending().await,
        }
    }

    /// Stops starting work, waits for what is under way until `hard`, saves, closes.
    pub async fn stop(mut self, hard: CancellationToken) -> Stopped {
        self.soft.cancel();
        let mut work_under_way = false;
        let stop_hard = self.hard.clone();
        let relay = tokio::spawn(async move {
            hard.cancelled().await;
            stop_hard.cancel();
        });
        while let Some(ended) = self.roles.join_next().await {
            work_under_way |= ended.unwrap_or_else(|error| {
                tracing::error!(event = "relay.role_failed", %error, "a role ended badly");
                true
            });
        }
        self.last.cancel();
        while let Some(ended) = self.behind.join_next().await {
            if let Err(error) = ended {
                tracing::error!(
                    event = "relay.task_failed", %error,
                    "what ends after the roles ended badly"
                );
            }
        }
        relay.abort();
        self.store.close().await;
        Stopped { work_under_way }
    }

    /// Tells of every leap of the machine's clock.
    fn watch_clock(&mut self) {
        let notices = self.notices.clone();
        let (clock, soft, metrics) = (self.clock.clone(), self.soft.clone(), self.metrics.clone());
        self.roles.spawn(async move {
            clock.watch(soft, |leap| tell_of_leap(leap, &notices, &metrics)).await;
            false
        });
    }
}

fn tell_of_leap(leap: Leap, notices: &Notices, metrics: &Metrics) {
    match leap {
        Leap::Set(by_us) => tracing::warn!(
            event = "clock.set",
            by_ms = by_us / 1_000,
            "the machine's clock was set; pauses go on as they were, and what it was set forth by \
             deletes nothing for hours"
        ),
        Leap::Slept(slept) => {
            tracing::warn!(
                event = "clock.slept",
                slept_s = slept.as_secs(),
                "the machine was suspended"
            );
        }
        Leap::Confirmed(by_us) => tracing::warn!(
            event = "clock.confirmed",
            by_ms = by_us / 1_000,
            "the machine's clock has stayed where it was set to, and is believed now"
        ),
    }
    metrics.clock_leaps.inc();
    notices.tell(Notice::Clock(leap));
}

/// Pushes through the guard's networks.
fn webhook(network: sinks::Network, guard: Guard) -> Webhook {
    Webhook::new(network, env!("CARGO_PKG_VERSION"))
        .with_identities(move |identity| guard.webhooks(Some(identity)))
}

async fn listen(address: SocketAddr) -> Result<TcpListener, NodeError> {
    TcpListener::bind(address).await.map_err(|source| NodeError::Listen { address, source })
}

/// Literal addresses that will never be pushed to are refused before anything is stored.
fn check_addresses(config: &Config, guard: &Guard) -> Result<(), NodeError> {
    for subscription in &config.subscriptions {
        guard.check_url(&subscription.settings.url).map_err(|error| {
            NodeError::Config(format!(
                "subscription `{}`: `webhook.url`: {error}",
                subscription.name
            ))
        })?;
    }
    Ok(())
}

fn topics(config: &Config) -> Arc<BTreeSet<Topic>> {
    Arc::new(config.topics.iter().map(|(topic, _)| topic.clone()).collect())
}

/// Starts the counters of what is known at zero, for a rate is taken from the first value on.
async fn start_counters(
    store: &dyn Store,
    config: &Config,
    metrics: &Metrics,
) -> Result<(), StoreError> {
    for topic in store.topics().await? {
        metrics.know_topic(&topic.topic);
    }
    for source in &config.sources {
        metrics.know_source(&source.name);
    }
    Ok(())
}
