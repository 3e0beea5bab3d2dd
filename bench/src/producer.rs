//! A producer that lists its events, oldest first, 1,000 a page.
//!
//! An id is 24 random digits and 8 that say the how manieth event it is.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    event::{Ids, Sheet},
    server::{self, Answer, Request},
};

/// Events of a full page.
pub(crate) const PAGE: u64 = 1_000;
/// How long a request for what is not there yet is kept.
const LONG_POLL: Duration = Duration::from_secs(20);

/// A producer, as long as the process lives.
#[derive(Debug, Clone)]
pub(crate) struct Producer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    seed: u64,
    /// How many events there are.
    events: AtomicU64,
    /// Whether it waits for news.
    waits: bool,
    news: Notify,
    requests: AtomicU64,
    page: Mutex<Sheet>,
}

impl Producer {
    /// One with so many events; `waits`: a request for what is not there yet is kept until it is.
    ///
    /// # Errors
    /// No port is to be had.
    pub(crate) fn start(events: u64, waits: bool) -> Result<Self> {
        let shared = Arc::new(Shared {
            seed: fastrand::u64(..),
            events: AtomicU64::new(events),
            waits,
            news: Notify::new(),
            requests: AtomicU64::new(0),
            page: Mutex::new(Sheet::page(1_000)),
        });
        let address = server::start(List(shared.clone()), 1)?[0];
        Ok(Self { address, shared })
    }

    /// Where it lists.
    #[must_use]
    pub(crate) fn url(&self) -> String {
        format!("http://{}/events", self.address)
    }

    /// A source that asks it; again after `interval`. Of two in one topic each has a CloudEvents
    /// source of its own.
    #[must_use]
    pub(crate) fn source(&self, name: &str, interval: &str) -> String {
        let page = PAGE;
        format!(
            "- name: {name}\n    topic: {}\n    interval: {interval}\n    http: {{ url: \"{}\", \
             listed: oldest_first, items: items, id: id, source: {name}, type: type, start: earliest, \
             cursor: {{ last_id: {{ query: after }} }}, pages: {{ item_id: {{ query: after }} }}, \
             stop: {{ short_page: {page} }} }}\n",
            crate::relay::TOPIC,
            self.url()
        )
    }

    /// So many requests were answered, or wait for news.
    #[must_use]
    pub(crate) fn requests(&self) -> u64 {
        self.shared.requests.load(SeqCst)
    }

    /// There are so many events from now on.
    pub(crate) fn grow(&self, events: u64) -> Instant {
        self.shared.events.store(events, SeqCst);
        let now = Instant::now();
        self.shared.news.notify_waiters();
        now
    }
}

struct List(Arc<Shared>);

impl Answer for List {
    async fn answer(&self, request: Request<'_>, out: &mut Vec<u8>) {
        let shared = &self.0;
        shared.requests.fetch_add(1, SeqCst);
        let digits = request.query("after").and_then(|id| id.get(24..));
        let after = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0);
        if shared.waits {
            let news = async {
                loop {
                    let news = shared.news.notified();
                    if shared.events.load(SeqCst) > after {
                        return;
                    }
                    news.await;
                }
            };
            // Nothing new is an answer too.
            let _ = tokio::time::timeout(LONG_POLL, news).await;
        }
        let last = shared.events.load(SeqCst).min(after + PAGE);
        if last == after + PAGE {
            let mut page = shared.page.lock();
            server::json(out, page.number(&mut Ids::new(shared.seed ^ after), after + 1));
        } else {
            let count = usize::try_from(last.saturating_sub(after)).unwrap_or(0);
            let mut page = Sheet::page(count);
            server::json(out, page.number(&mut Ids::new(shared.seed ^ after), after + 1));
        }
    }
}
