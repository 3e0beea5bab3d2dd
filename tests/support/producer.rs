//! A producer of numbered events that only ever lists what it has.

use std::{
    fmt::Write as _,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use super::server::{Asked, Server, json};

/// Events `base + 1` to `last`, oldest first, at `/events?after=ID`, at most `page` at once.
pub(crate) struct Producer {
    server: Server,
    base: u64,
    last: Arc<AtomicU64>,
}

impl Producer {
    /// One that has nothing yet; its events will be numbered from 1 on.
    pub(crate) async fn start(page: u64) -> Self {
        Self::above(0, page).await
    }

    /// One that has nothing yet; its events will be numbered from `base + 1` on.
    pub(crate) async fn above(base: u64, page: u64) -> Self {
        let last = Arc::new(AtomicU64::new(base));
        let seen = last.clone();
        let server = Server::start(move |asked| {
            let body = list(&asked, base, seen.load(SeqCst), page);
            async move { json(body) }
        })
        .await;
        Self { server, base, last }
    }

    /// Where it lists.
    pub(crate) fn url(&self) -> String {
        self.server.url("/events")
    }

    /// So many more events happen.
    pub(crate) fn emit(&self, more: u64) {
        self.last.fetch_add(more, SeqCst);
    }

    /// The numbers of its events.
    pub(crate) fn numbers(&self) -> RangeInclusive<u64> {
        self.base + 1..=self.last.load(SeqCst)
    }

    /// The settings of a source that probes it, for below `http:`.
    pub(crate) fn http(&self, page: u64) -> String {
        format!(
            "{{ url: \"{}\", listed: oldest_first, items: events, id: id, start: earliest, \
             cursor: {{ last_id: {{ query: after }} }}, pages: {{ item_id: {{ query: after }} }}, \
             stop: {{ short_page: {page} }} }}",
            self.url()
        )
    }
}

fn list(asked: &Asked, base: u64, last: u64, page: u64) -> String {
    let after = asked.query("after").and_then(|id| number(&id)).unwrap_or(base);
    let mut body = String::from("{\"events\": [");
    for n in after + 1..=last.min(after + page) {
        let comma = if n == after + 1 { "" } else { ", " };
        write!(body, "{comma}{}", item(n)).unwrap();
    }
    body.push_str("]}");
    body
}

/// The id of event `n`.
pub(crate) fn id(n: u64) -> String {
    format!("e-{n:08}")
}

/// The number in an id.
pub(crate) fn number(id: &str) -> Option<u64> {
    id.strip_prefix("e-")?.parse().ok()
}

/// The bytes of event `n`: with white space, escapes and numbers that no serialiser would write so.
pub(crate) fn item(n: u64) -> String {
    format!(
        "{{ \"id\" : \"{}\",\t\"n\": {n}, \"price\": {n}.50e0, \"name\": \"caf\\u00e9 \\/ {n}\" }}",
        id(n)
    )
}
