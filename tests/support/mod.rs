//! Scripted producers and receivers, and the built binary as a child; every wait has a deadline.

pub mod api;
pub mod liar;
pub mod preload;
pub mod producer;
pub mod raw;
pub mod receiver;
pub mod relay;
pub mod server;

use std::{future::Future, time::Duration};

pub use api::{Api, Reply};
pub use preload::Library;
pub use producer::Producer;
pub use raw::Raw;
pub use receiver::{Answer, Receiver};
pub use relay::{Place, Relay};
pub use server::Server;

/// Longer than anything takes that works, on two busy cores in a debug build.
pub const LONG: Duration = Duration::from_mins(2);

/// Whether the full counts are asked for.
pub fn full() -> bool {
    std::env::var_os("MILKRUN_FULL").is_some_and(|value| value == "1")
}

/// `short`, or `long` when the full counts are asked for.
pub fn scaled(short: usize, long: usize) -> usize {
    if full() { long } else { short }
}

/// What `work` gives, or a panic naming `what` when it takes longer than `limit`.
pub async fn within<T>(limit: Duration, what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(limit, work).await;
    done.unwrap_or_else(|_| panic!("not within {limit:?}: {what}"))
}

/// Asks until `look` gives something. For what another process gives no signal of.
pub async fn eventually<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
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
