//! A source whose URL changes: it stands still alone, one command helps, and nothing is repeated.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

use axum::response::Response;
use probes::http::{CursorRule, LastId, Spec};
use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{Notify, watch};

use super::kill::check_log;
use crate::support::{
    LONG, Place, Relay, Server, eventually,
    producer::{id, item, number},
    relay::Finished,
    server::{Asked, json as answer},
    within,
};

const PAGE: u64 = 10;

/// Lists events oldest first at `/events?after=ID`, whatever else is in the query; can hold back
/// second pages.
#[derive(Default)]
struct Listing {
    last: AtomicU64,
    holding: AtomicBool,
    held: watch::Sender<u32>,
    release: Notify,
    asked: Mutex<Vec<String>>,
}

impl Listing {
    async fn start(last: u64) -> (Arc<Self>, Server) {
        let listing = Arc::new(Self { last: AtomicU64::new(last), ..Self::default() });
        let serving = listing.clone();
        (listing, Server::start(move |asked| serving.clone().list(asked)).await)
    }

    async fn list(self: Arc<Self>, asked: Asked) -> Response {
        self.asked.lock().unwrap().push(asked.parts.uri.query().unwrap_or_default().to_owned());
        let after = asked.query("after").and_then(|id| number(&id)).unwrap_or(0);
        if self.holding.load(SeqCst) && after > 0 {
            self.held.send_modify(|held| *held += 1);
            self.release.notified().await;
        }
        let last = self.last.load(SeqCst).min(after + PAGE);
        let items: Vec<String> = (after + 1..=last).map(item).collect();
        answer(format!("{{\"events\": [{}]}}", items.join(",")))
    }

    /// The requests so far, which are forgotten.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

/// One entry of `sources`.
fn source(name: &str, topic: &str, url: &str) -> String {
    format!(
        "  - name: {name}\n    topic: {topic}\n    interval: {{ every: 50ms, min: 10ms, max: 50ms }}\n    \
         http: {{ url: \"{url}\", listed: oldest_first, items: events, id: id, start: earliest, \
         cursor: {{ last_id: {{ query: after }} }}, pages: {{ item_id: {{ query: after }} }}, \
         stop: {{ short_page: {PAGE} }} }}\n"
    )
}

fn shop(url: &str) -> String {
    format!("sources:\n{}", source("shop", "numbers", url))
}

/// Runs a command as an operator who names the file and no server.
async fn run(place: &Place, words: &str) -> Finished {
    let config = place.config();
    let words: Vec<&str> = words.split(' ').chain(["-c", config.to_str().unwrap()]).collect();
    let mut command = place.command(&words);
    let ended =
        within(LONG, words[0], command.env_remove("MILKRUN_SERVER").output()).await.unwrap();
    Finished {
        code: ended.status.code(),
        stdout: String::from_utf8(ended.stdout).unwrap(),
        stderr: String::from_utf8(ended.stderr).unwrap(),
    }
}

/// Gives `shop` a cursor, and looks that the one that was there is printed.
async fn set_cursor(place: &Place, how: &str, old: u64) -> Finished {
    let ended = run(place, &format!("sources cursor shop {how}")).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let line = ended.stdout.lines().find(|line| line.starts_with("old_cursor")).unwrap();
    assert!(line.contains(&id(old)), "{ended:?}");
    ended
}

async fn state(relay: &Relay) -> Value {
    relay.api().get("/v1/sources/shop").await.ok()
}

/// Waits until `shop` stands still, and gives what it says.
async fn until_stuck(relay: &Relay) -> Value {
    eventually("a source that stands still", || async {
        Some(state(relay).await["stuck"].take()).filter(Value::is_object)
    })
    .await
}

async fn all_once(relay: &Relay, last: u64) {
    relay.until_head("numbers", last).await;
    check_log(&relay.api().log("numbers").await, &(1..=last).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_command_beside_a_relay_is_all_that_a_changed_url_needs() {
    let (listing, server) = Listing::start(25).await;
    let place = Place::new(&shop(&server.url("/events?v=1")));
    let relay = place.start().await;
    relay.until_head("numbers", 25).await;
    place.write(&shop(&server.url("/events?v=2")));
    let printed = set_cursor(&place, "--reset", 25).await;
    assert!(
        printed.stdout.lines().any(|line| line.starts_with("cursor") && line.ends_with("null"))
    );
    // It lists everything again, of which nothing is new.
    eventually("the second listing", || async {
        (state(&relay).await["duplicates"].as_u64() >= Some(25)).then_some(())
    })
    .await;
    listing.asked();
    listing.last.store(27, SeqCst);
    all_once(&relay, 27).await;
    assert!(listing.asked().iter().all(|query| query.starts_with("v=2")));
    let shown = state(&relay).await;
    assert_eq!(shown["event_source"], server.url("/events?v=1"));
    assert_eq!(shown["stuck"], Value::Null);
    assert!(relay.stop().await.success());
}

/// The old worker has asked for the second page of a walk when the command comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_under_way_keeps_nothing_behind_the_command() {
    let (listing, server) = Listing::start(15).await;
    let place = Place::new(&shop(&server.url("/events?v=1")));
    let relay = place.start().await;
    relay.until_head("numbers", 15).await;
    listing.holding.store(true, SeqCst);
    listing.last.store(45, SeqCst);
    let mut held = listing.held.subscribe();
    within(LONG, "a page held back", held.wait_for(|held| *held > 0)).await.unwrap();
    place.write(&shop(&server.url("/events?v=2")));
    set_cursor(&place, "--reset", 15).await;
    listing.asked();
    listing.holding.store(false, SeqCst);
    listing.release.notify_waiters();
    all_once(&relay, 45).await;
    let asked = listing.asked();
    assert!(asked.iter().all(|query| query.starts_with("v=2")), "{asked:?}");
    assert!(!asked[0].contains("after"), "it began with a cursor: {asked:?}");
    assert!(relay.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_applied_although_a_source_of_it_stands_still() {
    let (listing, server) = Listing::start(25).await;
    let place = Place::new(&shop(&server.url("/events?v=1")));
    let relay = place.start().await;
    relay.until_head("numbers", 25).await;
    let other = source("other", "others", &server.url("/events?o=1"));
    place.write(&format!("{}{other}", shop(&server.url("/events?v=2"))));
    relay.signal(Signal::HUP);
    relay.until_head("others", 25).await;
    let stuck = until_stuck(&relay).await;
    assert_eq!(stuck["reason"], "needs_cursor");
    let commands = ["--keep", "--reset"].map(|how| format!("milkrun sources cursor shop {how}"));
    assert_eq!(stuck["help"], json!(commands));
    let list = run(&place, "sources").await;
    assert!(commands.iter().all(|command| list.stdout.contains(command)), "{list:?}");
    assert!(place.printed().contains(&commands[0]));
    // Neither the old URL is asked nor the new one, in many intervals.
    listing.asked();
    listing.last.store(27, SeqCst);
    relay.until_head("others", 27).await;
    assert!(listing.asked().iter().all(|query| query.starts_with("o=1")));
    // A start changes nothing about it.
    assert!(relay.stop().await.success());
    let relay = place.start().await;
    until_stuck(&relay).await;
    listing.asked();
    set_cursor(&place, "--keep", 25).await;
    all_once(&relay, 27).await;
    let asked = listing.asked();
    let first = asked.iter().find(|query| query.starts_with('v')).unwrap();
    assert_eq!(*first, format!("v=2&after={}", id(25)));
    assert!(relay.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_works_on_the_file_of_a_relay_that_is_down() {
    let (listing, server) = Listing::start(25).await;
    let place = Place::new(&shop(&server.url("/events?v=1")));
    let relay = place.start().await;
    relay.until_head("numbers", 25).await;
    assert!(relay.stop().await.success());
    for (version, how, last, old) in [(2, "--reset", 27, 25), (3, "--keep", 29, 27)] {
        place.write(&shop(&server.url(&format!("/events?v={version}"))));
        let checked = run(&place, "check").await;
        assert_eq!(checked.code, Some(78), "{checked:?}");
        assert!(checked.stderr.contains(&format!("sources cursor shop {how}")), "{checked:?}");
        assert!(checked.stderr.contains(&id(old)), "{checked:?}");
        set_cursor(&place, how, old).await;
        assert_eq!(run(&place, "check").await.code, Some(0));
        listing.last.store(last, SeqCst);
        let relay = place.start().await;
        all_once(&relay, last).await;
        assert!(relay.stop().await.success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_file_changes_nothing_and_a_pause_stays() {
    let (listing, server) = Listing::start(5).await;
    let place = Place::new(&shop(&server.url("/events?v=1")));
    let relay = place.start().await;
    relay.until_head("numbers", 5).await;
    place.write(&shop("nowhere"));
    let refused = run(&place, "sources cursor shop --reset").await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for told in ["milkrun.yaml:8:", "`url`", "file_refused"] {
        assert!(refused.stderr.contains(told), "{refused:?}");
    }
    let shown = state(&relay).await;
    assert_eq!((&shown["status"], &shown["stuck"]), (&json!("active"), &Value::Null));
    assert_eq!((&shown["cursor"]["value"], &shown["old_cursor"]), (&json!(id(5)), &Value::Null));
    listing.last.store(7, SeqCst);
    all_once(&relay, 7).await;

    relay.api().post("/v1/sources/shop/pause", &json!({})).await.ok();
    place.write(&shop(&server.url("/events?v=2")));
    let printed = set_cursor(&place, "--reset", 7).await;
    assert!(printed.stdout.contains("paused"), "{printed:?}");
    assert_eq!(state(&relay).await["status"], "paused");
    listing.last.store(9, SeqCst);
    relay.api().post("/v1/sources/shop/resume", &json!({})).await.ok();
    all_once(&relay, 9).await;
    assert!(relay.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sources_that_differ_in_the_query_only_lose_nothing() {
    let (_listing, server) = Listing::start(25).await;
    let entry = |team: &str| source(team, "numbers", &server.url(&format!("/events?team={team}")));
    let place = Place::new(&format!("sources:\n{}{}", entry("a"), entry("b")));
    let relay = place.start().await;
    relay.until_head("numbers", 50).await;
    for team in ["a", "b"] {
        let shown = relay.api().get(&format!("/v1/sources/{team}")).await.ok();
        assert_eq!((&shown["appended"], &shown["duplicates"]), (&json!(25), &json!(0)), "{shown}");
    }
    assert!(relay.stop().await.success());
}

/// Puts the file back to what the release before wrote: no new columns, and its hashes.
async fn downgrade(place: &Place, url: &str) {
    let mut spec = Spec::new(probes::http::Target::parse(url).unwrap());
    spec.cursor = CursorRule::LastId(LastId { query: Some("after".into()), ..Default::default() });
    let path = format!("sqlite:{}", place.store().display());
    let mut conn = SqliteConnection::connect(&path).await.unwrap();
    let columns = [
        ("sources", "event_source"),
        ("sources", "old_cursor"),
        ("sources", "stuck_at"),
        ("sources", "asked_at"),
        ("events", "checksum"),
        ("exceptions", "checksum"),
        ("dead_letters", "checksum"),
        ("pending", "committed"),
        ("pending", "checksum"),
        ("journal", "checksum"),
        ("positions", "start_after"),
    ];
    let drops = columns.map(|(table, column)| format!("ALTER TABLE {table} DROP COLUMN {column};"));
    let sql = format!(
        "{} UPDATE sources SET contract = '{hash}', cursor_contract = '{hash}', config_hash = 'x'; \
         DROP TABLE holes; DROP TABLE keys; PRAGMA user_version = 3;",
        drops.concat(),
        hash = spec.contract_before().unwrap()
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_the_release_before_goes_on_without_a_repeat() {
    let (listing, server) = Listing::start(25).await;
    let (url, before) = (server.url("/events?v=1"), server.url("/events"));
    let old = shop(&url).replace("id: id", &format!("id: id, source: \"{before}\""));
    let place = Place::new(&old);
    let relay = place.start().await;
    relay.until_head("numbers", 25).await;
    assert!(relay.stop().await.success());
    downgrade(&place, &url).await;
    place.write(&shop(&url));
    listing.asked();
    listing.last.store(27, SeqCst);
    let relay = place.start().await;
    all_once(&relay, 27).await;
    assert_eq!(listing.asked()[0], format!("v=1&after={}", id(25)));
    // What it was known by stays, so that another URL repeats nothing either.
    assert_eq!(state(&relay).await["event_source"], before);
    place.write(&shop(&server.url("/events?v=2")));
    set_cursor(&place, "--reset", 27).await;
    listing.last.store(29, SeqCst);
    all_once(&relay, 29).await;
    assert!(relay.stop().await.success());
}
