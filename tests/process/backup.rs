//! Backups of a relay that works and is killed, and what comes of putting them back.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use milkrun::store::Backup;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::support::{
    Api, Place,
    api::ids_of,
    full,
    relay::{Relay, free_port},
};

/// Events of one publish.
const BATCH: u64 = 100;

/// What was acknowledged: the head, when, and the cursor of it.
struct Acknowledged {
    head: u64,
    at: Timestamp,
    cursor: Option<String>,
}

/// Publishes batches until `end`, again and again while nobody answers.
async fn publish(api: Api, pause: Duration, end: Instant) -> Vec<Acknowledged> {
    let (mut acknowledged, mut batch) = (Vec::new(), 0);
    while Instant::now() < end {
        let first = batch * BATCH + 1;
        let events: Vec<String> =
            (first..first + BATCH).map(crate::support::api::cloud_event).collect();
        let body = format!("[{}]", events.join(","));
        for topic in ["few", "numbers"] {
            while !is_published(&api, topic, &body).await {
                sleep(Duration::from_millis(20)).await;
            }
        }
        let (head, at) = (first + BATCH - 1, Timestamp::now());
        let cursor = if batch.is_multiple_of(5) { cursor(&api, head).await } else { None };
        acknowledged.push(Acknowledged { head, at, cursor });
        batch += 1;
        sleep(pause).await;
    }
    acknowledged
}

async fn is_published(api: &Api, topic: &str, body: &str) -> bool {
    let request = api
        .request("POST", &format!("/v1/topics/{topic}/events"))
        .header("content-type", "application/cloudevents-batch+json")
        .body(body.to_owned());
    api.try_send(request).await.is_some_and(|reply| reply.status == 200)
}

async fn cursor(api: &Api, head: u64) -> Option<String> {
    let path = format!("/v1/topics/numbers/events?after={}&limit=1", head - 1);
    let reply = api.try_send(api.request("GET", &path)).await?;
    reply.json()["next"].as_str().map(str::to_owned)
}

fn backups(dir: &Path) -> Vec<(PathBuf, Backup)> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut backups: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|ending| ending == "db"))
        .map(|path| {
            let description = fs::read(format!("{}.json", path.display())).expect("a description");
            (path, serde_json::from_slice(&description).expect("a backup"))
        })
        .collect();
    backups.sort_by(|one, other| one.0.cmp(&other.0));
    backups
}

/// A restored backup: who has a cursor gets what was there, or 409.
async fn put_back(
    file: &Path,
    backup: &Backup,
    acknowledged: &[Acknowledged],
    ids: &[String],
) -> u64 {
    let place = Place::new("topics: { numbers: {}, few: { retention: { count: 200 } } }\n");
    let done = place.run(&["restore", file.to_str().unwrap()]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let relay = place.start().await;
    relay.api().publish("numbers", 1_000_001, 1_000_300).await;
    let head = backup.topics.iter().find(|topic| topic.topic.as_str() == "numbers").unwrap().head;
    let mut gone = 0;
    for one in acknowledged {
        let Some(cursor) = &one.cursor else { continue };
        let reply = relay.api().get(&format!("/v1/topics/numbers/events?after={cursor}")).await;
        if one.head > head {
            reply.problem(409, "history_changed");
            gone += 1;
            continue;
        }
        for event in reply.ok()["events"].as_array().unwrap() {
            let version = event["version"].as_u64().unwrap();
            let is_same = event["id"] == ids.get(index(version)).map_or("", String::as_str);
            assert_eq!(is_same, version <= head, "version {version} of head {head}: {event}");
        }
    }
    assert!(relay.stop().await.success());
    gone
}

fn index(version: u64) -> usize {
    usize::try_from(version - 1).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_relay_that_is_killed_is_whole() {
    let (every, kills, pause) = if full() { (10, 10, 50) } else { (1, 2, 100) };
    let place = Place::new("");
    let dir = place.path("backups");
    place.write(&format!(
        "topics: {{ numbers: {{}}, few: {{ retention: {{ count: 200 }} }} }}\n\
         backup: {{ dir: {}, every: {every}s, keep: 100 }}\n\
         subscriptions:\n  - {{ name: dead, topic: numbers, webhook: {{ url: \"http://127.0.0.1:{}/\" }} }}\n",
        dir.display(),
        free_port()
    ));
    let relay = place.start().await;
    let begun = Instant::now();
    let lasts = Duration::from_secs((kills + 1) * every + every / 2 + 1);
    let pause = Duration::from_millis(pause);
    let publishing = tokio::spawn(publish(place.api(), pause, begun + lasts));
    let relay = kill_in_between(&place, relay, kills, Duration::from_secs(every)).await;
    let had = publishing.await.unwrap();
    let ids = ids_of(&relay.api().log("numbers").await);
    let made = relay.api().get("/metrics").await.body;
    assert!(made.contains("milkrun_backups_total{result=\"failed\"} 0"), "{made}");
    assert!(relay.stop().await.success());
    let backups = backups(&dir);
    assert!(backups.len() as u64 > kills, "{} backups", backups.len());
    let (mut lost, mut gone) = (0, 0);
    for (file, backup) in &backups {
        assert_eq!(backup.problems, Vec::<String>::new(), "{}", file.display());
        let moment: Timestamp = backup.moment.parse().unwrap();
        let heads: HashMap<&str, u64> =
            backup.topics.iter().map(|topic| (topic.topic.as_str(), topic.head)).collect();
        let before = had.iter().filter(|one| one.at < moment).map(|one| one.head).max();
        lost += before.unwrap_or(0).saturating_sub(heads["numbers"]);
        gone += put_back(file, backup, &had, &ids).await;
    }
    println!(
        "{} backups of {} events at {kills} kills: {lost} lost that were older; {gone} cursors beyond, \
         each answered 409",
        backups.len(),
        ids.len()
    );
    assert_eq!(lost, 0);
    assert!(gone > 0);
}

/// Kills the relay at other moments of its pauses between backups, and starts it again.
async fn kill_in_between(place: &Place, mut relay: Relay, kills: u64, every: Duration) -> Relay {
    for kill in 0..kills {
        sleep(every + every / 10 * u32::try_from(kill % 5).unwrap()).await;
        relay.kill().await;
        relay = place.start().await;
    }
    sleep(every + every / 2).await;
    relay
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_made_beside_a_relay_and_put_in_the_place_of_its_store() {
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    relay.api().publish("numbers", 1, 50).await;
    let file = place.path("backup.db");
    let (file, json) = (file.to_str().unwrap(), ["-o", "json"]);
    let made = place.run(&[&["backup", file], &json[..]].concat()).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let backup: Value = serde_json::from_str(&made.stdout).unwrap();
    assert_eq!((&backup["events"], &backup["topics"][1]["head"]), (&50.into(), &50.into()));
    let again = place.run(&["backup", file]).await;
    assert!(again.code == Some(78) && again.stderr.contains("already"), "{again:?}");
    relay.api().publish("numbers", 51, 80).await;
    let cursor = cursor(relay.api(), 80).await.unwrap();
    let held = place.run(&["restore", file, "--replace"]).await;
    assert!(held.code == Some(78) && held.stderr.contains("another relay uses"), "{held:?}");
    assert!(relay.stop().await.success());
    let there = place.run(&["restore", file]).await;
    assert!(there.code == Some(78) && there.stderr.contains("--replace"), "{there:?}");
    // While nobody runs, it is made of what was left.
    let other = place.path("other.db");
    let made = place.run(&["backup", other.to_str().unwrap()]).await;
    assert!(made.stdout.contains("80 events"), "{made:?}");

    let restored = place.run(&["restore", file, "--replace"]).await;
    assert!(restored.stdout.contains("LOST  topic `numbers`: versions 51 to 80"), "{restored:?}");
    let relay = place.start().await;
    relay.api().publish("numbers", 1_001, 1_001).await;
    assert_eq!(relay.api().head("numbers").await, 81, "no number is given twice");
    let gone = relay.api().get(&format!("/v1/topics/numbers/events?after={cursor}")).await;
    gone.problem(409, "history_changed");
    assert!(relay.stop().await.success());

    let mut bytes = fs::read(&other).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&other, bytes).unwrap();
    let refused = place.run(&["restore", other.to_str().unwrap(), "--replace"]).await;
    assert!(refused.code == Some(78) && refused.stderr.contains("SHA-256"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_that_fail_are_told_and_old_ones_go() {
    let place = Place::new("");
    let dir = place.path("backups");
    fs::write(&dir, "no folder").unwrap();
    let config = format!("backup: {{ dir: {}, every: 1s, keep: 2 }}\n", dir.display());
    place.write(&format!("topics: {{ numbers: {{}} }}\n{config}"));
    let relay = place.start().await;
    relay.api().publish("numbers", 1, 10).await;
    let failed = async |is_told: bool| {
        let kind = if is_told { "store.degraded" } else { "store.recovered" };
        crate::support::eventually("the notice", || async {
            let lines = relay.api().log("milkrun.notices").await;
            lines
                .iter()
                .any(|line| line.contains(kind) && line.contains("backup_failed"))
                .then_some(())
        })
        .await;
    };
    failed(true).await;
    fs::remove_file(&dir).unwrap();
    failed(false).await;
    crate::support::eventually("a third backup, and the first to go", || async {
        let made = relay.api().get("/metrics").await.body;
        let made = made.lines().find(|line| line.contains("backups_total{result=\"made\"}"))?;
        (made.split(' ').next_back()?.parse::<u64>().ok()? >= 3).then_some(())
    })
    .await;
    assert!(relay.stop().await.success());
    assert_eq!(backups(&dir).len(), 2);
}
