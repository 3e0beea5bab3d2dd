//! What became of many subscriptions and sources at once, asked for in lists: each by itself would be
//! asked for thousands of times.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Api, eventually};

/// Between two looks: a list is long.
const PACE: Duration = Duration::from_millis(100);

/// All of a kind by name, once each of them is as it should be.
async fn all_of(
    api: &Api,
    kind: &str,
    what: &str,
    is_there: impl Fn(&Value) -> bool,
) -> BTreeMap<String, Value> {
    let look = || async {
        let shown = api.get(&format!("/v1/{kind}?limit=1000")).await.ok();
        let all = shown[kind].as_array().unwrap();
        if all.iter().all(&is_there) {
            let named = |one: &Value| (one["name"].as_str().unwrap().to_owned(), one.clone());
            return Some(all.iter().map(named).collect());
        }
        tokio::time::sleep(PACE).await;
        let missing = all.iter().find(|one| !is_there(one)).unwrap();
        // Shown when the wait is over.
        println!("{what}: not yet {} ({})", missing["name"], missing["report"]["message"]);
        None
    };
    eventually(what, look).await
}

/// Waits until every subscription has got all up to `version`.
pub(super) async fn until_settled(api: &Api, version: u64) {
    let what = format!("version {version} everywhere");
    let has_it = |one: &Value| one["positions"][0]["floor"].as_u64() >= Some(version);
    all_of(api, "subscriptions", &what, has_it).await;
}

/// The attempts of a subscription on a version, the first one first; all of them, once it is settled.
pub(super) async fn attempts(api: &Api, name: &str, version: u64) -> Vec<Value> {
    let look = || async {
        let shown = api.get(&format!("/v1/subscriptions/{name}/attempts?limit=1000")).await.ok();
        let all = shown["attempts"].as_array().unwrap().iter().rev();
        let of_it: Vec<Value> = all.filter(|one| one["version"] == version).cloned().collect();
        of_it.last().is_some_and(|last| last["verdict"] == "delivered").then_some(of_it)
    };
    eventually(&format!("{name}: the attempts on {version}"), look).await
}

/// Attempts in short, for whoever has to find out.
pub(super) fn told(attempts: &[Value]) -> String {
    let one = |one: &Value| format!("{} {} {}", one["verdict"], one["status"], one["error"]);
    attempts.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Has all of the sources polled, and gives each as it is after that.
pub(super) async fn poll(api: &Api, names: &[String]) -> BTreeMap<String, Value> {
    ask(api, names).await;
    all_of(api, "sources", "every source was polled", |one| !one["report"].is_null()).await
}

async fn ask(api: &Api, names: &[String]) {
    let polls = names.iter().map(async |name| {
        api.post(&format!("/v1/sources/{name}/poll"), &json!({})).await.ok();
    });
    join_all(polls).await;
}

/// Has the sources polled until each topic of the same name has so many events; gives the ids of each.
pub(super) async fn until_whole(
    api: &Api,
    names: &[String],
    count: u64,
) -> BTreeMap<String, Vec<Value>> {
    let what = format!("{count} events of every source");
    let whole = |one: &Value| one["appended"].as_u64() >= Some(count);
    // One that was being polled may not have seen that it was to be polled again.
    ask(api, names).await;
    tokio::time::sleep(PACE).await;
    let asked_again = async {
        loop {
            tokio::time::sleep(10 * PACE).await;
            ask(api, names).await;
        }
    };
    tokio::select! {
        _ = all_of(api, "sources", &what, whole) => {}
        () = asked_again => {}
    }
    let logs = names.iter().map(async |name| {
        let lines = api.log(name).await;
        let id = |line: &String| serde_json::from_str::<Value>(line).unwrap()["id"].clone();
        (name.clone(), lines.iter().map(id).collect())
    });
    join_all(logs).await.into_iter().collect()
}
