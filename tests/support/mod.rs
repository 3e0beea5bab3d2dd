//! Scripted producers and receivers, and the built binary as a child; every wait has a deadline.

pub(crate) mod api;
pub(crate) mod browser;
pub(crate) mod liar;
pub(crate) mod postgres;
pub(crate) mod preload;
pub(crate) mod producer;
pub(crate) mod proxy;
pub(crate) mod raw;
pub(crate) mod receiver;
pub(crate) mod relay;
pub(crate) mod server;

use std::{
    future::Future,
    path::{Path, PathBuf},
    time::Duration,
};

pub(crate) use api::{Api, Reply};
pub(crate) use preload::Library;
pub(crate) use producer::Producer;
pub(crate) use raw::Raw;
pub(crate) use receiver::{Answer, Receiver};
pub(crate) use relay::{Place, Relay};
pub(crate) use server::Server;

/// Longer than anything takes that works, on two busy cores in a debug build.
pub(crate) const LONG: Duration = Duration::from_mins(2);

/// Whether the full counts are asked for.
pub(crate) fn full() -> bool {
    std::env::var_os("MILKRUN_FULL").is_some_and(|value| value == "1")
}

/// `short`, or `long` when the full counts are asked for.
pub(crate) fn scaled(short: usize, long: usize) -> usize {
    if full() { long } else { short }
}

/// What `scripts/test` has installed: where a variable says, else at a place in the repository; or what is
/// `below` that.
pub(crate) fn installed(variable: &str, usual: &str, below: Option<&str>) -> PathBuf {
    let given = std::env::var_os(variable).map(PathBuf::from);
    let mut path = given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(usual));
    path.extend(below);
    assert!(
        path.exists(),
        "{} is missing: run scripts/test once, or set {variable}",
        path.display()
    );
    path
}

/// What `work` gives, or a panic naming `what` when it takes longer than `limit`.
pub(crate) async fn within<T>(limit: Duration, what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(limit, work).await;
    done.unwrap_or_else(|_| panic!("not within {limit:?}: {what}"))
}

/// Asks until `look` gives something. For what another process gives no signal of.
pub(crate) async fn eventually<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let ask = async {
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        loop {
            pace.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    };
    within(LONG, what, ask).await
}
