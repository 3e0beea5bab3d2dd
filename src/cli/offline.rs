//! The store file itself, for commands that must work while no relay runs.

use std::{path::Path, sync::Arc};

use super::{Failure, Options, environment, failure::chain};
use crate::{
    config::{self, Config},
    store::{self, Address, Store},
};

/// Opens the store of the configured file, which nobody else may hold; makes none.
pub(super) async fn open(options: &Options) -> Result<Arc<dyn Store>, Failure> {
    let config = config::load(options.file(), environment)?;
    if !exists(&config.store) {
        let message = format!("{}, and no relay runs", config.store.absent());
        return Err(Failure { message, code: 78 });
    }
    open_as(&config, &untouched(&config)).await
}

/// Opens the configured store as it is to be opened.
pub(super) async fn open_as(
    config: &Config,
    options: &store::Options,
) -> Result<Arc<dyn Store>, Failure> {
    let opened = store::open(config.store.as_str(), options).await;
    opened.map_err(|error| Failure {
        message: format!("{}: {}", config.store.place(), chain(&error)),
        code: 78,
    })
}

/// How a store is opened by whoever is no relay: no tables are made, and nothing is
/// recorded.
pub(super) fn untouched(config: &Config) -> store::Options {
    store::Options {
        durability: config.durability,
        makes_tables: false,
        records_attempts: false,
        seal: config.seal.clone(),
        ..store::Options::default()
    }
}

/// Whether the store is there; of a database this is told when it is opened.
pub(super) fn exists(store: &Address) -> bool {
    store.path().is_none_or(Path::exists)
}
