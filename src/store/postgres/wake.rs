//! What other nodes did: heard over one connection, and looked at every second while that is broken.

use std::{sync::Arc, time::Duration};

use sqlx::postgres::PgListener;
use tokio_util::sync::CancellationToken;

use super::{registry::CHANGED, shared::Shared};
use crate::store::StoreError;

/// How often everything is looked at all the same.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Listens until `stop`.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let heard = stop.run_until_cancelled(listen(&shared)).await;
        if let Some(Err(error)) = heard {
            tracing::debug!(%error, "other nodes are not heard; looked at every second");
            look(&shared).await;
            stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await;
        }
    }
}

async fn listen(shared: &Shared) -> Result<(), StoreError> {
    let mut listener = PgListener::connect_with(&shared.pool).await?;
    listener.listen(CHANGED).await?;
    // What happened before anybody listened.
    look(shared).await;
    loop {
        match tokio::time::timeout(LOOK_EVERY, listener.recv()).await {
            Ok(heard) => {
                heard?;
                shared.announce();
                look(shared).await;
            }
            Err(_) => look(shared).await,
        }
    }
}

/// Learns heads and what is due.
async fn look(shared: &Shared) {
    if let Err(error) = shared.refresh().await {
        tracing::debug!(%error, "the topics were not looked at");
    }
    shared.look_at_pending().await;
}
