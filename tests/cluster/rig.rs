//! Nodes of one configuration on a database of their own.

use std::{
    collections::HashMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::load::{Endpoints, Lists, Load};
use crate::support::{
    Api, LONG, Place, Relay, eventually,
    postgres::{Database, Release},
    proxy::Proxy,
};

/// The nodes, and what they work on.
pub(crate) struct Rig {
    pub load: Load,
    pub lists: Lists,
    pub endpoints: Endpoints,
    pub nodes: Vec<Node>,
    pub database: Database,
    term: Duration,
}

/// A process that may be down.
pub(crate) struct Node {
    pub place: Place,
    pub relay: Option<Relay>,
    /// Its way to the database.
    pub wire: Proxy,
}

impl Node {
    pub(crate) fn api(&self) -> Api {
        self.place.api()
    }
}

impl Rig {
    /// Nodes that are down.
    pub(crate) async fn new(nodes: usize, term: Duration, load: Load) -> Self {
        let database = Database::new(Release::Oldest).await;
        Self::on(database, nodes, term, load).await
    }

    /// Nodes that are down, on this database.
    pub(crate) async fn on(database: Database, nodes: usize, term: Duration, load: Load) -> Self {
        let lists = Lists::start(load).await;
        let endpoints = Endpoints::start(Duration::from_millis(2)).await;
        let mut rig = Self { load, lists, endpoints, nodes: Vec::new(), database, term };
        for number in 0..nodes {
            rig.add(number).await;
        }
        rig
    }

    /// One node more, which is down.
    pub(crate) async fn add(&mut self, number: usize) {
        let mut yaml = String::from("sources:\n");
        for source in 0..self.load.sources {
            let http = self.lists.http(source);
            let every = if source < self.load.busy { "500ms" } else { "5s" };
            writeln!(
                yaml,
                "  - {{ name: s{source}, topic: t{source}, interval: {{ every: {every}, min: {every}, \
                 max: {every} }}, http: {http} }}"
            )
            .unwrap();
        }
        yaml.push_str("subscriptions:\n");
        for subscription in 0..self.load.subscriptions {
            let (topic, url) = (self.load.topic_of(subscription), self.endpoints.url(subscription));
            let order = if is_ordered(subscription) { "key" } else { "none" };
            writeln!(
                yaml,
                "  - {{ name: b{subscription}, topic: t{topic}, from: earliest, order: {order}, \
                 webhook: {{ url: \"{url}\", secret: {{ env: HOOK_SECRET }} }} }}"
            )
            .unwrap();
        }
        let (wire, url) = Proxy::start(&self.database.url).await;
        let store = format!("\"{url}\"");
        let cluster = format!("{{ node: node-{number}, term: {}ms }}", self.term.as_millis());
        let place = Place::node(&store, &cluster, &yaml);
        self.nodes.push(Node { place, relay: None, wire });
    }

    /// Starts a node and waits until it is ready.
    pub(crate) async fn start(&mut self, node: usize) {
        let relay = self.nodes[node].place.start().await;
        self.nodes[node].relay = Some(relay);
    }

    /// Starts all nodes, and waits until every piece of work is held.
    pub(crate) async fn start_all(&mut self) {
        for node in 0..self.nodes.len() {
            self.start(node).await;
        }
        self.until_held().await;
    }

    /// A client of some node that runs, but not of this one.
    pub(crate) fn other(&self, than: usize) -> Api {
        let is_other = |(number, node): &(usize, &Node)| *number != than && node.relay.is_some();
        self.nodes.iter().enumerate().find(is_other).expect("another node").1.api()
    }

    /// A client of some node that runs.
    pub(crate) fn any(&self) -> Api {
        self.other(usize::MAX)
    }

    /// Waits until every node that runs is one of those that live, nobody else is, and all work is
    /// held; answers how long that took.
    pub(crate) async fn until_held(&self) -> Duration {
        let (begun, api) = (Instant::now(), self.any());
        let up = self.nodes.iter().filter(|node| node.relay.is_some()).count();
        eventually("all work held", || async {
            let request = api.request("GET", "/v1/cluster");
            let reply = api.try_send(request).await.filter(|reply| reply.status == 200)?;
            let cluster = reply.json();
            let alive = cluster["nodes"].as_array()?.iter().filter(|node| node["alive"] == true);
            if alive.count() == up && count(&cluster["unheld"]) == 0 {
                return Some(());
            }
            // An operator does not ask all the time either.
            tokio::time::sleep(Duration::from_millis(90)).await;
            None
        })
        .await;
        begun.elapsed()
    }

    /// Pieces of one kind that each node which lives holds.
    pub(crate) async fn held(&self, kind: &str) -> Vec<u64> {
        let cluster = self.any().get("/v1/cluster").await.ok();
        let nodes = cluster["nodes"].as_array().unwrap().iter();
        let alive = nodes.filter(|node| node["alive"] == true);
        alive.map(|node| node["work"][kind].as_u64().unwrap()).collect()
    }

    /// Has no more events, and waits until all that happened is in the log and was accepted;
    /// answers how many events each source had.
    pub(crate) async fn settle(&mut self) -> Vec<u64> {
        let had = self.lists.stop();
        let api = self.any();
        let begun = Instant::now();
        while let Some(behind) = behind(&api, &had).await {
            if begun.elapsed() > LONG {
                for path in [format!("/v1/sources/s{behind}"), "/v1/cluster".into()] {
                    eprintln!("{path}: {}", api.get(&path).await.body);
                }
                panic!("t{behind} has not everything");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let begun = Instant::now();
        while let Some(late) = self.late(&had) {
            if begun.elapsed() > LONG / 2 {
                for path in [format!("/v1/subscriptions/b{late}"), "/v1/cluster".into()] {
                    eprintln!("{path}: {}", api.get(&path).await.body);
                }
                panic!("b{late} got not everything");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        had
    }

    /// A subscription that has not got everything.
    fn late(&self, had: &[u64]) -> Option<usize> {
        let got = self.endpoints.got();
        (0..self.load.subscriptions).find(|subscription| {
            let mut versions: Vec<u64> =
                got.get(subscription).into_iter().flatten().map(|got| got.version).collect();
            versions.sort_unstable();
            versions.dedup();
            (versions.len() as u64) < had[self.load.topic_of(*subscription)]
        })
    }

    /// Stops all nodes that run.
    pub(crate) async fn stop_all(&mut self) {
        for node in &mut self.nodes {
            if let Some(relay) = node.relay.take() {
                assert!(relay.stop().await.success());
            }
        }
    }
}

/// A source of which not every event is in the log.
async fn behind(api: &Api, had: &[u64]) -> Option<usize> {
    let topics = api.get("/v1/topics?limit=1000").await.ok();
    let all = topics["topics"].as_array().expect("topics");
    let heads: HashMap<&str, u64> = all
        .iter()
        .filter_map(|topic| Some((topic["topic"].as_str()?, topic["head"].as_u64()?)))
        .collect();
    let is_behind = |source: &usize| heads.get(&*format!("t{source}")) < Some(&had[*source]);
    (0..had.len()).find(is_behind)
}

/// Whether a subscription wants its events in order by key; the others get them in parallel.
pub(crate) const fn is_ordered(subscription: usize) -> bool {
    subscription.is_multiple_of(2)
}

/// The sum of what a view counts.
pub(crate) fn count(view: &Value) -> u64 {
    view.as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum()
}
