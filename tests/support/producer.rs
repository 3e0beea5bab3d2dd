//! A producer of numbered events that only ever lists what it has.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use super::server::{Asked, Server, json};

/// Events 1 to `count`, oldest first, at `/events?after=ID`, at most `page` at once.
pub struct Producer {
    server: Server,
    count: Arc<AtomicU64>,
}

impl Producer {
    /// One that has nothing yet.
    pub async fn start(page: u64) -> Self {
        let count = Arc::new(AtomicU64::new(0));
        let seen = count.clone();
        let server = Server::start(move |asked| {
            let body = list(&asked, seen.load(SeqCst), page);
            async move { json(body) }
        })
        .await;
        Self { server, count }
    }

    /// Where it lists.
    pub fn url(&self) -> String {
        self.server.url("/events")
    }

    /// So many more events happen; answers how many there are then.
    pub fn emit(&self, more: u64) -> u64 {
        self.count.fetch_add(more, SeqCst) + more
    }

    /// The settings of a source that probes it, for below `http:`.
    pub fn http(&self, page: u64) -> String {
        format!(
            "{{ url: \"{}\", listed: oldest_first, items: events, id: id, start: earliest, \
             cursor: {{ last_id: {{ query: after }} }}, pages: {{ item_id: {{ query: after }} }}, \
             stop: {{ short_page: {page} }} }}",
            self.url()
        )
    }
}

fn list(asked: &Asked, count: u64, page: u64) -> String {
    let after = asked.query("after").and_then(|id| number(&id)).unwrap_or(0);
    let mut body = String::from("{\"events\": [");
    for n in after + 1..=count.min(after + page) {
        let comma = if n == after + 1 { "" } else { ", " };
        write!(body, "{comma}{}", item(n)).unwrap();
    }
    body.push_str("]}");
    body
}

/// The id of event `n`.
pub fn id(n: u64) -> String {
    format!("e-{n:08}")
}

/// The number in an id.
pub fn number(id: &str) -> Option<u64> {
    id.strip_prefix("e-")?.parse().ok()
}

/// The bytes of event `n`: with white space, escapes and numbers that no serialiser would write so.
pub fn item(n: u64) -> String {
    format!(
        "{{ \"id\" : \"{}\",\t\"n\": {n}, \"price\": {n}.50e0, \"name\": \"caf\\u00e9 \\/ {n}\" }}",
        id(n)
    )
}
