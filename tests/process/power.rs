//! What was seen is on disk: power cuts at random instants, of which only synced bytes survive.

use std::{collections::BTreeMap, fs, time::Duration};

use serde_json::Value;

use super::kill::{Reader, seeded};
use crate::support::{Api, Library, Place, api::cloud_event, producer::id, scaled};

/// What a publisher was told: the number at each version.
type Told = BTreeMap<u64, u64>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_by_power_cuts_it_keeps_whatever_anybody_has_seen() {
    let cuts = scaled(4, 30);
    let (told, seen, log) = cut(cuts, false).await;
    assert!(told.len() > cuts * 5, "hardly anything was published: {}", told.len());
    for (version, line) in &seen {
        assert_eq!(
            Some(line),
            log.get(version),
            "version {version} was seen, then lost or changed"
        );
    }
    for (version, n) in &told {
        let line = log.get(version).map_or("", |line| line);
        assert!(line.contains(&id(*n)), "{} was confirmed as version {version}: {line}", id(*n));
    }
    assert!(log.keys().copied().eq(1..=log.len() as u64), "a gap");
    println!("{cuts} power cuts: {} events confirmed, {} seen by a reader", told.len(), seen.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_only_says_that_it_has_written_is_found_out() {
    let (told, _, log) = cut(1, true).await;
    let lost = told.keys().filter(|version| !log.contains_key(version)).count();
    assert!(lost > 0, "nothing was lost although nothing was synced: the test sees nothing");
}

/// Publishes and reads under `cuts` power cuts; gives what the publisher was told, what the reader
/// saw, and the log at the end.
async fn cut(cuts: usize, lying: bool) -> (Told, BTreeMap<u64, String>, BTreeMap<u64, String>) {
    let library = Library::build("process/power.c");
    let mut place = Place::new("topics: { numbers: {} }\n");
    library.load(&mut place);
    if lying {
        place.env("POWER_LIES", "1");
    }
    let mut dice = seeded();
    let reader = Reader::start(place.api());
    let mut told = Told::new();
    for round in 1..=cuts as u64 {
        let relay = place.start().await;
        let publisher = tokio::spawn(publish(place.api(), round * 1_000_000));
        tokio::time::sleep(Duration::from_micros(dice.u64(200_000..700_000))).await;
        relay.kill().await;
        told.extend(publisher.await.unwrap());
        leave_what_was_synced(&place);
    }
    let relay = place.start().await;
    let lines = relay.api().log("numbers").await;
    assert!(relay.stop().await.success());
    let version = |line: &String| serde_json::from_str::<Value>(line).unwrap()["version"].as_u64();
    let log = lines.into_iter().map(|line| (version(&line).unwrap(), line)).collect();
    (told, reader.stop(), log)
}

/// Publishes one event after the other until nobody answers.
async fn publish(api: Api, base: u64) -> Told {
    let mut told = Told::new();
    for n in base.. {
        match api.try_send(api.event("numbers", cloud_event(n))).await {
            Some(said) => {
                let version = said.ok()["events"][0]["version"].as_u64().unwrap();
                told.insert(version, n);
            }
            None => break,
        }
    }
    told
}

/// The store's files as a power cut leaves them at worst.
fn leave_what_was_synced(place: &Place) {
    let _ = fs::remove_file(place.path("milkrun.db-shm"));
    for name in ["milkrun.db", "milkrun.db-wal", "milkrun.db-heads"] {
        let (file, synced) = (place.path(name), place.path(&format!("{name}.synced")));
        if synced.exists() {
            fs::copy(synced, file).unwrap();
        } else {
            let _ = fs::remove_file(file);
        }
    }
}
