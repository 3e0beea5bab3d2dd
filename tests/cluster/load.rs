//! What the nodes work on: a producer with many lists, and a consumer with many endpoints.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;

use crate::support::server::{Server, answer, json};

/// Events that one page lists.
const PAGE: u64 = 200;
/// Events of a source have so many keys by turns.
const KEYS: u64 = 4;

/// How much there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// One topic each.
    pub sources: usize,
    /// Those of them that have events all the time; the others have one now and then.
    pub busy: usize,
    /// The first of them one for each busy topic, the rest by turns on the quiet ones.
    pub subscriptions: usize,
    /// Over all busy sources.
    pub events_per_second: u64,
}

impl Load {
    /// The topic of a subscription.
    pub(crate) fn topic_of(&self, subscription: usize) -> usize {
        let quiet = self.sources - self.busy;
        match subscription.checked_sub(self.busy) {
            Some(rest) if quiet > 0 => self.busy + rest % quiet,
            _ => subscription % self.sources,
        }
    }
}

/// Lists what happened, at `/SOURCE?after=ID`.
pub(crate) struct Lists {
    server: Server,
    last: Arc<Vec<AtomicU64>>,
    emitting: Option<JoinHandle<()>>,
}

impl Lists {
    pub(crate) async fn start(load: Load) -> Self {
        let last: Arc<Vec<AtomicU64>> =
            Arc::new((0..load.sources).map(|_| AtomicU64::new(0)).collect());
        let seen = last.clone();
        let server = Server::start(move |asked| {
            let source: usize = asked.parts.uri.path()[1..].parse().unwrap();
            let after = asked.query("after").and_then(|id| number(&id)).unwrap_or(0);
            let body = page(source, after, seen[source].load(SeqCst));
            async move { json(body) }
        })
        .await;
        Self { server, last, emitting: None }
    }

    /// Begins to have events, `load` of them.
    pub(crate) fn emit(&mut self, load: Load) {
        let last = self.last.clone();
        self.emitting = Some(tokio::spawn(async move {
            let begun = Instant::now();
            let mut rhythm = tokio::time::interval(Duration::from_millis(50));
            let (mut done, mut quiet) = (0, 0);
            loop {
                rhythm.tick().await;
                let due = u64::try_from(begun.elapsed().as_millis()).unwrap()
                    * load.events_per_second
                    / 1_000;
                for event in done..due {
                    last[usize::try_from(event).unwrap() % load.busy].fetch_add(1, SeqCst);
                }
                done = due;
                // One source has one event in each twentieth of a second.
                if load.busy < load.sources {
                    last[load.busy + quiet % (load.sources - load.busy)].fetch_add(1, SeqCst);
                    quiet += 1;
                }
            }
        }));
    }

    /// Has no more events; answers how many each source had.
    pub(crate) fn stop(&mut self) -> Vec<u64> {
        if let Some(emitting) = self.emitting.take() {
            emitting.abort();
        }
        self.last.iter().map(|last| last.load(SeqCst)).collect()
    }

    /// The settings of a source, for below `http:`.
    pub(crate) fn http(&self, source: usize) -> String {
        format!(
            "{{ url: \"{}\", listed: oldest_first, items: events, id: id, key: key, start: earliest, \
             cursor: {{ last_id: {{ query: after }} }}, pages: {{ item_id: {{ query: after }} }}, \
             stop: {{ short_page: {PAGE} }} }}",
            self.server.url(&format!("/{source}"))
        )
    }
}

fn page(source: usize, after: u64, last: u64) -> String {
    let mut body = String::from("{\"events\":[");
    for n in after + 1..=last.min(after + PAGE) {
        let comma = if n == after + 1 { "" } else { "," };
        write!(body, "{comma}{{\"id\":\"{}\",\"key\":\"k{}\"}}", id(source, n), n % KEYS).unwrap();
    }
    body.push_str("]}");
    body
}

/// The id of a source's event.
pub(crate) fn id(source: usize, n: u64) -> String {
    format!("{source}-{n}")
}

/// The number in an id.
pub(crate) fn number(id: &str) -> Option<u64> {
    id.split_once('-')?.1.parse().ok()
}

/// One request to an endpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Got {
    pub version: u64,
    pub started: Instant,
    /// When its answer was handed to the connection.
    pub finished: Option<Instant>,
}

/// Accepts whatever comes to `/SUBSCRIPTION`.
pub(crate) struct Endpoints {
    server: Server,
    got: Arc<Mutex<HashMap<usize, Vec<Got>>>>,
}

impl Endpoints {
    /// Endpoints that answer after `delay`.
    pub(crate) async fn start(delay: Duration) -> Self {
        let got = Arc::<Mutex<HashMap<usize, Vec<Got>>>>::default();
        let seen = got.clone();
        let server = Server::start(move |asked| {
            let subscription: usize = asked.parts.uri.path()[1..].parse().unwrap();
            let version =
                asked.header("milkrun-version").and_then(|text| text.parse().ok()).unwrap();
            let seen = seen.clone();
            async move {
                let one = Got { version, started: Instant::now(), finished: None };
                let place = {
                    let mut seen = seen.lock().unwrap();
                    let of = seen.entry(subscription).or_default();
                    of.push(one);
                    of.len() - 1
                };
                tokio::time::sleep(delay).await;
                seen.lock().unwrap().get_mut(&subscription).unwrap()[place].finished =
                    Some(Instant::now());
                answer(204, &[], "")
            }
        })
        .await;
        Self { server, got }
    }

    pub(crate) fn url(&self, subscription: usize) -> String {
        self.server.url(&format!("/{subscription}"))
    }

    /// Every request so far, in order of arrival.
    pub(crate) fn got(&self) -> HashMap<usize, Vec<Got>> {
        self.got.lock().unwrap().clone()
    }

    /// How many requests there were.
    pub(crate) fn count(&self) -> usize {
        self.got.lock().unwrap().values().map(Vec::len).sum()
    }
}
