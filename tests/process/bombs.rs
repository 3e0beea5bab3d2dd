//! Many sources that answer with gzip bombs at once: memory stays within its bound.

use std::{
    fs,
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use axum::body::Bytes;
use serde_json::json;

use crate::support::{Place, Server, eventually, server::answer};

const SOURCES: usize = 100;
/// What the pages of all walks may take: `limits.walk_bytes_max`.
const WALK_BYTES_MAX: u64 = 64 << 20;
/// And this much more for all that is not a page.
const BESIDE: u64 = 64 << 20;

/// 31 MiB of blanks in a list, in 31 KiB.
fn bomb() -> Bytes {
    let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    coder.write_all(b"[").unwrap();
    for _ in 0..31 {
        coder.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    coder.write_all(b"]").unwrap();
    coder.finish().unwrap().into()
}

/// The most memory that a process ever had.
fn peak_bytes(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn config(server: &Server, sources: usize) -> String {
    let mut yaml =
        format!("limits: {{ walk_bytes_max: {WALK_BYTES_MAX}, walks_max: {SOURCES} }}\n");
    yaml.push_str("sources:\n");
    for n in 0..sources {
        let url = server.url(&format!("/bomb?n={n}"));
        let line = format!(
            "  - {{ name: s{n}, topic: t, interval: 1h, http: {{ url: \"{url}\", id: id }} }}\n"
        );
        yaml.push_str(&line);
    }
    yaml
}

#[tokio::test]
async fn measured_a_hundred_bombs_at_once_stay_within_the_bound() {
    let (bomb, asked) = (bomb(), Arc::new(AtomicUsize::new(0)));
    let counter = asked.clone();
    let server = Server::start(move |_| {
        let (body, counter) = (bomb.clone(), counter.clone());
        async move {
            counter.fetch_add(1, SeqCst);
            answer(200, &[("content-encoding", "gzip")], body)
        }
    })
    .await;
    let place = Place::new(&config(&server, 0));
    let mut relay = place.start().await;
    let before = peak_bytes(relay.id());
    relay.stop().await;
    place.write(&config(&server, SOURCES));
    relay = place.start().await;
    // All at once: by themselves they would take turns.
    let polls = (0..SOURCES).map(|n| {
        let api = relay.api().clone();
        async move { api.post(&format!("/v1/sources/s{n}/poll"), &json!({})).await.ok() }
    });
    futures_util::future::join_all(polls).await;
    eventually("every source was asked and reported", || async {
        let sources = relay.api().get("/v1/sources?limit=100").await.ok();
        let told = sources["sources"].as_array()?.iter();
        (told.filter(|source| !source["report"].is_null()).count() == SOURCES).then_some(())
    })
    .await;
    let grown = peak_bytes(relay.id()).saturating_sub(before);
    println!("{SOURCES} bombs: the peak grew by {} MiB", grown >> 20);
    assert!(asked.load(SeqCst) >= SOURCES);
    assert!(grown <= WALK_BYTES_MAX + BESIDE, "the peak grew by {} MiB", grown >> 20);
    assert!(relay.stop().await.success());
}
