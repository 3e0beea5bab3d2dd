//! Commands on a store while no relay runs: a check changes nothing, and what another command finds
//! is told by the next relay.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};

use crate::support::{
    Place, eventually,
    postgres::{Database, Release},
};

/// A place with a store that was killed with 20 events, most of them in its log.
async fn killed() -> Place {
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    for number in 1..=20 {
        relay.api().publish("numbers", number, number).await;
    }
    relay.kill().await;
    place
}

/// All files of the store.
fn contents(place: &Place) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap());
    let named = files.map(|file| (file.file_name().into_string().unwrap(), file.path()));
    let ours = named.filter(|(name, _)| name.starts_with("milkrun.db"));
    ours.map(|(name, path)| (name, fs::read(path).unwrap())).collect()
}

fn cut_log(place: &Place) {
    let log = fs::File::options().write(true).open(place.path("milkrun.db-wal")).unwrap();
    log.set_len(log.metadata().unwrap().len() / 2).unwrap();
}

async fn check(place: &Place, arguments: &[&str]) -> (Option<i32>, String) {
    let config = place.config();
    let before = contents(place);
    let end = place.run(&[arguments, &["-c", config.to_str().unwrap()]].concat()).await;
    let after = contents(place);
    for name in before.keys().chain(after.keys()) {
        assert!(before.get(name) == after.get(name), "{arguments:?} changed {name}");
    }
    (end.code, end.stdout + &end.stderr)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_changes_nothing_and_tells_damage() {
    type Damage = (&'static str, fn(&Place), &'static str);
    let without = |place: &Place, ending: &str| {
        fs::remove_file(place.path(&format!("milkrun.db{ending}"))).unwrap();
    };
    let cases: [Damage; 6] = [
        ("nothing", |_| {}, ""),
        ("no -shm", |place| fs::remove_file(place.path("milkrun.db-shm")).unwrap(), ""),
        ("log cut", cut_log, "versions up to 20 were given"),
        ("no log", |place| fs::remove_file(place.path("milkrun.db-wal")).unwrap(), "numbers"),
        (
            "no record",
            |place| fs::remove_file(place.path("milkrun.db-heads")).unwrap(),
            "-heads: it is missing",
        ),
        ("empty", |place| fs::write(place.store(), "").unwrap(), "holds what was written to it"),
    ];
    for (what, damage, said) in cases {
        let place = killed().await;
        // What a lock says is not part of it.
        without(&place, ".lock");
        damage(&place);
        for arguments in [&["check"][..], &["check", "--store"]] {
            let (code, text) = check(&place, arguments).await;
            let expected = i32::from(!said.is_empty());
            assert_eq!(code, Some(expected), "{what}, {arguments:?}: {text}");
            assert!(text.contains(said), "{what}, {arguments:?}: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_store_is_checked_without_a_trace_of_it() {
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    relay.api().publish("numbers", 1, 5).await;
    let (code, text) = {
        let config = place.config();
        let end = place.run(&["check", "-c", config.to_str().unwrap()]).await;
        (end.code, end.stdout + &end.stderr)
    };
    assert!(code == Some(0) && text.contains("another relay uses"), "{text}");
    assert!(relay.stop().await.success());
    for arguments in [&["check"][..], &["check", "--store"]] {
        let (code, text) = check(&place, arguments).await;
        assert_eq!(code, Some(0), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_that_an_offline_command_finds_is_told_by_the_next_relay() {
    let place = killed().await;
    cut_log(&place);
    let config = place.config();
    for _ in 0..2 {
        let arguments = ["topics", "new-epoch", "--all", "-c", config.to_str().unwrap()];
        let end = place.command(&arguments).env_remove("MILKRUN_SERVER").output().await.unwrap();
        assert!(end.status.success(), "{end:?}");
    }
    let relay = place.start().await;
    assert!(place.printed().contains("were given before and are lost"), "not logged");
    let told = async || {
        let page = place.api().get("/v1/topics/milkrun.notices/events").await.ok();
        let events = page["events"].as_array().cloned().unwrap_or_default();
        let is_of_topic =
            |event: &Value| event["type"] == "store.damaged" && event["subject"] == "numbers";
        events.into_iter().filter(is_of_topic).collect::<Vec<_>>()
    };
    let first = eventually("a notice", || async { told().await.first().cloned() }).await;
    assert_eq!(
        (&first["data"]["reason"], &first["data"]["to"]),
        (&json!("history_lost"), &json!(20))
    );
    assert!(relay.stop().await.success());
    // Once.
    let relay = place.start().await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(told().await.len(), 1);
    assert!(relay.stop().await.success());
}

#[tokio::test]
async fn a_database_without_tables_has_nothing_that_the_file_goes_against() {
    let database = Database::new(Release::Oldest).await;
    let place = Place::node(&database.url, "{}", "topics: { orders: {} }");
    let (code, told) = check(&place, &["check"]).await;
    assert!(code == Some(0) && told.contains("good (1 topics"), "{told}");
    // Nothing was made by looking.
    let (code, told) = check(&place, &["check", "--store"]).await;
    assert!(code == Some(1) && told.contains("no tables of milkrun yet"), "{told}");
}
