//! The store file itself, for commands that must work while no relay runs.

use std::{path::Path, sync::Arc};

use super::{Failure, Options, environment, failure::chain};
use crate::{
    config,
    store::{self, Store},
};

/// Opens the store of the configured file, which nobody else may hold; makes none.
pub(super) async fn open(options: &Options) -> Result<Arc<dyn Store>, Failure> {
    let config = config::load(options.file(), environment)?;
    let failed = |message: String| Failure { message, code: 78 };
    if !exists(&config.store) {
        return Err(failed(format!("{}: there is no such file, and no relay runs", config.store)));
    }
    let opened = store::open(&config.store, &store::Options::default()).await;
    opened.map_err(|error| failed(format!("{}: {}", config.store, chain(&error))))
}

/// Whether the file of the store at `url` is there.
pub(super) fn exists(url: &str) -> bool {
    if url.starts_with("postgres") {
        // Whether it is there is told when it is opened.
        return true;
    }
    let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
    Path::new(path.unwrap_or(url)).exists()
}
