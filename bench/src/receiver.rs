//! A consumer that counts, and answers 204.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use parking_lot::Mutex;

use crate::{
    measure::reached,
    server::{self, Answer, Request},
};

/// A consumer, as long as the process lives.
#[derive(Debug, Clone)]
pub(crate) struct Receiver {
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    events: AtomicU64,
    /// Whether a request can hold several events.
    batches: bool,
    /// The bodies' last eight digits of ids, and when each came; kept only where that is measured.
    arrivals: Option<Mutex<Vec<(u64, Instant)>>>,
}

impl Receiver {
    /// One that takes single events.
    ///
    /// # Errors
    /// No port is to be had.
    pub(crate) fn single() -> Result<Self> {
        Self::start(Shared::default(), 1)
    }

    /// One that takes single events, at so many ports: each is a host to the relay.
    ///
    /// # Errors
    /// No ports are to be had.
    pub(crate) fn many(ports: usize) -> Result<Self> {
        Self::start(Shared::default(), ports)
    }

    /// One that takes batches.
    ///
    /// # Errors
    /// No port is to be had.
    pub(crate) fn batches() -> Result<Self> {
        Self::start(Shared { batches: true, ..Shared::default() }, 1)
    }

    /// One that takes single events and notes when each came.
    ///
    /// # Errors
    /// No port is to be had.
    pub(crate) fn timing() -> Result<Self> {
        Self::start(Shared { arrivals: Some(Mutex::default()), ..Shared::default() }, 1)
    }

    fn start(shared: Shared, ports: usize) -> Result<Self> {
        let shared = Arc::new(shared);
        let addresses = server::start(Count(shared.clone()), ports)?;
        Ok(Self { addresses, shared })
    }

    /// Where it listens.
    #[must_use]
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Where to push.
    #[must_use]
    pub(crate) fn url(&self) -> String {
        self.url_of(0)
    }

    /// Where to push, at one of its ports.
    #[must_use]
    pub(crate) fn url_of(&self, port: usize) -> String {
        format!("http://{}/hook", self.addresses[port % self.addresses.len()])
    }

    /// Events so far.
    #[must_use]
    pub(crate) fn events(&self) -> u64 {
        self.shared.events.load(Relaxed)
    }

    /// Counts from zero.
    pub(crate) fn reset(&self) {
        self.shared.events.store(0, Relaxed);
    }

    /// When each event came, by the number in its id.
    #[must_use]
    pub(crate) fn arrivals(&self) -> Vec<(u64, Instant)> {
        let arrivals = self.shared.arrivals.as_ref();
        arrivals.map_or_else(Vec::new, |all| std::mem::take(&mut *all.lock()))
    }

    /// Waits for so many events.
    ///
    /// # Errors
    /// Nothing came for 30 seconds, or more than that came.
    pub(crate) async fn until(&self, events: u64) -> Result<()> {
        reached(events, Duration::from_millis(2), async || Ok(self.events())).await
    }
}

struct Count(Arc<Shared>);

impl Answer for Count {
    async fn answer(&self, request: Request<'_>, out: &mut Vec<u8>) {
        let shared = &self.0;
        let count = if shared.batches { request.header("milkrun-count") } else { None };
        shared.events.fetch_add(count.and_then(|count| count.parse().ok()).unwrap_or(1), Relaxed);
        if let Some(arrivals) = &shared.arrivals
            && let Some(number) = number(request.body)
        {
            let mut arrivals = arrivals.lock();
            arrivals.push((number, Instant::now()));
        }
        out.extend_from_slice(b"HTTP/1.1 204 No Content\r\n\r\n");
    }
}

/// The number at the end of the first id in a body.
fn number(body: &[u8]) -> Option<u64> {
    let at = memchr::memmem::find(body, br#""id":""#)? + 6;
    let digits = body.get(at + 24..at + 32)?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
