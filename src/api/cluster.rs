//! The nodes on this store: what each does, and what nobody does.

use std::collections::BTreeSet;

use axum::{
    Json,
    extract::State,
    routing::{self, MethodRouter},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{ApiState, problem::Problem};
use crate::store::{MemberState, Share, SourceStatus, Work};

/// The nodes, and the work that is left over.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClusterView {
    /// By name; one that ended is shown for an hour.
    nodes: Vec<NodeView>,
    /// What nobody does at present: free work is claimed within a second, that of a node that died
    /// when its term ends. What lasts here has no node of its role.
    unheld: WorkView,
}

/// A node.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NodeView {
    /// `cluster.node`, else its machine and port.
    name: String,
    /// Its number: a process that begins anew has another one.
    incarnation: u64,
    /// Whether it is the one that answers.
    answers: bool,
    /// `probe`, `dispatch`, `api`, `janitor`.
    roles: Vec<String>,
    /// The release that it runs.
    release: String,
    /// Whether its term has not run out.
    alive: bool,
    /// What is left of its term; null: it has no end (a file has one node), or has run out.
    term_left_ms: Option<u64>,
    /// What it holds.
    work: WorkView,
    /// Events that the subscriptions that it serves still have to get.
    owed: u64,
}

/// Pieces of work by kind.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct WorkView {
    /// Sources that are asked.
    sources: usize,
    /// Subscriptions that are served.
    subscriptions: usize,
    /// Topics that are kept within their bounds.
    retention: usize,
    /// Topics whose pending events are moved into the log.
    pending: usize,
}

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<ApiState>)> {
    vec![("/v1/cluster", routing::get(show))]
}

/// The nodes on this store, and the work that each of them holds.
#[utoipa::path(get, path = "/v1/cluster", tag = "cluster",
    responses((status = 200, body = ClusterView)))]
pub(super) async fn show(State(api): State<ApiState>) -> Result<Json<ClusterView>, Problem> {
    let members = api.store.members().await?;
    let pieces = Pieces::of(&api).await?;
    let held: Vec<&MemberState> = members.iter().filter(|member| member.lives).collect();
    let unheld =
        pieces.count(|work, number| !held.iter().any(|member| share(member, work).has(number)));
    let nodes = members.iter().map(|member| pieces.node(member)).collect();
    Ok(Json(ClusterView { nodes, unheld }))
}

fn share(member: &MemberState, work: Work) -> &Share {
    static NOTHING: Share = Share::Nothing;
    member.held.get(&work).unwrap_or(&NOTHING)
}

/// All work there is, by number.
struct Pieces {
    sources: BTreeSet<i64>,
    /// With what each is owed.
    subscriptions: Vec<(i64, u64)>,
    topics: BTreeSet<i64>,
}

impl Pieces {
    async fn of(api: &ApiState) -> Result<Self, Problem> {
        let sources = api.store.sources().await?;
        let doing = api.directory.doing().await?;
        let asked = sources.iter().filter(|source| source.status != SourceStatus::Removed);
        Ok(Self {
            sources: asked.map(|source| source.id).collect(),
            subscriptions: doing.standings.iter().map(|one| (one.id, one.owed)).collect(),
            topics: api.store.topics().await?.iter().map(|topic| topic.id).collect(),
        })
    }

    fn count(&self, is_meant: impl Fn(Work, i64) -> bool) -> WorkView {
        let count = |work, numbers: &BTreeSet<i64>| {
            numbers.iter().filter(|number| is_meant(work, **number)).count()
        };
        let subscriptions = self.subscriptions.iter();
        WorkView {
            sources: count(Work::Source, &self.sources),
            subscriptions: subscriptions
                .filter(|(id, _)| is_meant(Work::Subscription, *id))
                .count(),
            retention: count(Work::Retention, &self.topics),
            pending: count(Work::Pending, &self.topics),
        }
    }

    fn node(&self, member: &MemberState) -> NodeView {
        let served = share(member, Work::Subscription);
        let owed = self.subscriptions.iter().filter(|(id, _)| served.has(*id));
        NodeView {
            name: member.name.clone(),
            incarnation: member.incarnation,
            answers: member.is_this,
            roles: member.roles.clone(),
            release: member.release.clone(),
            alive: member.lives,
            term_left_ms: member
                .term_left
                .map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
            work: self.count(|work, number| share(member, work).has(number)),
            owed: owed.map(|(_, owed)| owed).sum(),
        }
    }
}
