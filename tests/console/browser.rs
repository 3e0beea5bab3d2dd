//! The console in a real Chromium.

use serde_json::{Value, json};

use super::{PAGES, hostile::Hostile, rig::Rig};
use crate::support::{Place, browser};

/// What was found wrong, a line each.
async fn look(place: &Place, more: Value) -> Vec<String> {
    let mut plan = more;
    plan["base"] = place.base().into();
    let found = browser::lead(&place.path("browser"), "tests/console/look.js", plan).await;
    serde_json::from_value(found).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_is_usable_by_everybody() {
    let rig = Rig::start("").await;
    // A filter of a list changes nothing of its form.
    let pages: Vec<&str> = PAGES.into_iter().filter(|path| !path.contains('?')).collect();
    let found = look(&rig.place, json!({ "kind": "axe", "pages": pages })).await;
    assert!(found.is_empty(), "{found:#?}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_with_nothing_is_usable_too() {
    let place = Place::new("");
    let relay = place.start().await;
    let pages = ["", "subscriptions", "dead-letters", "topics", "sources", "nothing"];
    let found = look(&place, json!({ "kind": "axe", "pages": pages, "brief": true })).await;
    assert!(found.is_empty(), "{found:#?}");
    assert!(relay.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_foreign_text_runs() {
    let hostile = Hostile::start().await;
    let found = look(&hostile.place, json!({ "kind": "hostile", "pages": hostile.pages() })).await;
    assert!(found.is_empty(), "{found:#?}");
    hostile.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_disturbs_nobody() {
    let rig = Rig::start("").await;
    let found = look(&rig.place, json!({ "kind": "refresh" })).await;
    assert!(found.is_empty(), "{found:#?}");
    rig.stop().await;
}
