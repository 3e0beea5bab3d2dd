//! A stop in the middle of a walk: the page under way is finished, no other is begun.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::response::Response;
use rustix::process::Signal;
use tokio::sync::watch;

use super::kill::check_log;
use crate::support::{
    LONG, Place, Relay, Server,
    producer::item,
    server::{Asked, answer},
    within,
};

const PAGE: u64 = 10;

/// What becomes of a request for a page.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Answered,
    /// Answered when the test says so.
    Held,
    /// Refused for an hour.
    Later,
}

type Decide = Box<dyn Fn(&str, u64) -> Fate + Send>;

/// Lists events by page number, at `/PATH?page=N`.
struct Paged {
    count: u64,
    newest_first: bool,
    fate: Mutex<Decide>,
    asked: watch::Sender<Vec<String>>,
    released: watch::Sender<bool>,
}

impl Paged {
    fn new(count: u64, newest_first: bool) -> Arc<Self> {
        Arc::new(Self {
            count,
            newest_first,
            fate: Mutex::new(Box::new(|_, _| Fate::Answered)),
            asked: watch::Sender::default(),
            released: watch::Sender::new(false),
        })
    }

    fn decide(&self, fate: impl Fn(&str, u64) -> Fate + Send + 'static) {
        *self.fate.lock().unwrap() = Box::new(fate);
    }

    async fn serve(self: &Arc<Self>) -> Server {
        let paged = self.clone();
        Server::start(move |asked| paged.clone().list(asked)).await
    }

    async fn list(self: Arc<Self>, asked: Asked) -> Response {
        let page = asked.query("page").map_or(1, |page| page.parse::<u64>().unwrap());
        let path = asked.parts.uri.path().trim_start_matches('/').to_owned();
        self.asked.send_modify(|asked| asked.push(format!("{path} {page}")));
        let fate = (self.fate.lock().unwrap())(&path, page);
        match fate {
            Fate::Later => return answer(429, &[("retry-after", "3600")], "later"),
            Fate::Held => drop(self.released.subscribe().wait_for(|released| *released).await),
            // A page takes a moment, so that a walk has many moments to be stopped in.
            Fate::Answered => tokio::time::sleep(Duration::from_millis(5)).await,
        }
        let first = ((page - 1) * PAGE + 1).min(self.count + 1);
        let mut numbers: Vec<u64> = (first..=(page * PAGE).min(self.count)).collect();
        if self.newest_first {
            for number in &mut numbers {
                *number = self.count + 1 - *number;
            }
        }
        let items: Vec<String> = numbers.into_iter().map(item).collect();
        answer(200, &[("content-type", "application/json")], format!("[{}]", items.join(",")))
    }

    fn asked(&self) -> Vec<String> {
        self.asked.borrow().clone()
    }

    async fn until_asked(&self, line: &str) {
        let mut asked = self.asked.subscribe();
        let has = |asked: &Vec<String>| asked.iter().any(|one| one == line);
        within(LONG, line, asked.wait_for(has)).await.unwrap();
    }

    fn source(&self, server: &Server, name: &str) -> String {
        let listed = if self.newest_first { "newest_first" } else { "oldest_first" };
        format!(
            "  - name: {name}\n    topic: numbers\n    interval: 1h\n    http: {{ url: \"{}\", \
             listed: {listed}, items: \"\", id: id, start: earliest, cursor: none, pages: \
             {{ page_number: {{ query: page, from: 1 }} }}, stop: {{ short_page: {PAGE} }} }}\n",
            server.url(&format!("/{name}"))
        )
    }
}

/// Stops softly, and gives the exit code and how long it took.
async fn stop(relay: Relay) -> (Option<i32>, Duration) {
    let begun = Instant::now();
    let status = relay.stop().await;
    (status.code(), begun.elapsed())
}

/// Starts anew with every page answered: the walk has to go on with `line`, and to lose nothing.
async fn goes_on(place: &Place, paged: &Paged, line: &str) {
    let before = paged.asked().len();
    paged.decide(|_, _| Fate::Answered);
    paged.released.send_replace(true);
    let relay = place.start().await;
    relay.until_head("numbers", paged.count).await;
    check_log(&relay.api().log("numbers").await, &(1..=paged.count).collect::<Vec<_>>());
    assert_eq!(paged.asked()[before], line);
    assert!(relay.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_comes_within_the_drain_is_kept_and_is_the_last() {
    for newest_first in [false, true] {
        let paged = Paged::new(45, newest_first);
        paged.decide(|_, page| if page == 2 { Fate::Held } else { Fate::Answered });
        let server = paged.serve().await;
        let place = Place::new(&format!("sources:\n{}", paged.source(&server, "a")));
        let relay = place.start().await;
        paged.until_asked("a 2").await;
        let released = paged.released.clone();
        let (ended, ()) = tokio::join!(stop(relay), async move {
            tokio::time::sleep(Duration::from_millis(700)).await;
            released.send_replace(true);
        });
        assert_eq!(ended.0, Some(0));
        assert!(ended.1 >= Duration::from_millis(700), "the page was not waited for: {ended:?}");
        assert!(ended.1 < Duration::from_secs(10), "{ended:?}");
        assert_eq!(paged.asked(), ["a 1", "a 2"]);
        goes_on(&place, &paged, "a 3").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_does_not_come_is_given_up_at_the_hard_stop() {
    for newest_first in [false, true] {
        let paged = Paged::new(25, newest_first);
        paged.decide(|_, page| if page == 2 { Fate::Held } else { Fate::Answered });
        let server = paged.serve().await;
        let place = Place::new(&format!("sources:\n{}", paged.source(&server, "a")));
        let mut relay = place.spawn_with(&["--drain", "1s"]);
        relay.ready().await;
        paged.until_asked("a 2").await;
        let (code, took) = stop(relay).await;
        assert_eq!(code, Some(3));
        assert!(took >= Duration::from_secs(1), "given up before the drain was over: {took:?}");
        assert!(took < Duration::from_secs(6), "{took:?}");
        assert_eq!(paged.asked(), ["a 1", "a 2"]);
        // The first page is on disk, so that it is not asked for again.
        goes_on(&place, &paged, "a 2").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_gives_up_a_page_at_once() {
    let paged = Paged::new(25, false);
    paged.decide(|_, page| if page == 2 { Fate::Held } else { Fate::Answered });
    let server = paged.serve().await;
    let place = Place::new(&format!("sources:\n{}", paged.source(&server, "a")));
    let mut relay = place.start().await;
    paged.until_asked("a 2").await;
    let begun = Instant::now();
    relay.signal(Signal::TERM);
    tokio::time::sleep(Duration::from_millis(300)).await;
    relay.signal(Signal::TERM);
    assert_eq!(relay.ended().await.code(), Some(3));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_of_many_pages_does_not_go_on_past_the_current_one() {
    for newest_first in [false, true] {
        let paged = Paged::new(2_000, newest_first);
        let server = paged.serve().await;
        let place = Place::new(&format!("sources:\n{}", paged.source(&server, "a")));
        let relay = place.start().await;
        paged.until_asked("a 7").await;
        let at_signal = paged.asked().len();
        let (code, took) = stop(relay).await;
        assert_eq!(code, Some(0));
        assert!(took < Duration::from_secs(10), "{took:?}");
        let asked = paged.asked().len();
        assert!(asked < 190, "the walk went on to its end: {at_signal}, {asked}");
        // It was the last that was asked for, and it was kept.
        let last = u64::try_from(asked).unwrap();
        assert_eq!(paged.asked()[asked - 1], format!("a {last}"));
        goes_on(&place, &paged, &format!("a {}", last + 1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_that_the_producer_asked_for_holds_nothing_up() {
    let paged = Paged::new(25, false);
    paged.decide(|_, page| if page == 2 { Fate::Later } else { Fate::Answered });
    let server = paged.serve().await;
    let place = Place::new(&format!("sources:\n{}", paged.source(&server, "a")));
    let relay = place.start().await;
    paged.until_asked("a 2").await;
    let (code, took) = stop(relay).await;
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    let relay = place.start().await;
    assert_eq!(relay.api().head("numbers").await, 10, "the first page is not on disk");
    assert!(relay.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_place_begins_nothing_after_the_stop() {
    let paged = Paged::new(15, false);
    paged.decide(|_, _| Fate::Held);
    let server = paged.serve().await;
    let sources: String =
        ["a", "b", "c"].map(|name| paged.source(&server, name)).into_iter().collect();
    let place = Place::new(&format!("limits: {{ walks_max: 1 }}\nsources:\n{sources}"));
    let relay = place.start().await;
    let mut asked = paged.asked.subscribe();
    within(LONG, "a request", asked.wait_for(|asked| !asked.is_empty())).await.unwrap();
    // The others begin within a moment, and wait.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let released = paged.released.clone();
    let (ended, ()) = tokio::join!(stop(relay), async move {
        tokio::time::sleep(Duration::from_millis(700)).await;
        released.send_replace(true);
    });
    assert_eq!(ended.0, Some(0));
    assert!(ended.1 < Duration::from_secs(10), "{ended:?}");
    assert_eq!(paged.asked().len(), 1, "{:?}", paged.asked());
}
