//! The relay itself: whether it is well, its nodes, its keys.

use askama::Template;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;

use super::filters;
use crate::console::{
    json::Text,
    shell::{self, Refused, Shell},
    visit::Visit,
};

#[derive(Template)]
#[template(path = "system.html")]
struct SystemPage {
    shell: Shell,
    ready: Ready,
    cluster: Cluster,
    keys: Option<Keys>,
}

#[derive(Debug, Deserialize)]
struct Ready {
    status: String,
    version: String,
    #[serde(default)]
    troubles: Vec<Trouble>,
}

#[derive(Debug, Deserialize)]
struct Trouble {
    code: String,
    detail: Text,
}

impl Trouble {
    fn text(&self) -> String {
        format!("{}: {}", self.code, self.detail)
    }
}

#[derive(Debug, Deserialize)]
struct Cluster {
    nodes: Vec<Node>,
    unheld: Work,
}

#[derive(Debug, Deserialize)]
struct Node {
    name: Text,
    answers: bool,
    roles: Vec<String>,
    release: Text,
    alive: bool,
    work: Work,
    owed: u64,
}

impl Node {
    fn roles(&self) -> String {
        self.roles.join(", ")
    }
}

#[derive(Debug, Deserialize)]
struct Work {
    sources: u64,
    subscriptions: u64,
    retention: u64,
    pending: u64,
}

#[derive(Debug, Deserialize)]
struct Keys {
    keys: Vec<Key>,
}

#[derive(Debug, Deserialize)]
struct Key {
    id: String,
    owner: String,
    scopes: Vec<String>,
    topics: Vec<String>,
}

/// The page.
pub(crate) async fn show(visit: Visit) -> Result<Response, Refused> {
    let cluster: Cluster = visit.get("/v1/cluster").await?;
    let ready: Ready = visit.get("/readyz").await?;
    let keys = visit.glance("/v1/keys").await?;
    let shell = visit.shell("System").await.with("/v1/cluster", "milkrun cluster");
    Ok(shell::answer(StatusCode::OK, &SystemPage { shell, ready, cluster, keys }))
}
