//! One relay that polls one liar: stepped by hand, killed at chosen moments, opened again.

use std::{
    future::{Future as _, poll_fn},
    path::Path,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use milkrun::{
    clock::{Clock, ManualClock},
    config,
    event::{Micros, Version},
    notices::Notices,
    prober::{Limits, Memory, Prober, Report, Schedule, SourceSetup, Stepped},
    settings::TopicSettings,
    store::{Gap, Options, Read, SourceState, Steer, Store, open},
    telemetry::Metrics,
};
use probes::http::HttpProbe;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::support::liar::{Content, Liar};

/// When a step is killed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Crash {
    /// The answer was made and is never read.
    Answer,
    /// When the step waits for so many things after its answer came: the append has begun, and
    /// nobody hears of its end.
    Append(usize),
    /// When it has waited so often, whatever for.
    Wait(usize),
}

/// One event of the log.
#[derive(Debug, Clone)]
pub(super) struct Logged {
    pub event_id: String,
    pub id: u64,
    pub content: Content,
}

pub(super) struct Bench {
    dir: TempDir,
    pub store: Arc<dyn Store>,
    pub clock: ManualClock,
    pub liar: Liar,
    setup: SourceSetup,
    prober: Prober,
    memory: Memory,
    pub log: Vec<Logged>,
    read: Version,
}

impl Bench {
    pub(super) async fn new(http: &str, liar: Liar) -> Self {
        let text = format!(
            "sources:\n  - name: shop\n    topic: orders\n    interval: 60s\n    http:\n      \
             url: https://shop.example.com/list\n      id: id\n      items: items\n      \
             fail_when: page.error{http}\n"
        );
        let config = config::parse(&text, "liar.yaml", |_| None)
            .unwrap_or_else(|error| panic!("{error}\n{text}"));
        let source = &config.sources[0];
        let clock = ManualClock::new(Micros(1_800_000_000_000_000));
        // Memory, where there is such a place: what a disk does is tried by other tests.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let store = open_in(dir.path()).await;
        let topic = &source.topic;
        store.put_topic(topic, &TopicSettings::default(), clock.now()).await.unwrap();
        let new = source.new_source();
        let id = store.put_source(&new, clock.now()).await.unwrap().id;
        let setup = SourceSetup {
            id,
            name: new.name,
            topic: new.topic,
            contract: new.contract,
            config_hash: new.config_hash,
            probe: Arc::new(HttpProbe::new(source.http.clone()).unwrap()),
            schedule: Schedule::every(source.interval),
            walk_resume: source.walk_resume,
            silent_after: None,
        };
        let prober = prober(&store, &clock, &liar);
        let (memory, log, read) = (Memory::default(), Vec::new(), Version::ZERO);
        Self { dir, store, clock, liar, setup, prober, memory, log, read }
    }

    /// One step, and then the clock stands where the next is due; `None`: it was killed.
    pub(super) async fn step(&mut self, crash: Option<Crash>) -> Option<Stepped> {
        let stepped = self.until(crash).await;
        match stepped {
            Some(Stepped::Due(due)) => {
                // A step that came too early waits for the same moment.
                self.clock.advance(due.since(self.clock.now()) + Duration::from_micros(1));
            }
            Some(_) => {}
            None => self.restart(crash).await,
        }
        stepped
    }

    async fn until(&mut self, crash: Option<Crash>) -> Option<Stepped> {
        let before = {
            let mut state = self.liar.state();
            state.vanish = matches!(crash, Some(Crash::Answer));
            state.requests
        };
        let liar = self.liar.clone();
        let mut step = pin!(self.prober.step(&self.setup, &mut self.memory));
        let mut waits = 0;
        poll_fn(|context| match step.as_mut().poll(context) {
            Poll::Ready(stepped) => Poll::Ready(Some(stepped)),
            Poll::Pending => {
                let answered = liar.state().requests > before;
                waits += usize::from(answered || matches!(crash, Some(Crash::Wait(_))));
                let killed = match crash {
                    None => false,
                    Some(Crash::Answer) => answered,
                    Some(Crash::Append(wanted) | Crash::Wait(wanted)) => waits >= wanted,
                };
                if killed { Poll::Ready(None) } else { Poll::Pending }
            }
        })
        .await
    }

    /// A new process, on what the old one left; of one that was killed in mid-append what the
    /// store had accepted is there.
    async fn restart(&mut self, crash: Option<Crash>) {
        self.liar.state().vanish = false;
        if matches!(crash, Some(Crash::Append(1) | Crash::Wait(1))) {
            self.store.close().await;
            self.store = open_in(self.dir.path()).await;
        } else {
            // A write is behind all that were accepted before it.
            let settings = TopicSettings::default();
            self.store.put_topic(&self.setup.topic, &settings, self.clock.now()).await.unwrap();
        }
        self.prober = prober(&self.store, &self.clock, &self.liar);
        self.memory = Memory::default();
    }

    pub(super) async fn state(&self) -> SourceState {
        self.store.source(&self.setup.name).await.unwrap()
    }

    pub(super) async fn gaps(&self) -> Vec<Gap> {
        self.store.gaps(&self.setup.topic, 1_000).await.unwrap()
    }

    /// Reads what came into the log since.
    pub(super) async fn catch_up(&mut self) {
        loop {
            let page = self.store.read(&self.setup.topic, Read::after(self.read)).await.unwrap();
            let Some(last) = page.events.last() else { return };
            self.read = last.version;
            for event in &page.events {
                let data: serde_json::Value = serde_json::from_slice(event.data.bytes()).unwrap();
                self.log.push(Logged {
                    event_id: event.attributes.get("id").unwrap(),
                    id: data["id"].as_u64().unwrap(),
                    content: (
                        data["content"].as_str().unwrap().chars().next().unwrap(),
                        data["at"].as_i64().unwrap(),
                    ),
                });
            }
        }
    }

    /// What an operator does about a cursor that is lost for good.
    pub(super) async fn reset_cursor(&self) {
        let now = self.clock.now();
        self.store
            .steer_source(&self.setup.name, Steer::Reset(probes::http::reset), now)
            .await
            .unwrap();
    }

    pub(super) fn report(state: &SourceState) -> Option<Report> {
        state.report.as_deref().map(|report| serde_json::from_str(report).unwrap())
    }
}

async fn open_in(dir: &Path) -> Arc<dyn Store> {
    let url = format!("sqlite:{}", dir.join("test.db").display());
    open(&url, &Options { readers: 1, ..Options::default() }).await.unwrap()
}

fn prober(store: &Arc<dyn Store>, clock: &ManualClock, liar: &Liar) -> Prober {
    let clock = Clock::Manual(clock.clone());
    let sources = watch::channel(Arc::default()).1;
    let (metrics, notices) = (Metrics::new(), Notices::none());
    let limits = Limits::default();
    Prober::new(store.clone(), clock, liar.network(), metrics, notices, sources, limits)
}
