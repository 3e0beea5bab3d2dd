//! Threads of their own for the workers.
//!
//! A worker, its timers and its sockets stay on one thread: what wakes it is next to it, and no
//! delivery crosses from one processor to another.

use std::{
    io,
    sync::mpsc,
    thread::{self, JoinHandle},
};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// Some threads, each with a runtime; they end when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Threads {
    started: Vec<(Handle, JoinHandle<()>)>,
    stop: CancellationToken,
}

impl Threads {
    /// Starts `count` of them; fewer when the system gives no more.
    pub(super) fn start(count: usize) -> Self {
        let mut threads = Self::default();
        for number in 0..count {
            match start(number, threads.stop.clone()) {
                Ok(thread) => threads.started.push(thread),
                Err(error) => {
                    tracing::warn!(
                        event = "relay.thread_failed", %error, started = number,
                        "no more threads for deliveries"
                    );
                    break;
                }
            }
        }
        threads
    }

    /// The thread of a subscription, always the same.
    pub(super) fn of(&self, subscription: i64) -> Option<&Handle> {
        let count = self.started.len().max(1) as u64;
        let number = usize::try_from(subscription.unsigned_abs() % count).unwrap_or(0);
        self.started.get(number).map(|(handle, _)| handle)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop.cancel();
        for (_, thread) in self.started.drain(..) {
            // What it did has ended, well or not, before.
            let _ = thread.join();
        }
    }
}

fn start(number: usize, stop: CancellationToken) -> io::Result<(Handle, JoinHandle<()>)> {
    let (sender, handle) = mpsc::channel();
    let work = move || {
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(sender.send(Err(error))),
        };
        // Whoever starts the thread waits for this.
        let _ = sender.send(Ok(runtime.handle().clone()));
        runtime.block_on(stop.cancelled());
        // A name that is being looked up is nobody's any more.
        runtime.shutdown_background();
    };
    let thread = thread::Builder::new().name(format!("dispatch-{number}")).spawn(work)?;
    let handle = handle.recv().map_err(io::Error::other)??;
    Ok((handle, thread))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_subscription_has_one_thread_and_none_without_threads() {
        let threads = Threads::start(2);
        let name = async |subscription| {
            let handle = threads.of(subscription).unwrap();
            let named = async { std::thread::current().name().map(str::to_owned) };
            handle.spawn(named).await.unwrap()
        };
        assert_eq!(name(4).await, name(4).await);
        assert_ne!(name(4).await, name(5).await);
        assert!(Threads::start(0).of(4).is_none());
    }
}
