//! The scene: the database, the nodes, the producer and the consumer, and what happens next.

use std::{
    collections::BTreeSet, fs::Permissions, os::unix::fs::PermissionsExt as _, time::Duration,
};

use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::{Instant, sleep_until},
};

use super::{
    super::{
        super::Failure,
        consumer::{self, Received},
        producer::Shop,
        stage::{secret, serve},
        story::{Mark, Story},
    },
    board::{Board, Holders},
    node::RunningNode,
    postgres::Postgres,
    programs::Starter,
};
use crate::clock::{self, Clock};

/// What the nodes are called.
const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];
/// Orders that the shop has when it is first asked.
const ORDERS_AT_FIRST: usize = 4;
/// Between two looks at who holds what.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Everything of the demo. What is dropped ends: first the nodes, then the database, then the folder.
pub(super) struct Scene {
    /// The nodes that live.
    pub(super) nodes: Vec<RunningNode>,
    board: Board,
    _postgres: Postgres,
    _folder: tempfile::TempDir,
    pub(super) shop: Shop,
    /// Where the shop lists its orders.
    pub(super) producer: String,
    received: UnboundedReceiver<Received>,
    /// Every request that the consumer got.
    pub(super) seen: Vec<Received>,
    pub(super) story: Story,
    next_order: Instant,
    next_look: Instant,
}

/// What happens next.
pub(super) enum Turn {
    /// The shop has one more order.
    Order,
    /// The consumer got one.
    Delivery,
    /// It was looked who holds what.
    Look(Holders),
}

impl Scene {
    pub(super) async fn build() -> Result<Self, Failure> {
        let (clock, starter) = (Clock::system(), Starter::new());
        let story = Story::new(clock.clone());
        // Who runs the database may enter it, and see nothing but what is his.
        let open = Permissions::from_mode(0o711);
        let folder =
            tempfile::Builder::new().prefix("milkrun-demo-").permissions(open).tempdir()?;
        let postgres = Postgres::start(starter, &folder.path().join("postgres")).await?;
        let text = format!("PostgreSQL {}, in {}", postgres.version, folder.path().display());
        story.tell(Mark::Plain, "database", &text)?;
        let shop = Shop::new();
        (0..ORDERS_AT_FIRST).for_each(|_| shop.order(&clock));
        let producer = serve(shop.router(), "/orders").await?;
        story.tell(Mark::Plain, "producer", &format!("{producer}: a list of orders"))?;
        let secret = secret();
        let key = secret.parse().map_err(|_| Failure::new("the secret is not usable"))?;
        let (told, received) = unbounded_channel();
        let consumer = serve(consumer::router(key, told, consumer::calm), "/hooks").await?;
        story.tell(Mark::Plain, "consumer", &format!("{consumer}: verifies signatures"))?;
        std::fs::write(folder.path().join("cluster.yaml"), include_str!("cluster.yaml"))?;
        let environment: [(&str, &str); 4] = [
            ("STORE", &postgres.url),
            ("PRODUCER", &producer),
            ("CONSUMER", &consumer),
            ("SECRET", &secret),
        ];
        let start = |name| RunningNode::start(starter, folder.path(), name, &environment);
        let nodes = futures_util::future::try_join_all(NODES.map(start)).await?;
        for node in &nodes {
            story.tell(
                Mark::Plain,
                &node.name,
                &format!("{}: a relay on the database", node.api),
            )?;
        }
        let board = Board::open(&postgres.url).await?;
        let now = clock::instant();
        Ok(Self {
            nodes,
            board,
            _postgres: postgres,
            _folder: folder,
            shop,
            producer,
            received,
            seen: Vec::new(),
            story,
            next_order: now,
            next_look: now,
        })
    }

    /// Waits for what happens next, and tells it. With `every` there is an order that often.
    pub(super) async fn turn(&mut self, every: Option<Duration>) -> Result<Turn, Failure> {
        tokio::select! {
            Some(one) = self.received.recv() => {
                self.tell(&one)?;
                self.seen.push(one);
                Ok(Turn::Delivery)
            }
            () = sleep_until(self.next_order), if every.is_some() => {
                self.shop.order(&Clock::system());
                self.next_order = clock::instant() + every.unwrap_or_default();
                Ok(Turn::Order)
            }
            () = sleep_until(self.next_look) => {
                let holders = self.board.look().await?;
                self.next_look = clock::instant() + LOOK_EVERY;
                Ok(Turn::Look(holders))
            }
        }
    }

    /// Tells what the consumer got.
    fn tell(&self, one: &Received) -> Result<(), Failure> {
        let is_again = self.seen.iter().any(|seen| seen.id == one.id && seen.status < 300);
        if !is_again {
            return self.story.received(one);
        }
        let text = format!("version {:<3} {}  came before", one.version, one.id);
        self.story.tell(Mark::Warning, "again", &text)
    }

    /// Whether the consumer has got every order.
    pub(super) fn has_reached_all(&self) -> bool {
        let seen: BTreeSet<&str> = self.seen.iter().map(|one| &*one.id).collect();
        self.shop.ids().iter().all(|id| seen.contains(&**id))
    }
}
