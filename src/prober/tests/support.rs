//! A store in a directory of its own, a clock that stands still, a producer that is a function.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use probes::http::{HttpProbe, Spec};
use tokio::sync::watch;

use crate::{
    clock::{Clock, ManualClock},
    event::{Event, Micros, Name, Version},
    notices::{self, Notices},
    prober::{Limits, Memory, Prober, Report, Schedule, SourceSetup, Stepped},
    settings::TopicSettings,
    store::{
        EventSource, NewSource, Read, SourceState, Store,
        support::{Folder, store},
    },
    telemetry::Metrics,
};

pub(super) type Answer = dyn Fn(&Request<Bytes>) -> futures_util::future::BoxFuture<'static, Response<Bytes>>
    + Send
    + Sync;

pub(super) struct Bench {
    folder: Folder,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: ManualClock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) setup: SourceSetup,
    pub(super) prober: Prober,
    pub(super) asked: Arc<Mutex<Vec<String>>>,
    notices: Notices,
    writer: notices::Writer,
    network: probes::Network,
}

impl Bench {
    /// A source `shop` of topic `orders`.
    pub(super) async fn new(change: impl FnOnce(&mut Spec), answer: Box<Answer>) -> Self {
        Self::with_topic(&TopicSettings::default(), change, answer).await
    }

    pub(super) async fn with_topic(
        settings: &TopicSettings,
        change: impl FnOnce(&mut Spec),
        answer: Box<Answer>,
    ) -> Self {
        let (folder, store) = store().await;
        let clock = ManualClock::new(Micros(1_800_000_000_000_000));
        let mut spec =
            Spec::new(probes::http::Target::parse("https://shop.example.com/orders").unwrap());
        change(&mut spec);
        let (name, topic) = ("shop".parse().unwrap(), "orders".parse().unwrap());
        store.put_topic(&topic, settings, clock.now()).await.unwrap();
        let source = NewSource {
            name,
            topic,
            contract: spec.contract(),
            contract_before: None,
            event_source: EventSource::fixed(spec.effective_source()),
            config_hash: spec.fingerprint(),
        };
        let id = store.put_source(&source, clock.now()).await.unwrap().id;
        let setup = SourceSetup {
            id,
            name: source.name,
            topic: source.topic,
            contract: source.contract,
            config_hash: source.config_hash,
            probe: Arc::new(HttpProbe::new(spec).unwrap()),
            schedule: Schedule::every(Duration::from_mins(1)),
            walk_resume: Duration::from_mins(10),
            silent_after: Some(Duration::from_hours(24)),
        };
        let asked = Arc::new(Mutex::new(Vec::new()));
        let network = network(answer, asked.clone());
        let metrics = Metrics::new();
        store.put_topic(&Name::notices(), &notices::settings(), clock.now()).await.unwrap();
        let (notices, writer) =
            Notices::new(store.clone(), Clock::Manual(clock.clone()), metrics.clone());
        Self {
            prober: prober(&store, &clock, &network, &metrics, &notices, &setup),
            folder,
            store,
            clock,
            metrics,
            setup,
            asked,
            notices,
            writer,
            network,
        }
    }

    /// Changes the store's file behind its back.
    pub(super) async fn sabotage(&self, sql: &'static str) {
        self.folder.run(sql).await;
    }

    /// A prober as after a restart: it remembers nothing.
    pub(super) fn restart(&mut self) {
        self.prober = prober(
            &self.store,
            &self.clock,
            &self.network,
            &self.metrics,
            &self.notices,
            &self.setup,
        );
    }

    /// A prober for its loop.
    pub(super) fn looping(&self) -> Prober {
        let sources = watch::channel(Arc::new(vec![self.setup.clone()])).1;
        let clock = Clock::Manual(self.clock.clone());
        let (store, network) = (self.store.clone(), self.network.clone());
        let (metrics, notices) = (self.metrics.clone(), self.notices.clone());
        Prober::new(store, clock, network, metrics, notices, sources, Limits::default())
    }

    /// A prober for its loop, of as many sources more, `shop-0` and so on, of one interval.
    pub(super) async fn looping_many(&self, count: usize, interval: Duration) -> Prober {
        let mut setups = Vec::new();
        for index in 0..count {
            let name: Name = format!("shop-{index}").parse().unwrap();
            let source = NewSource {
                name: name.clone(),
                topic: self.setup.topic.clone(),
                contract: self.setup.contract.clone(),
                contract_before: None,
                event_source: EventSource::fixed(name.to_string()),
                config_hash: self.setup.config_hash.clone(),
            };
            let id = self.store.put_source(&source, self.clock.now()).await.unwrap().id;
            setups.push(SourceSetup {
                id,
                name,
                schedule: Schedule::every(interval),
                ..self.setup.clone()
            });
        }
        Prober { sources: watch::channel(Arc::new(setups)).1, ..self.looping() }
    }

    pub(super) async fn step(&self) -> Stepped {
        self.prober.step(&self.setup, &mut Memory::default()).await
    }

    /// Steps until the walk is complete or failed, through the pauses between its pages.
    pub(super) async fn walk(&self) {
        let mut memory = Memory::default();
        for _ in 0..100 {
            let before = self.state().await;
            if let Stepped::Due(due) = self.prober.step(&self.setup, &mut memory).await {
                let after = self.state().await;
                let paused = after.mark.is_some() && after.mark != before.mark;
                if !paused || after.report != before.report {
                    return;
                }
                self.clock.advance(due.since(self.clock.now()));
            }
        }
        panic!("the walk does not end");
    }

    /// Lets the next poll fall due.
    pub(super) async fn turn(&self) {
        let due = self.state().await.next_poll;
        self.clock.advance(due.since(self.clock.now()));
    }

    pub(super) async fn state(&self) -> SourceState {
        self.store.source(&self.setup.name).await.unwrap()
    }

    pub(super) async fn report(&self) -> Report {
        serde_json::from_str(&self.state().await.report.unwrap()).unwrap()
    }

    /// The ids in the log, in version order.
    pub(super) async fn ids(&self) -> Vec<String> {
        let (mut ids, mut after) = (Vec::new(), Version::ZERO);
        loop {
            let page = self.store.read(&self.setup.topic, Read::after(after)).await.unwrap();
            let Some(last) = page.events.last() else { return ids };
            after = last.version;
            ids.extend(page.events.iter().map(|event| event.attributes.get("id").unwrap()));
        }
    }

    /// What notices there are by now: type and data.
    pub(super) async fn notices(&mut self) -> Vec<(String, serde_json::Value)> {
        self.writer.step().await.unwrap();
        let page = self.store.read(&Name::notices(), Read::after(Version::ZERO)).await.unwrap();
        let read = |event: &Arc<Event>| {
            let data = serde_json::from_slice(event.data.bytes()).unwrap();
            (event.attributes.get("type").unwrap(), data)
        };
        page.events.iter().map(read).collect()
    }

    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn prober(
    store: &Arc<dyn Store>,
    clock: &ManualClock,
    network: &probes::Network,
    metrics: &Arc<Metrics>,
    notices: &Notices,
    setup: &SourceSetup,
) -> Prober {
    let sources = watch::channel(Arc::new(vec![setup.clone()])).1;
    let clock = Clock::Manual(clock.clone());
    let (store, network, metrics) = (store.clone(), network.clone(), metrics.clone());
    Prober::new(store, clock, network, metrics, notices.clone(), sources, Limits::default())
}

fn network(answer: Box<Answer>, asked: Arc<Mutex<Vec<String>>>) -> probes::Network {
    let answer = Arc::new(answer);
    tower::util::BoxCloneSyncService::new(tower::service_fn(move |request: Request<Bytes>| {
        asked.lock().unwrap().push(request.uri().query().unwrap_or("").to_owned());
        let answer = answer(&request);
        async move {
            let body = |bytes| Full::new(bytes).map_err(|never| match never {}).boxed_unsync();
            Ok::<_, std::io::Error>(answer.await.map(body))
        }
    }))
}

/// A producer that answers at once.
pub(super) fn at_once(
    answer: impl Fn(&Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
) -> Box<Answer> {
    Box::new(move |request| {
        let answer = answer(request);
        Box::pin(async move { answer })
    })
}

pub(super) fn items(ids: impl IntoIterator<Item = u64>) -> Response<Bytes> {
    let items: serde_json::Value =
        ids.into_iter().map(|id| serde_json::json!({ "id": id })).collect();
    Response::new(Bytes::from(items.to_string()))
}

pub(super) fn status(code: u16) -> Response<Bytes> {
    Response::builder().status(code).body(Bytes::new()).unwrap()
}

/// The number of the page that is asked for.
pub(super) fn page_of(request: &Request<Bytes>) -> u64 {
    let query = request.uri().query().unwrap_or("");
    query.split("page=").nth(1).map_or(1, |page| page.parse().unwrap())
}

pub(super) fn ids(range: std::ops::RangeInclusive<u64>) -> Vec<String> {
    range.map(|id| id.to_string()).collect()
}
