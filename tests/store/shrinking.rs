//! A file becomes small again soon after much of it went, and appends hardly notice.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use milkrun::{
    event::{Data, Topic},
    settings::TopicSettings,
    store::{Append, NewEvent, Store},
};

use super::{Bench as _, NOW, append, name, sqlite::bench};
use crate::support::scaled;

/// Fills a topic with so many MiB, in events of 1 KiB and of 100 KiB.
async fn fill(store: &Arc<dyn Store>, topic: &Topic, mib: usize) {
    for round in 0..mib {
        let large = round % 2 == 0;
        let (count, bytes) = if large { (10, 100 << 10) } else { (1_000, 1 << 10) };
        let event = |number: usize| NewEvent {
            source: "/test".into(),
            id: format!("{round}-{number}"),
            attributes: r#"{"id":"1","source":"/test","type":"t"}"#.into(),
            data: Data::Json(Bytes::from(format!("\"{}\"", "x".repeat(bytes)))),
            deliver_at: None,
        };
        let events = (0..count).map(event).collect();
        let append = Append { topic: topic.clone(), events, progress: None, now: NOW };
        store.append(append).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measured_a_file_shrinks_in_minutes_and_appends_hardly_wait() {
    let mib = scaled(100, 1_024);
    let bench = bench().await;
    let store = bench.open().await;
    let [much, other] = [name("much"), name("other")];
    for topic in [&much, &other] {
        store.put_topic(topic, &TopicSettings::default(), NOW).await.unwrap();
    }
    fill(&store, &much, mib).await;
    store.delete_topic(&much, NOW).await.unwrap();
    let size = || fs::metadata(bench.path()).unwrap().len();
    let (before, begun) = (size(), Instant::now());
    let is_done = Arc::new(AtomicBool::new(false));
    let appender = tokio::spawn({
        let (store, is_done) = (store.clone(), is_done.clone());
        async move {
            let mut waits = Vec::new();
            for id in 1.. {
                if is_done.load(Ordering::Relaxed) {
                    break;
                }
                let asked = Instant::now();
                append(&store, &other, [id]).await.unwrap();
                waits.push(asked.elapsed());
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            waits.sort();
            waits
        }
    });
    // As the janitor does.
    while store.trim(NOW).await.unwrap().more {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = begun.elapsed();
    is_done.store(true, Ordering::Relaxed);
    let waits = appender.await.unwrap();
    store.close().await;
    let after = size();
    let (p50, p99) = (waits[waits.len() / 2], waits[waits.len() * 99 / 100]);
    println!(
        "{} MiB became {} MiB in {took:?}; {} appends beside it: p50 {p50:?}, p99 {p99:?}, longest {:?}",
        before >> 20,
        after >> 20,
        waits.len(),
        waits[waits.len() - 1]
    );
    assert!(before > (mib as u64 * 9 / 10) << 20, "the file never was large");
    assert!(after < 16 << 20, "{after} bytes are left");
    // 1 GiB in 5 minutes, on whatever runs this.
    assert!(took < Duration::from_millis(300 * mib as u64), "{took:?}");
    assert!(p99 < Duration::from_millis(100), "appends waited for {p99:?}");
}
