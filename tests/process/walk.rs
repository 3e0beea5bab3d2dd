//! A newest-first producer, killed between two pages of a walk.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

use axum::response::Response;
use tokio::sync::{Notify, watch};

use super::kill::check_log;
use crate::support::{
    Place, Server,
    producer::item,
    server::{Asked, answer},
    within,
};

const PAGE: u64 = 10;

/// Lists events newest first, by page number, with an `ETag`; can hold back every page after the
/// first.
struct NewestFirst {
    count: AtomicU64,
    holding: AtomicBool,
    held: watch::Sender<u32>,
    release: Notify,
    fail_second: AtomicBool,
    asked: Mutex<Vec<String>>,
}

impl NewestFirst {
    fn new(count: u64) -> Arc<Self> {
        Arc::new(Self {
            count: AtomicU64::new(count),
            holding: AtomicBool::new(false),
            held: watch::Sender::new(0),
            release: Notify::new(),
            fail_second: AtomicBool::new(false),
            asked: Mutex::default(),
        })
    }

    async fn serve(self: Arc<Self>) -> Server {
        Server::start(move |asked| self.clone().list(asked)).await
    }

    async fn list(self: Arc<Self>, asked: Asked) -> Response {
        let page = asked.query("page").map_or(1, |page| page.parse::<u64>().unwrap());
        let count = self.count.load(SeqCst);
        let etag = format!("\"{count}-{page}\"");
        let known = asked.header("if-none-match") == Some(&etag);
        let how = if known { " 304" } else { "" };
        self.asked.lock().unwrap().push(format!("page {page} of {count}{how}"));
        if known {
            return answer(304, &[("etag", &etag)], "");
        }
        if page > 1 && self.fail_second.load(SeqCst) {
            return answer(500, &[], "no");
        }
        if page > 1 && self.holding.load(SeqCst) {
            self.held.send_modify(|held| *held += 1);
            self.release.notified().await;
        }
        let newest = count.saturating_sub((page - 1) * PAGE);
        let items: Vec<String> =
            (newest.saturating_sub(PAGE) + 1..=newest).rev().map(item).collect();
        let headers = [("etag", etag.as_str()), ("content-type", "application/json")];
        answer(200, &headers, format!("[{}]", items.join(",")))
    }
}

fn config(server: &Server) -> String {
    format!(
        "sources:\n  - name: numbers\n    topic: numbers\n    interval: {{ every: 50ms, min: 10ms, max: 50ms }}\n    http: {{ url: \"{}\", \
         listed: newest_first, items: \"\", id: id, start: earliest, cursor: none, pages: \
         {{ page_number: {{ query: page, from: 1 }} }}, stop: {{ short_page: {PAGE} }} }}\n",
        server.url("/list")
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_two_pages_of_a_newest_first_walk_it_loses_nothing() {
    let producer = NewestFirst::new(35);
    let server = producer.clone().serve().await;
    let place = Place::new(&config(&server));
    let relay = place.start().await;
    relay.until_head("numbers", 35).await;

    // The second walk meets what is known on its third page, and is killed before that.
    producer.holding.store(true, SeqCst);
    producer.count.store(60, SeqCst);
    let mut held = producer.held.subscribe();
    within(crate::support::LONG, "the second page", held.wait_for(|held| *held > 0)).await.unwrap();
    assert_eq!(relay.api().head("numbers").await, 35, "numbered before the walk was complete");
    relay.kill().await;
    // Meanwhile there is more, so that the pages do not lie where they lay.
    producer.count.store(73, SeqCst);
    producer.holding.store(false, SeqCst);
    producer.release.notify_waiters();

    let relay = place.start().await;
    relay.until_head("numbers", 73).await;
    let log = relay.api().log("numbers").await;
    check_log(&log, &(1..=73).collect::<Vec<_>>());
    assert!(relay.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etag_of_a_walk_that_failed_on_its_second_page_hides_nothing() {
    let producer = NewestFirst::new(25);
    producer.fail_second.store(true, SeqCst);
    let server = producer.clone().serve().await;
    let place = Place::new(&config(&server));
    let relay = place.start().await;
    crate::support::eventually("a failed walk", || async {
        let asked = producer.asked.lock().unwrap();
        asked.iter().any(|line| line.starts_with("page 2")).then_some(())
    })
    .await;
    producer.fail_second.store(false, SeqCst);
    relay.api().post("/v1/sources/numbers/poll", &serde_json::json!({})).await.ok();
    relay.until_head("numbers", 25).await;
    check_log(&relay.api().log("numbers").await, &(1..=25).collect::<Vec<_>>());
    let asked = producer.asked.lock().unwrap().join("\n");
    let (before, _) = asked.split_once("page 3").expect("a whole walk");
    assert!(!before.contains("304"), "hidden by a validator:\n{asked}");
}
