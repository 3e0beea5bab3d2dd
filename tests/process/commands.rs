//! The command line against a running relay, and the demonstration.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::support::{Answer, LONG, Place, Producer, Receiver, eventually, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_finds_what_it_asks_the_relay_for() {
    let producer = Producer::start(50).await;
    let receiver = Receiver::accepting().await;
    let place = Place::new(&format!(
        "sources:\n  - name: numbers-list\n    topic: numbers\n    interval: {{ every: 50ms, min: 10ms, max: 50ms }}\n    \
         http: {}\nsubscriptions:\n  - name: sink\n    topic: numbers\n    from: earliest\n    \
         webhook: {{ url: \"{}\", secret: {{ env: HOOK_SECRET }} }}\n",
        producer.http(50),
        receiver.url()
    ));
    let relay = place.start().await;
    producer.emit(7);
    receiver.until_accepted(7).await;
    for (arguments, has) in [
        (&["topics"][..], "numbers"),
        (&["topics", "show", "numbers"], "numbers"),
        (&["events", "numbers", "--after", "5"], "e-00000007"),
        (&["sources"], "numbers-list"),
        (&["sources", "show", "numbers-list"], "numbers-list"),
        (&["sources", "pause", "numbers-list"], ""),
        (&["sources", "resume", "numbers-list"], ""),
        (&["sources", "poll", "numbers-list"], ""),
        (&["sources", "rejected", "numbers-list"], ""),
        (&["subscriptions"], "sink"),
        (&["subscriptions", "show", "sink"], "sink"),
        (&["subscriptions", "pause", "sink"], ""),
        (&["subscriptions", "resume", "sink"], ""),
        (&["dead-letters", "sink"], ""),
        (&["healthcheck"], ""),
    ] {
        for form in ["table", "json"] {
            let end = place.run(&[&["-o", form], arguments].concat()).await;
            assert_eq!(end.code, Some(0), "{arguments:?} as {form}: {end:?}");
            assert!(end.stdout.contains(has), "{arguments:?} as {form}: {end:?}");
            if form == "json" && !end.stdout.is_empty() {
                for document in serde_json::Deserializer::from_str(&end.stdout).into_iter::<Value>()
                {
                    document.unwrap_or_else(|error| panic!("{arguments:?}: {error}: {end:?}"));
                }
            }
        }
    }
    assert!(place.run(&["subscriptions", "rewind", "sink", "earliest"]).await.code == Some(0));
    receiver.until_requests(14).await;
    let some = place.run(&["subscriptions", "attempts", "sink", "--limit", "3"]).await;
    let after = some.stderr.trim_end().rsplit(' ').next().unwrap_or_default();
    assert!(some.stderr.contains("there are more"), "{some:?}");
    let rest = place.run(&["subscriptions", "attempts", "sink", "--after", after]).await;
    assert!(rest.stdout.lines().count() >= 4 && rest.stderr.is_empty(), "{rest:?}");
    let missing = place.run(&["topics", "show", "none"]).await;
    assert_eq!(missing.code, Some(1), "{missing:?}");
    assert!(missing.stderr.contains("not_found"), "{missing:?}");
    assert!(relay.stop().await.success());
    assert_ne!(place.run(&["healthcheck"]).await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_shows_what_it_would_take_and_stores_nothing() {
    let producer = Producer::start(50).await;
    producer.emit(3);
    let place = Place::new(&format!(
        "sources:\n  - name: numbers\n    topic: numbers\n    http: {}\n",
        producer.http(50)
    ));
    let config = place.config();
    let end = place.run(&["probe", "numbers", "--dry-run", "-c", config.to_str().unwrap()]).await;
    assert_eq!(end.code, Some(0), "{end:?}");
    for shown in ["GET", "200", "e-00000001", "e-00000003"] {
        assert!(end.stdout.contains(shown), "does not show {shown}: {end:?}");
    }
    assert!(!place.store().exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_that_fails_shows_what_it_was_answered() {
    let receiver = Receiver::start(|_| Answer::status(405)).await;
    let place = Place::new(&format!(
        "sources:\n  - name: numbers\n    topic: numbers\n    http:\n      url: \"{}\"\n      id: id\n      \
         auth: {{ bearer: {{ env: HOOK_SECRET }} }}\n",
        receiver.url()
    ));
    for form in ["table", "json"] {
        let end = place.run(&["probe", "numbers", "--dry-run", "-o", form]).await;
        assert_eq!(end.code, Some(1), "{end:?}");
        for shown in ["GET", "authorization", "***", "405"] {
            assert!(end.stdout.contains(shown), "does not show {shown}: {end:?}");
        }
        assert!(end.stderr.contains("405"), "{end:?}");
    }
}

#[test]
fn a_script_that_nobody_reads_to_its_end_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = std::process::Command::new(env!("CARGO_BIN_EXE_milkrun"))
        .args(["completions", "bash"])
        .stdout(writer)
        .output()
        .unwrap();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_file_is_taken_up_and_a_bad_one_is_not() {
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    relay.api().publish("numbers", 1, 3).await;
    place.write("topics: { numbers: {}, others: {} }\n");
    relay.signal(Signal::HUP);
    let shown =
        async |topic: &str| relay.api().get(&format!("/v1/topics/{topic}")).await.status == 200;
    eventually("the new topic", || async { shown("others").await.then_some(()) }).await;
    place.write("topics: { numbers: {}, others: {}, third: {} }\ntopcs: {}\n");
    relay.signal(Signal::HUP);
    eventually("the refusal", || async { place.printed().contains("topcs").then_some(()) }).await;
    assert!(!shown("third").await && shown("numbers").await);
    assert_eq!(relay.api().head("numbers").await, 3);
    assert!(relay.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_cut_removes_nothing_unless_that_is_meant() {
    let one = |name: &str| {
        format!("  - {{ name: {name}, topic: a, webhook: {{ url: \"http://127.0.0.1:9/\" }} }}\n")
    };
    let both = format!("subscriptions:\n{}{}", one("one"), one("two"));
    let place = Place::new(&both);
    let relay = place.start().await;
    let status = async |name: &str| {
        let reply = relay.api().get(&format!("/v1/subscriptions/{name}")).await;
        reply.json()["status"].as_str().unwrap_or_default().to_owned()
    };
    for (text, says) in [
        ("", "there is nothing in it"),
        ("# all of it is gone\n", "there is nothing in it"),
        ("null\n", "there is nothing in it"),
        ("---\n", "there is nothing in it"),
    ] {
        place.write_raw(text);
        let end = place.run(&["reload"]).await;
        assert_eq!(end.code, Some(1), "{end:?}");
        assert!(end.stderr.contains(says), "{end:?}");
    }
    relay.signal(Signal::HUP);
    let refused = || async { place.printed().contains("is refused, the old one").then_some(()) };
    eventually("the refusal", refused).await;
    place.write("subscriptions:\n");
    let end = place.run(&["reload"]).await;
    assert_eq!(end.code, Some(1), "{end:?}");
    for says in ["subscription `one`, subscription `two`", "--allow-removal"] {
        assert!(end.stderr.contains(says), "{end:?}");
    }
    assert_eq!((&*status("one").await, &*status("two").await), ("active", "active"));
    let end = place.run(&["reload", "--allow-removal"]).await;
    assert_eq!(end.code, Some(0), "{end:?}");
    assert_eq!((&*status("one").await, &*status("two").await), ("removed", "removed"));
    place.write(&both);
    assert_eq!(place.run(&["reload"]).await.code, Some(0));
    assert_eq!(status("one").await, "active");
    assert!(relay.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demonstration_keeps_its_promises() {
    let place = Place::new("");
    let end = place.run(&["demo", "--once"]).await;
    assert_eq!(end.code, Some(0), "{end:?}");
    println!("{}", end.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cluster_of_the_demonstration_loses_nothing() {
    let place = Place::new("");
    let end = place.run(&["demo", "--cluster", "--once"]).await;
    assert_eq!(end.code, Some(0), "{end:?}");
    for told in ["KILLED", "taken over", "duplicates", "as said"] {
        assert!(end.stdout.contains(told), "does not tell {told}: {end:?}");
    }
    println!("{}", end.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demonstration_that_is_broken_off_leaves_nothing() {
    let mut place = Place::new("");
    let temporary = tempfile::tempdir().unwrap();
    // PostgreSQL does not run as root, so somebody else has to get in.
    fs::set_permissions(temporary.path(), fs::Permissions::from_mode(0o711)).unwrap();
    place.env("TMPDIR", temporary.path().to_str().unwrap());
    let mut demo = place.command(&["demo", "--cluster"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let running = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("node-3") {
                return;
            }
        }
        panic!("it ended before its nodes ran");
    };
    within(LONG, "three nodes", running).await;
    assert!(running_in(temporary.path()) > 3, "the database and the nodes run");
    let pid = Pid::from_raw(i32::try_from(demo.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let status = within(LONG, "its end", demo.wait()).await.unwrap();
    assert!(status.success(), "{status}");
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "its folder is removed");
    eventually("the end of all processes", || async {
        (running_in(temporary.path()) == 0).then_some(())
    })
    .await;
}

/// How many processes were started with a path in this folder.
fn running_in(folder: &Path) -> usize {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(folder.to_str().unwrap())).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_describes_every_path_that_it_has() {
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    let document = relay.api().get("/openapi.json").await.ok();
    for path in ["/v1/topics", "/v1/topics/{topic}/events", "/v1/subscriptions", "/v1/sources"] {
        assert!(document["paths"][path].is_object(), "{path} is not described");
    }
    assert_eq!(document["openapi"].as_str().map(|version| &version[..2]), json!("3.").as_str());
    let metrics = relay.api().get("/metrics").await;
    assert!(metrics.body.contains("milkrun_"), "{metrics:?}");
    assert!(relay.stop().await.success());
}
