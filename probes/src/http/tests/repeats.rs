//! Pages that come again in mid-walk, and what of a walk outlives it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use serde_json::{Value, json};

use super::support::*;
use crate::{
    Listed, Next,
    http::{
        CursorRule, Emit, HttpProbe, LastId, Offset, PageNumber, Pages, Spec, Start, Token, reset,
    },
};

fn newest_first(spec: &mut Spec, pages: Pages) {
    spec.listed = Listed::NewestFirst;
    spec.pages = pages;
}

fn asked_for(request: &Asked, name: &str) -> u64 {
    let query = request.uri().query().unwrap_or("");
    let value = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
    value.map_or(0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn a_copy_of_the_page_before_hides_nothing() {
    let told = AtomicUsize::new(0);
    // Page 2 comes as a copy of page 1, once.
    let producer = Producer::new(move |request| match asked_for(request, "page") {
        1 => ok(&items([9, 8])),
        2 if told.fetch_add(1, SeqCst) == 0 => ok(&items([9, 8])),
        2 => ok(&items([7, 6])),
        3 => ok(&items([5])),
        _ => ok(&json!([])),
    });
    let probe = probe(|spec| newest_first(spec, Pages::PageNumber(PageNumber::default())));
    let walked = walk(&probe, &producer, None).await.unwrap();
    assert_eq!(walked.ids, ["9", "8", "7", "6", "5"]);
    assert_eq!(walked.gap(), None);
}

#[tokio::test]
async fn a_page_that_is_asked_for_again_is_counted_once() {
    let told = AtomicUsize::new(0);
    // The list moved by two items after the first page, and so that offset shows the same.
    let producer = Producer::new(move |request| match asked_for(request, "offset") {
        0 if told.fetch_add(1, SeqCst) == 0 => ok(&items([6, 5])),
        offset => ok(&items((1..=8_u64.saturating_sub(offset)).rev().take(2))),
    });
    let probe = probe(|spec| newest_first(spec, Pages::Offset(Offset::default())));
    let walked = walk(&probe, &producer, None).await.unwrap();
    assert_eq!(walked.ids, ["6", "5", "4", "3", "2", "1"]);
    let asked = producer.queries();
    let offsets: Vec<&str> =
        asked.iter().filter_map(|query| query.split('=').next_back()).collect();
    assert_eq!(offsets[..4], ["0", "2", "2", "4"]);
}

#[tokio::test]
async fn a_first_walk_that_a_copy_ends_has_a_gap() {
    let looping = |request: &Asked| {
        let page = asked_for(request, "at").min(1);
        ok(&json!({ "items": items([9 - page]), "next": 1 }))
    };
    let token = Token { path: "next".into(), query: Some("at".into()), ..Token::default() };
    let probe = probe(|spec| {
        newest_first(spec, Pages::Token(token));
        spec.items = "items".into();
    });
    let walked = walk(&probe, &Producer::new(looping), None).await.unwrap();
    assert_eq!((walked.stopped_by(), walked.gap()), ("page_repeats", Some("bound_reached")));
    assert_eq!(walked.ids, ["9", "8"]);
}

#[tokio::test]
async fn a_change_that_an_abandoned_walk_showed_is_no_news_for_the_next() {
    let content = Arc::new(Mutex::new("a"));
    let shown = content.clone();
    let producer = Producer::new(move |request| match asked_for(request, "page") {
        1 => ok(&json!([{ "id": 1, "is": *shown.lock().unwrap() }])),
        2 => ok(&json!([{ "id": 2 }])),
        _ => ok(&json!([])),
    });
    let probe = probe(|spec| {
        spec.emit = Emit::EveryChange;
        spec.pages = Pages::PageNumber(PageNumber::default());
    });
    let mut cursor = walk(&probe, &producer, None).await.unwrap().cursor();
    let mut kept: Vec<Value> = Vec::new();
    // Each walk is abandoned after its first page; what was learnt is kept with the drafts.
    for now in ["b", "a", "a", "b"] {
        *content.lock().unwrap() = now;
        let page = page(&probe, &producer, Some(&cursor), None).await.unwrap();
        assert!(matches!(page.next, Next::Page(_)));
        kept.extend(page.drafts.iter().map(|draft| serde_json::from_slice(&draft.data).unwrap()));
        cursor = page.learnt.unwrap_or(cursor);
    }
    let kept: Vec<&str> = kept.iter().map(|item| item["is"].as_str().unwrap()).collect();
    assert_eq!(kept, ["b", "a", "b"]);
}

#[tokio::test]
async fn a_reset_cursor_knows_what_was_told_of_each_id() {
    let content = Arc::new(Mutex::new("a"));
    let shown = content.clone();
    let producer = Producer::new(move |_| {
        ok(&json!([{ "id": 1, "is": *shown.lock().unwrap() }, { "id": 2, "is": "x" }]))
    });
    let probe = probe(|spec| spec.emit = Emit::EveryChange);
    let mut cursor = walk(&probe, &producer, None).await.unwrap().cursor();
    *content.lock().unwrap() = "b";
    let changed = walk(&probe, &producer, Some(&cursor)).await.unwrap();
    assert_eq!(changed.ids.len(), 1);
    cursor = reset(&changed.cursor()).unwrap();
    let again = walk(&probe, &producer, Some(&cursor)).await.unwrap();
    assert_eq!(again.ids, [""; 0], "told once more");
    *content.lock().unwrap() = "a";
    let back = walk(&probe, &producer, Some(&again.cursor())).await.unwrap();
    assert_eq!(back.ids.len(), 1, "a change back is one");
    assert_ne!(back.ids, changed.ids);
}

#[tokio::test]
async fn a_reset_cursor_begins_as_the_first_run_does() {
    let probe = probe(|spec| {
        spec.emit = Emit::EveryChange;
        spec.start = Start::Cursor("5".into());
        spec.cursor =
            CursorRule::LastId(LastId { query: Some("after".into()), ..LastId::default() });
    });
    let producer = Producer::new(|request| ok(&items([asked_for(request, "after") + 1])));
    let first = walk(&probe, &producer, None).await.unwrap();
    let second = walk(&probe, &producer, Some(&first.cursor())).await.unwrap();
    let left = reset(&second.cursor()).unwrap();
    walk(&probe, &producer, Some(&left)).await.unwrap();
    let asked: Vec<String> = producer.queries();
    assert_eq!(asked, ["fixed=1&after=5", "fixed=1&after=6", "fixed=1&after=5"]);
    // A first run that starts now takes nothing of what is there.
    let now = Spec { start: Start::Now, emit: Emit::EveryChange, ..spec() };
    let (now, all) = (HttpProbe::new(now).unwrap(), Producer::new(|_| ok(&items([7, 8]))));
    assert_eq!(walk(&now, &all, Some(&left)).await.unwrap().ids, [""; 0]);
    // Without contents there is nothing that could be left.
    assert_eq!(reset("\"7\""), None);
}

#[tokio::test]
async fn items_that_moved_down_have_their_last_place() {
    // The list grows by one page's length while it is read: 8, 7 and 6 are listed before and behind 9.
    let pages = [[12, 11, 10], [8, 7, 6], [9, 8, 7], [8, 7, 6], [8, 7, 6], [5, 4, 3]];
    let asked = AtomicUsize::new(0);
    let producer = Producer::new(move |_| {
        let at = asked.fetch_add(1, SeqCst);
        ok(&pages.get(at).map_or_else(|| items([]), |page| items(*page)))
    });
    let probe = probe(|spec| newest_first(spec, Pages::PageNumber(PageNumber::default())));
    let walked = walk(&probe, &producer, None).await.unwrap();
    assert_eq!(walked.ids, ["12", "11", "10", "9", "8", "7", "6", "5", "4", "3"]);
}

#[tokio::test]
async fn a_list_that_moves_on_by_several_pages_hides_nothing() {
    for shift in [1, 2, 4, 8] {
        let told = AtomicUsize::new(0);
        // Before each of so many requests a page of items comes in at the top.
        let producer = Producer::new(move |request| {
            let top = 20 + 2 * shift.min(told.fetch_add(1, SeqCst) as u64);
            ok(&items((1..=top.saturating_sub(asked_for(request, "offset"))).rev().take(2)))
        });
        let probe = probe(|spec| newest_first(spec, Pages::Offset(Offset::default())));
        let walked = walk(&probe, &producer, None).await.unwrap();
        let hidden = (1..=20_u64).find(|id| !walked.ids.contains(&id.to_string()));
        assert_eq!(hidden, None, "{shift} pages");
    }
}

#[tokio::test]
async fn a_page_that_is_always_the_same_is_asked_for_a_few_times() {
    let producer = Producer::new(|_| ok(&items([2, 1])));
    let probe = probe(|spec| newest_first(spec, Pages::PageNumber(PageNumber::default())));
    let walked = walk(&probe, &producer, None).await.unwrap();
    assert_eq!((walked.stopped_by(), producer.queries().len()), ("page_repeats", 17));
    assert!(walked.warns("taken for the end"));
}
