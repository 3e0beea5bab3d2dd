//! What a start costs with much history, and what it shows at once.

use std::{fs, time::Duration};

use crate::support::{Place, Producer, eventually, full};

/// In a debug build the same work takes several times as long; the bound is for release builds.
const DEBUG_FACTOR: u32 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measured_start_with_100_000_events() {
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    relay.api().publish("numbers", 1, 100_000).await;
    assert!(relay.stop().await.success());

    let mut relay = place.spawn();
    let took = relay.ready().await;
    assert_eq!(relay.api().head("numbers").await, 100_000);
    let resident_mib = relay.resident_bytes() >> 20;
    println!("100000 events stored: ready after {took:?}, {resident_mib} MiB resident");
    let limit = Duration::from_secs(1) * if full() { 1 } else { DEBUG_FACTOR };
    assert!(took < limit, "ready after {took:?}");
    assert!(resident_mib < 150, "{resident_mib} MiB resident");
    assert!(relay.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_show_before_anything_is_counted() {
    let producer = Producer::start(50).await;
    let sources = |more: &str| {
        format!(
            "topics: {{ mine: {{}}{more} }}\nsources:\n  - name: list\n    topic: numbers\n    http: {}\n",
            producer.http(50)
        )
    };
    let place = Place::new(&sources(""));
    let relay = place.start().await;
    let metrics = relay.api().get("/metrics").await.body;
    for zero in [
        "events_appended_total{topic=\"mine\"} 0",
        "events_appended_total{topic=\"numbers\"} 0",
        "events_duplicate_total{topic=\"numbers\"} 0",
        "source_rejected_total{source=\"list\"} 0",
        "gaps_total{source=\"list\"} 0",
    ] {
        assert!(metrics.contains(&format!("milkrun_{zero}\n")), "{zero} in {metrics}");
    }
    // The first request may have been made by now.
    assert!(metrics.contains("milkrun_polls_total{source=\"list\",result=\"ok\"} "), "{metrics}");
    place.write(&sources(", yours: {}"));
    relay.signal(rustix::process::Signal::HUP);
    eventually("the new topic is counted", || async {
        let metrics = relay.api().get("/metrics").await.body;
        metrics.contains("events_appended_total{topic=\"yours\"} 0\n").then_some(())
    })
    .await;
    assert!(relay.stop().await.success());
}

/// A store begins anew nowhere because a command was started somewhere else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relative_paths_begin_where_the_configuration_is() {
    let place = Place::new("");
    let folder = place.path("etc");
    fs::create_dir(&folder).unwrap();
    let port = place.base().rsplit(':').next().unwrap().to_owned();
    let yaml = format!(
        "store: sqlite:data/log.db\nlisten: 127.0.0.1:{port}\ntopics: {{ numbers: {{}} }}\n\
         backup: {{ dir: copies, every: 1h }}\nsubscriptions:\n  - {{ name: a, topic: numbers, webhook: \
         {{ url: \"https://hooks.example/\", secret: {{ file: hook.secret }} }} }}\n"
    );
    fs::write(folder.join("milkrun.yaml"), yaml).unwrap();
    fs::write(folder.join("hook.secret"), crate::support::relay::SECRET).unwrap();
    // An earlier release began in the working directory.
    fs::create_dir(place.path("data")).unwrap();
    fs::write(place.path("data/log.db"), "").unwrap();
    let refused = place.run(&["check", "-c", "etc/milkrun.yaml"]).await;
    assert_eq!(refused.code, Some(78), "{refused:?}");
    let whole = format!("sqlite:{}", place.path("data/log.db").display());
    assert!(refused.stderr.contains("etc/data/log.db") && refused.stderr.contains(&whole));
    assert!(!folder.join("data").exists());
    fs::remove_dir_all(place.path("data")).unwrap();

    let mut relay = place.command(&["run", "-c", "etc/milkrun.yaml"]).spawn().unwrap();
    eventually("a store and a backup where the file is", || async {
        let copies = fs::read_dir(folder.join("copies")).ok()?;
        let is_made = copies.flatten().any(|entry| entry.path().extension() == Some("db".as_ref()));
        (is_made && folder.join("data/log.db").exists()).then_some(())
    })
    .await;
    relay.kill().await.unwrap();
    assert!(!place.path("data").exists() && !place.path("copies").exists());
}
