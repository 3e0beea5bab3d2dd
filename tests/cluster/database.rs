//! Which database a node works with, and what it says of one that is not as it was.

use crate::support::{
    Place, Relay, eventually,
    postgres::{Database, Release},
    relay::free_port,
};

/// The last of three events is lost.
const GONE_BACK: &str = "DELETE FROM events WHERE version = 3; \
    UPDATE topics SET head = 2 WHERE name = 'numbers'; \
    UPDATE seen SET hashes = substring(hashes FROM 1 FOR 32)";

fn place(store: &str, node: &str) -> Place {
    let cluster = format!("{{ node: {node}, term: 2s }}");
    Place::node(store, &cluster, "topics: { numbers: {} }\n")
}

fn plain(database: &Database) -> Place {
    place(&format!("\"{}\"", database.url), "one")
}

/// The codes of what `/readyz` tells.
async fn troubles(relay: &Relay) -> Vec<String> {
    let reply = relay.api().get("/readyz").await.json();
    let troubles = reply["troubles"].as_array().cloned().unwrap_or_default();
    troubles.iter().filter_map(|it| it["code"].as_str().map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_on_one_machine_is_refused_where_two_are_asked_for() {
    let database = Database::new(Release::Oldest).await;
    let store = format!("{{ url: \"{}\", durability: replicated }}", database.url);
    let place = place(&store, "one");
    let end = place.run(&["run", "-c", place.config().to_str().unwrap()]).await;
    assert_ne!(end.code, Some(0), "{end:?}");
    assert!(end.stderr.contains("synchronous_standby_names"), "{end:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_hosts_the_one_that_is_there_is_taken() {
    let database = Database::new(Release::Newest).await;
    let nobody = format!("@127.0.0.1:{},", free_port());
    let place = place(&format!("\"{}\"", database.url.replacen('@', &nobody, 1)), "one");
    let relay = place.start().await;
    relay.api().publish("numbers", 1, 10).await;
    assert_eq!(relay.api().head("numbers").await, 10);
    assert!(relay.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_older_process_of_one_name_does_nothing_until_the_other_is_gone() {
    let database = Database::new(Release::Oldest).await;
    let (first, second) = (plain(&database), plain(&database));
    let (first, second) = (first.start().await, second.start().await);
    let told = eventually("the older one to say so", || async {
        let told = troubles(&first).await;
        (!told.is_empty()).then_some(told)
    })
    .await;
    assert_eq!(told, ["node_name_taken"]);
    assert!(troubles(&second).await.is_empty());
    assert!(second.stop().await.success());
    eventually("the older one to have its name back", || async {
        troubles(&first).await.is_empty().then_some(())
    })
    .await;
    assert!(first.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_copy_of_the_database_is_another_history() {
    let database = Database::new(Release::Oldest).await;
    let place = plain(&database);
    let relay = place.start().await;
    relay.api().publish("numbers", 1, 3).await;
    let events = "/v1/topics/numbers/events";
    let cursor = |page: &serde_json::Value| page["next"].as_str().unwrap().to_owned();
    let whole = cursor(&relay.api().get(&format!("{events}?after=0")).await.ok());
    let first = cursor(&relay.api().get(&format!("{events}?after=0&limit=1")).await.ok());
    assert!(relay.stop().await.success());
    // As if a backup without the last event had been put back on a server of its own.
    database.run(format!("UPDATE history SET system = system - 1; {GONE_BACK}")).await;
    let relay = place.start().await;
    relay.api().publish("numbers", 30, 30).await;
    let gone = relay.api().get(&format!("{events}?after={whole}")).await;
    let gone = gone.problem(409, "history_changed");
    println!("a cursor beyond the cut: {gone}");
    let rest = relay.api().get(&format!("{events}?after={first}")).await.ok();
    let versions: Vec<_> =
        rest["events"].as_array().unwrap().iter().map(|event| event["version"].as_u64()).collect();
    assert_eq!(versions, [Some(2), Some(3)], "{rest}");
    assert!(relay.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_that_is_put_back_is_another_history() {
    let database = Database::new(Release::Oldest).await;
    let place = plain(&database);
    let relay = place.start().await;
    relay.api().publish("numbers", 1, 2).await;
    let dump = tempfile::NamedTempFile::new().unwrap();
    let file = dump.path().to_str().unwrap();
    database.program("pg_dump", &["--clean", "--if-exists", "--file", file]);
    relay.api().publish("numbers", 3, 3).await;
    let events = "/v1/topics/numbers/events?after=";
    let cursor = relay.api().get(&format!("{events}0")).await.ok()["next"].clone();
    assert!(relay.stop().await.success());
    // Into the same database of the same server, while nobody runs.
    database.program("psql", &["--quiet", "--output=/dev/null", "--file", file]);
    let relay = place.start().await;
    relay.api().publish("numbers", 30, 30).await;
    let gone = relay.api().get(&format!("{events}{}", cursor.as_str().unwrap())).await;
    gone.problem(409, "history_changed");
    let told = place.printed().matches("history_lost").count();
    assert!(told > 0, "not told");
    assert!(relay.stop().await.success());
    let relay = place.start().await;
    assert_eq!(place.printed().matches("history_lost").count(), told, "told once");
    assert!(relay.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_refuses_what_is_written_is_told() {
    let database = Database::new(Release::Oldest).await;
    let place = plain(&database);
    let relay = place.start().await;
    let api = relay.api();
    api.publish("numbers", 1, 1).await;
    let name = database.url.rsplit_once('/').unwrap().1;
    let read_only = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    database.run(read_only).await;
    // Who is there already is not told.
    database.run(cut.into()).await;
    let event = crate::support::api::cloud_event(2);
    let publish = async || api.send(api.event("numbers", event.clone())).await.status;
    eventually("the trouble", || async {
        let status = publish().await;
        assert!(status >= 500, "{status}");
        troubles(&relay).await.contains(&"database_failed".to_owned()).then_some(())
    })
    .await;
    let restored = format!("ALTER DATABASE {name} RESET default_transaction_read_only");
    database.run(format!("BEGIN READ WRITE; {restored}; COMMIT")).await;
    database.run(cut.into()).await;
    eventually("the end of it", || async {
        let is_taken = publish().await < 300;
        (is_taken && troubles(&relay).await.is_empty()).then_some(())
    })
    .await;
    assert!(relay.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_goes_back_while_a_node_runs_begins_an_epoch() {
    let database = Database::new(Release::Oldest).await;
    let place = plain(&database);
    let relay = place.start().await;
    let api = relay.api();
    api.publish("numbers", 1, 3).await;
    let events = "/v1/topics/numbers/events";
    let before = api.get(&format!("{events}?after=0")).await.ok();
    database.run(GONE_BACK.into()).await;
    api.publish("numbers", 30, 30).await;
    let after = api.get(&format!("{events}?at=3")).await.ok();
    assert_ne!(after["epoch"], before["epoch"], "the same version twice in one epoch");
    let cursor = before["next"].as_str().unwrap();
    let gone = api.get(&format!("{events}?after={cursor}")).await;
    gone.problem(409, "history_changed");
    assert!(relay.stop().await.success());
}
