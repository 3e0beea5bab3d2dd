//! Starting the roles: each is handed what it works with.

use std::{sync::Arc, time::Duration};

use axum::Router;
use sinks::webhook::Webhook;
use tokio::net::TcpListener;

use super::{Node, NodeError};
use crate::{
    api::{self, Access, ApiState, Budget, Entrance, Gate, HeldWork, Public},
    backups::Backups,
    console,
    dispatcher::{self, Dispatcher},
    holdings::Holder,
    janitor::Janitor,
    outbound::Guard,
    pending::Releaser,
    prober::{self, Prober},
    seal::Seal,
    store::{Resealed, Store, Work},
    telemetry::Metrics,
};

/// How often the files of the certificate are looked at.
const CERTIFICATE_EVERY: Duration = Duration::from_mins(1);

impl Node {
    /// Shows a certificate that was changed in its files, from the next connection on.
    pub(super) fn watch_certificate(&mut self) {
        let Some(tls) = self.tls.clone() else { return };
        let (clock, soft, mut of_file) =
            (self.clock.clone(), self.soft.clone(), self.certificate.subscribe());
        of_file.mark_changed();
        self.roles.spawn(async move {
            let mut last = None;
            while soft.run_until_cancelled(clock.pause(CERTIFICATE_EVERY)).await.is_some() {
                let is_applied = of_file.has_changed().unwrap_or(false);
                let Some(source) = of_file.borrow_and_update().clone() else { continue };
                if is_applied {
                    last = Some(Ok(source.shown.clone()));
                }
                let read = source.read();
                // What cannot be read or used is told once, until it changes again.
                if last.as_ref() == Some(&read) {
                    continue;
                }
                match read.clone().and_then(|read| tls.replace(&read)) {
                    Ok(()) => tracing::info!(
                        event = "api.certificate_changed",
                        "the certificate of the API was changed"
                    ),
                    Err(error) => {
                        tracing::error!(
                            event = "api.certificate_refused", %error,
                            "the certificate of the API stays as it was"
                        );
                    }
                }
                last = Some(read);
            }
            false
        });
    }

    pub(super) fn start_prober(
        &mut self,
        network: probes::Network,
        metrics: Arc<Metrics>,
        holder: &Holder,
    ) {
        let prober = Prober::new(
            self.store.clone(),
            self.clock.clone(),
            network,
            metrics,
            self.notices.clone(),
            self.sources.subscribe(),
            prober::Limits {
                walks: self.config.limits.walks_max,
                walk_bytes_max: self.config.limits.walk_bytes_max,
            },
        )
        .holding(holder.held(Work::Source));
        let (soft, hard) = (self.soft.clone(), self.hard.clone());
        self.roles.spawn(prober.run(soft, hard));
    }

    pub(super) fn start_dispatcher(&mut self, webhook: Webhook, holder: &Holder) {
        let dispatcher = Dispatcher::new(
            self.store.clone(),
            self.clock.clone(),
            Arc::new(webhook),
            self.metrics.clone(),
            self.notices.clone(),
            dispatcher::Limits {
                in_flight_max: self.config.limits.in_flight_max,
                host_in_flight_max: self.config.limits.host_in_flight_max,
                // The other half is for everything else.
                threads: std::thread::available_parallelism()
                    .map_or(1, |cores| cores.get() / 2)
                    .max(1),
            },
        )
        .holding(holder.held(Work::Subscription));
        self.roles.spawn(dispatcher.run(self.soft.clone(), self.hard.clone()));
    }

    pub(super) fn start_janitor(&mut self, holder: &Holder) {
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let releaser = Releaser::new(store.clone(), clock.clone(), self.metrics.clone())
            .holding(holder.held(Work::Pending));
        let soft = self.soft.clone();
        self.roles.spawn(async move {
            releaser.run(soft).await;
            false
        });
        let janitor = Janitor::new(store, clock, self.notices.clone())
            .counting(self.metrics.clone())
            .holding(holder.held(Work::Retention));
        let soft = self.soft.clone();
        self.roles.spawn(async move {
            janitor.run(soft).await;
            false
        });
    }

    pub(super) fn start_backups(&mut self) {
        let Some(plan) = self.config.backup.clone() else { return };
        let backups = Backups::new(
            self.config.store.clone(),
            plan,
            self.clock.clone(),
            self.metrics.clone(),
            self.notices.clone(),
        );
        let soft = self.soft.clone();
        self.roles.spawn(async move {
            backups.run(soft).await;
            false
        });
    }

    /// What the API holds a cursor against, which an operator gives: the rule of the source.
    fn check_cursor(&self) -> api::CheckCursor {
        let sources = self.sources.subscribe();
        Arc::new(move |name, cursor| {
            let sources = sources.borrow().clone();
            let source = sources.iter().find(|source| source.name == *name);
            source.map_or(Ok(()), |source| source.probe.check_cursor(cursor))
        })
    }

    /// What the API is handed, and whoever watches this node.
    pub(super) fn api_state(
        &self,
        (access, gate): (Access, Gate),
        guard: Guard,
        webhook: Webhook,
        holder: &Holder,
    ) -> ApiState {
        let vet_url =
            move |url: &str| guard.check_url(url).map(|_| ()).map_err(|error| error.to_string());
        ApiState::new(
            self.store.clone(),
            self.clock.clone(),
            self.metrics.clone(),
            api::Outgoing { vet_url: Arc::new(vet_url), webhook },
            access,
            self.soft.clone(),
            api::Limits {
                waiting_max: self.config.limits.streams_max,
                bytes_max: self.config.limits.api_bytes_max,
            },
        )
        .with_gate(gate)
        .with_held(HeldWork {
            sources: holder.held(Work::Source),
            subscriptions: holder.held(Work::Subscription),
            topics: holder.held(Work::Retention),
        })
        .with_public(Public {
            url: self.config.public_url.clone(),
            trusts_proxy: self.config.trust_proxy,
        })
        .with_notices(self.notices.clone())
        .with_file_topics(self.file_topics.subscribe())
        .with_check_cursor(self.check_cursor())
        .with_durability(self.config.durability)
        .with_apply_file(self.reloads.clone().into_api())
    }

    pub(super) fn start_api(&mut self, listener: TcpListener, state: ApiState) {
        let (followed, soft) = (state.gate.clone(), self.soft.clone());
        self.roles.spawn(async move {
            followed.follow(soft).await;
            false
        });
        let (recorded, soft) = (state.clone(), self.soft.clone());
        self.roles.spawn(async move {
            api::record(recorded, soft).await;
            false
        });
        let entrance = Entrance::from(listener).with_tls(self.tls.clone());
        let budget = state.budget();
        let console = console::router(&state, self.config.console);
        self.serve(entrance, api::router(state, console), budget);
    }

    /// Shows the metrics at an address of their own; a node that is no `api` has them, too.
    pub(super) fn start_metrics(&mut self, listener: TcpListener, state: ApiState) {
        let Ok(address) = listener.local_addr() else { return };
        tracing::info!(event = "api.metrics_served", %address, "the metrics are served");
        let budget = state.budget();
        self.serve(Entrance::from(listener), api::metrics_router(state, address), budget);
    }

    fn serve(&mut self, entrance: Entrance, router: Router, budget: Budget) {
        let (soft, hard) = (self.soft.clone(), self.hard.clone());
        self.roles.spawn(async move {
            if let Err(error) = api::serve(entrance, router, budget, soft, hard).await {
                tracing::error!(event = "api.listener_failed", %error, "a listener ended");
            }
            false
        });
    }
}

/// Writes secrets as they are to be kept from now on.
pub(super) async fn reseal(store: &dyn Store, seal: &Seal) -> Result<(), NodeError> {
    let Resealed { changed, .. } = store.reseal().await?;
    match seal.master() {
        _ if changed == 0 => {}
        Some(key) => tracing::info!(
            event = "secrets.sealed",
            subscriptions = changed,
            key = key.id(),
            "their settings are sealed under the master key"
        ),
        None => tracing::warn!(
            event = "secrets.opened",
            subscriptions = changed,
            "there is no master key any more: their settings are kept in clear"
        ),
    }
    Ok(())
}
