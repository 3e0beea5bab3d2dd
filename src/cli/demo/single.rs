//! The whole job in one process, within ten seconds.
//!
//! A sample producer and a flaky consumer stand on ports of their own; between them runs the relay
//! as it always runs, on a file in a temporary directory.

use std::{process::ExitCode, sync::atomic::Ordering, time::Duration};

use serde_json::Value;
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::{Instant, sleep, timeout_at},
};

use super::{
    super::{
        Failure,
        client::Client,
        output::print,
        run::{Signals, stop},
    },
    checks::Evidence,
    consumer::{self, POISON, Received},
    producer::Shop,
    stage::{replay, secret, serve, tell},
    story::{Mark, Story},
};
use crate::{
    clock::{self, Clock},
    config,
    node::{Node, Role},
};

/// Orders that the shop has when it is first asked: more than one page.
const ORDERS_AT_FIRST: usize = 6;
/// Orders of the part that is checked.
const ORDERS: usize = 14;
/// Between two new orders of the part that is checked.
const BETWEEN_ORDERS: Duration = Duration::from_millis(350);
/// After this the part that is checked is over, complete or not.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long work under way may take when the demo is stopped.
const DRAIN: Duration = Duration::from_secs(5);

/// The stage: who plays, and where.
struct Stage {
    shop: Shop,
    node: Node,
    client: Client,
    /// Where the relay's API is.
    api: String,
    /// Where the shop lists its orders.
    producer: String,
    received: UnboundedReceiver<Received>,
    story: Story,
    /// Removed when the demo ends.
    _directory: tempfile::TempDir,
}

pub(super) async fn run(once: bool) -> Result<ExitCode, Failure> {
    let mut signals = Signals::new()?;
    let mut stage = Stage::build().await?;
    let told = tokio::select! {
        told = stage.show() => Some(told?),
        () = signals.stop() => None,
    };
    let kept = told.unwrap_or(false);
    if told.is_some() && !once {
        stage.go_on(&mut signals).await?;
    }
    stop(stage.node, DRAIN, signals.stop()).await;
    Ok(if kept || (told.is_none() && !once) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Stage {
    async fn build() -> Result<Self, Failure> {
        let clock = Clock::system();
        let shop = Shop::new();
        (0..ORDERS_AT_FIRST).for_each(|_| shop.order(&clock));
        let producer = serve(shop.router(), "/orders").await?;
        let secret = secret();
        let key = secret.parse().map_err(|_| Failure::new("the secret is not usable"))?;
        let (told, received) = unbounded_channel();
        let consumer = serve(consumer::router(key, told, consumer::flaky), "/hooks").await?;
        let directory = tempfile::tempdir()?;
        let database = format!("sqlite:{}", directory.path().join("demo.db").display());
        let env = |name: &str| match name {
            "STORE" => Some(database.clone()),
            "PRODUCER" => Some(producer.clone()),
            "CONSUMER" => Some(consumer.clone()),
            "SECRET" => Some(secret.clone()),
            _ => None,
        };
        let config = config::parse(include_str!("demo.yaml"), "demo.yaml", env)?;
        let story = Story::new(clock.clone());
        let node = Node::start(config, &Role::ALL, clock).await?;
        let api = node.address().map(|address| format!("http://{address}")).unwrap_or_default();
        story.tell(Mark::Good, "console", &format!("{api}/console/ shows it in a browser"))?;
        story.tell(
            Mark::Plain,
            "producer",
            &format!("{producer}: a list of orders in pages of four"),
        )?;
        story.tell(Mark::Plain, "relay", &format!("{api}: asks it every 150 ms, keeps, pushes"))?;
        story.tell(
            Mark::Plain,
            "consumer",
            &format!("{consumer}: verifies signatures, fails now and then"),
        )?;
        let client = Client::new(&api)?;
        Ok(Self { shop, node, client, api, producer, received, story, _directory: directory })
    }

    /// The part that is checked: answers whether everything was as promised.
    async fn show(&mut self) -> Result<bool, Failure> {
        let until = clock::instant() + PATIENCE;
        let received = self.watch(until).await?;
        let dead = self.dead_letters(until).await?;
        for letter in &dead {
            let text = format!(
                "version {:<3} {}  given up after {} attempts; kept for redrive",
                letter["from"].as_u64().unwrap_or_default(),
                letter.pointer("/event/id").and_then(Value::as_str).unwrap_or("?"),
                letter["attempts"]
            );
            self.story.tell(Mark::Bad, "dead", &text)?;
        }
        let replay = replay(&self.client).await?;
        let text = format!("versions 1 to {} read again over the API", replay.len());
        self.story.tell(Mark::Good, "replay", &text)?;
        let (requests, unchanged) = (
            self.shop.requests.load(Ordering::Relaxed),
            self.shop.unchanged.load(Ordering::Relaxed),
        );
        let text = format!("{requests} requests, {unchanged} of them answered 304 Not Modified");
        self.story.tell(Mark::Plain, "producer", &text)?;
        let evidence =
            Evidence { orders: ORDERS, received: &received, replay: &replay, dead: &dead };
        print("")?;
        tell(&self.story, evidence.checks())
    }

    /// Lets orders come in and prints what the consumer gets, until it has got everything or the
    /// time is up.
    async fn watch(&mut self, until: Instant) -> Result<Vec<Received>, Failure> {
        let mut received: Vec<Received> = Vec::new();
        let mut next_order = clock::instant() + BETWEEN_ORDERS;
        let mut taken = std::collections::BTreeSet::new();
        let mut poisoned = 0;
        while taken.len() + 1 < ORDERS || poisoned < 3 {
            let pause = if self.shop.count() < ORDERS { next_order.min(until) } else { until };
            match timeout_at(pause, self.received.recv()).await {
                Ok(Some(one)) => {
                    self.story.received(&one)?;
                    if one.status < 300 {
                        taken.insert(one.version);
                    }
                    poisoned += u32::from(one.id == POISON);
                    received.push(one);
                }
                Ok(None) | Err(_) if clock::instant() >= until => break,
                Ok(None) => break,
                Err(_) => {
                    self.shop.order(&Clock::system());
                    next_order += BETWEEN_ORDERS;
                }
            }
        }
        Ok(received)
    }

    /// The dead letters, as soon as there is one.
    async fn dead_letters(&self, until: Instant) -> Result<Vec<Value>, Failure> {
        let path = ["v1", "subscriptions", "billing", "dead-letters"];
        loop {
            let answer = self.client.get(&path, &[]).await?;
            let letters = answer["dead_letters"].as_array().cloned().unwrap_or_default();
            if !letters.is_empty() || clock::instant() >= until {
                return Ok(letters);
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Goes on until Ctrl-C.
    async fn go_on(&mut self, signals: &mut Signals) -> Result<(), Failure> {
        let Self { api, producer, .. } = &*self;
        print("\nIt keeps running, with an order every two seconds; open")?;
        for (url, what) in [
            (format!("{api}/console/"), "all of it in a browser"),
            (format!("{api}/docs"), "the API"),
            (format!("{api}/v1/topics/orders/events?after=0"), "the log from version 1"),
            (format!("{api}/v1/subscriptions/billing"), "where the consumer stands"),
            (format!("{api}/metrics"), "what is measured"),
            (producer.clone(), "what the producer shows"),
        ] {
            print(&format!("  {url:<58}  {what}"))?;
        }
        print("Ctrl-C ends it.\n")?;
        loop {
            tokio::select! {
                () = signals.stop() => return Ok(()),
                Some(one) = self.received.recv() => self.story.received(&one)?,
                () = sleep(Duration::from_secs(2)) => self.shop.order(&Clock::system()),
            }
        }
    }
}
