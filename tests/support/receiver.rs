//! A webhook consumer that records every request and answers as scripted.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::body::Bytes;
use tokio::sync::watch;

use super::{
    LONG,
    server::{Asked, Server, answer},
    within,
};

/// One request to the consumer.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    /// `webhook-id`.
    pub id: String,
    /// `milkrun-version`.
    pub version: u64,
    /// `milkrun-attempt`.
    pub attempt: u32,
    /// The body.
    pub body: Bytes,
    /// When it had arrived.
    pub started: Instant,
    /// When its answer was handed to the connection.
    pub finished: Option<Instant>,
    /// What was answered.
    pub status: u16,
}

impl Delivery {
    /// Whether it was accepted, as far as the consumer knows.
    pub(crate) fn accepted(&self) -> bool {
        self.finished.is_some() && self.status < 300
    }
}

/// How a consumer answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    /// With this status.
    pub status: u16,
    /// After so long.
    pub delay: Duration,
}

impl Answer {
    /// At once, with this status.
    pub(crate) fn status(status: u16) -> Self {
        Self { status, delay: Duration::ZERO }
    }
}

type Script = Arc<dyn Fn(&Delivery) -> Answer + Send + Sync>;

/// Records every request; may go down and come back at the same address.
pub(crate) struct Receiver {
    address: SocketAddr,
    server: Option<Server>,
    script: Script,
    seen: Seen,
}

#[derive(Clone)]
struct Seen {
    log: Arc<Mutex<Vec<Delivery>>>,
    accepted: Arc<Mutex<HashSet<u64>>>,
    /// Requests so far, and distinct versions accepted.
    counts: watch::Sender<(usize, usize)>,
}

impl Receiver {
    /// A consumer that answers by `script`.
    pub(crate) async fn start(
        script: impl Fn(&Delivery) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let script: Script = Arc::new(script);
        let seen = Seen {
            log: Arc::default(),
            accepted: Arc::default(),
            counts: watch::Sender::new((0, 0)),
        };
        let server = serve("127.0.0.1:0".parse().unwrap(), &script, &seen).await;
        Self { address: server.address(), server: Some(server), script, seen }
    }

    /// A consumer that accepts everything.
    pub(crate) async fn accepting() -> Self {
        Self::start(|_| Answer::status(204)).await
    }

    /// Nobody listens any more.
    pub(crate) fn down(&mut self) {
        self.server = None;
    }

    /// Listens again.
    pub(crate) async fn up(&mut self) {
        self.server = Some(serve(self.address, &self.script, &self.seen).await);
    }

    /// Where it wants its events.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Every request so far, in order of arrival.
    pub(crate) fn deliveries(&self) -> Vec<Delivery> {
        self.seen.log.lock().unwrap().clone()
    }

    /// How many requests there were.
    pub(crate) fn requests(&self) -> usize {
        self.seen.counts.borrow().0
    }

    /// Waits until so many versions were accepted.
    pub(crate) async fn until_accepted(&self, count: usize) {
        let mut counts = self.seen.counts.subscribe();
        let wait = counts.wait_for(|(_, accepted)| *accepted >= count);
        let waited = tokio::time::timeout(LONG, wait).await.is_ok();
        let (requests, accepted) = *self.seen.counts.borrow();
        assert!(waited, "{accepted} of {count} accepted within {LONG:?}, {requests} requests");
    }

    /// Waits until there were so many requests.
    pub(crate) async fn until_requests(&self, count: usize) {
        let mut counts = self.seen.counts.subscribe();
        let wait = counts.wait_for(|(requests, _)| *requests >= count);
        within(LONG, &format!("{count} requests"), wait).await.unwrap();
    }
}

async fn serve(address: SocketAddr, script: &Script, seen: &Seen) -> Server {
    let (script, seen) = (script.clone(), seen.clone());
    Server::at(address, move |asked| {
        let (script, seen) = (script.clone(), seen.clone());
        async move {
            let delivery = record(asked);
            let said = script(&delivery);
            let version = delivery.version;
            let place = seen.arrived(delivery);
            tokio::time::sleep(said.delay).await;
            seen.answered(place, version, said.status);
            answer(said.status, &[], "")
        }
    })
    .await
}

fn record(asked: Asked) -> Delivery {
    let number = |name| asked.header(name).and_then(|text| text.parse().ok()).unwrap_or(0);
    Delivery {
        id: asked.header("webhook-id").unwrap_or_default().to_owned(),
        version: number("milkrun-version"),
        attempt: u32::try_from(number("milkrun-attempt")).unwrap(),
        started: Instant::now(),
        finished: None,
        status: 0,
        body: asked.body,
    }
}

impl Seen {
    fn arrived(&self, delivery: Delivery) -> usize {
        let mut log = self.log.lock().unwrap();
        log.push(delivery);
        self.counts.send_modify(|counts| counts.0 += 1);
        log.len() - 1
    }

    fn answered(&self, place: usize, version: u64, status: u16) {
        let mut log = self.log.lock().unwrap();
        log[place].finished = Some(Instant::now());
        log[place].status = status;
        if status < 300 {
            let mut accepted = self.accepted.lock().unwrap();
            accepted.insert(version);
            let distinct = accepted.len();
            self.counts.send_modify(|counts| counts.1 = distinct);
        }
    }
}
