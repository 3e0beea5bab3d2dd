//! What of a list is taken: items that move, that look alike or that are older than they seem, and
//! what a page says of the next one in unexpected words.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use serde_json::json;

use super::support::*;
use crate::{
    Listed,
    http::{
        BodyToken, BodyUrl, CursorRule, Emit, Expression, FieldKind, HttpProbe, IdRule, ItemId,
        LastId, LinkHeader, MaxField, NextUrl, PageNumber, Pages, Param, Spec, Start, TimeRule,
    },
    period::Period,
};

#[tokio::test]
async fn an_item_that_moves_over_a_page_edge_is_not_known_for_it() {
    for emit in [Emit::Once, Emit::OncePerContent, Emit::EveryChange] {
        let asked = AtomicUsize::new(0);
        // Before the second request an item comes in at the top: 5 is listed again.
        let producer = Producer::new(move |request| {
            let top = 8 + u64::from(asked.fetch_add(1, SeqCst) > 0);
            let page: u64 = query(request, "page").unwrap().parse().unwrap();
            ok(&items((1..=top.saturating_sub(4 * (page - 1))).rev().take(4)))
        });
        let probe = probe(|spec| {
            spec.listed = Listed::NewestFirst;
            spec.emit = emit;
            spec.pages = Pages::PageNumber(PageNumber::default());
        });
        let walked = walk(&probe, &producer, None).await.unwrap();
        let ids: Vec<&str> = walked.ids.iter().map(|id| id.split(':').next().unwrap()).collect();
        for id in ["1", "2", "3", "4", "5", "6", "7", "8"] {
            assert!(ids.contains(&id), "{emit:?} lost {id}: {ids:?}");
        }
    }
}

#[tokio::test]
async fn no_two_ids_of_several_parts_are_one() {
    let list = json!([
        { "a": "x:1", "b": "2" }, { "a": "x", "b": "1:2" }, { "a": "x\\", "b": "1" },
        { "a": "x\\:1", "b": "2" }, { "a": "x", "b": "2026-01-31T12:00:00Z" },
    ]);
    let probe = probe(|spec| spec.id = IdRule::Paths(vec!["a".into(), "b".into()]));
    let walked = walk(&probe, &Producer::new(move |_| ok(&list)), None).await.unwrap();
    let different: HashSet<&String> = walked.ids.iter().collect();
    assert_eq!(different.len(), 5, "{:?}", walked.ids);
    // A time behind is as ever.
    assert_eq!(walked.ids[4], "x:2026-01-31T12:00:00Z");
}

#[tokio::test]
async fn pages_that_read_alike_are_not_one() {
    let producer = Producer::new(|request| match query(request, "page").as_deref() {
        Some("1") => raw(r#"[{"id":1},23]"#),
        Some("2") => raw(r#"[{"id":1},2,3]"#),
        _ => raw("[]"),
    });
    let probe = probe(|spec| spec.pages = Pages::PageNumber(PageNumber::default()));
    let walked = walk(&probe, &producer, None).await.unwrap();
    assert_eq!((walked.stopped_by(), walked.rejected.len()), ("empty_page", 3));
}

/// Where nothing was ever an event, nothing can be missing.
#[tokio::test]
async fn a_mapping_that_is_mended_makes_no_gap() {
    let list = json!([{ "nr": 3, "a": "x" }, { "nr": 2, "a": "y" }, { "nr": 1, "a": "z" }]);
    let producer = Producer::new(move |request| match query(request, "page").as_deref() {
        Some("1") => ok(&list),
        _ => raw("[]"),
    });
    let by = |id: &str, item_bytes_max: usize| {
        probe(|spec| {
            spec.limits.item_bytes_max = item_bytes_max;
            spec.listed = Listed::NewestFirst;
            spec.pages = Pages::PageNumber(PageNumber::default());
            spec.id = IdRule::Path(id.into());
        })
    };
    // Rejected as a whole, and known by other ids.
    for (before, bytes, ids) in [("nr", 9, 0), ("a", 99, 3)] {
        let walked = walk(&by(before, bytes), &producer, None).await.unwrap();
        assert_eq!((walked.ids.len(), walked.rejected.len()), (ids, 3 - ids));
        let cursor = walked.cursor();
        let walked = walk(&by("nr", 99), &producer, Some(&cursor)).await.unwrap();
        assert_eq!((walked.ids.len(), walked.stopped_by()), (3, "empty_page"));
        assert_eq!(walked.gap(), None, "{before}");
        assert!(walked.warns("the settings are others"), "{walked:?}");
        // By the same settings a list of other items has lost some.
        let others = Producer::new(|request| match query(request, "page").as_deref() {
            Some("1") => raw(r#"[{"nr":9},{"nr":8}]"#),
            _ => raw("[]"),
        });
        let cursor = walked.cursor();
        let walked = walk(&by("nr", 99), &others, Some(&cursor)).await.unwrap();
        assert_eq!(walked.gap(), Some("bound_reached"));
    }
}

/// What was made long ago and changes now is new by the field that the cursor goes by.
#[tokio::test]
async fn the_start_goes_by_the_field_of_the_cursor() {
    let probe = probe(|spec| {
        spec.start = Start::Ago(Period(Duration::from_hours(24)));
        spec.time = Some(TimeRule::Path("made".into()));
        spec.id = IdRule::Paths(vec!["id".into(), "at".into()]);
        let rule = MaxField { path: "at".into(), kind: FieldKind::Time, ..MaxField::default() };
        spec.cursor = CursorRule::MaxField(rule);
    });
    let item = |id, made, at| json!({ "id": id, "made": made, "at": at });
    let (old, new) = ("2026-01-28T12:00:00Z", "2026-01-31T11:00:00Z");
    let first = json!([item(1, old, old), item(2, new, new), item(3, old, new)]);
    let walked = walk(&probe, &Producer::new(move |_| ok(&first)), None).await.unwrap();
    assert_eq!(walked.ids, [format!("2:{new}"), format!("3:{new}")]);
    let later = json!([item(1, old, "2026-01-31T11:30:00Z")]);
    let cursor = walked.cursor();
    let walked = walk(&probe, &Producer::new(move |_| ok(&later)), Some(&cursor)).await.unwrap();
    assert_eq!(walked.ids, ["1:2026-01-31T11:30:00Z"]);
}

#[tokio::test]
async fn no_list_at_all_ends_no_newest_first_walk_silently() {
    for (end, complete) in [(raw("[]"), true), (status(204), false), (status(200), false)] {
        let producer = Producer::new(move |request| match query(request, "page").as_deref() {
            Some("1") => ok(&items([9, 8])),
            _ => end.clone(),
        });
        let probe = probe(|spec| {
            spec.listed = Listed::NewestFirst;
            spec.pages = Pages::PageNumber(PageNumber::default());
        });
        let walked = walk(&probe, &producer, None).await.unwrap();
        assert_eq!(walked.gap().is_none(), complete, "{walked:?}");
        assert_eq!(walked.warns("taken for the end"), !complete);
    }
}

#[tokio::test]
async fn end_marks_are_no_cursors() {
    for mark in ["None", "null", "-1", "undefined", "nil"] {
        let producer = Producer::new(move |_| ok(&json!({ "items": items(1..=2), "next": mark })));
        let token = BodyToken { path: "next".into(), ..BodyToken::default() };
        let token = CursorRule::BodyToken(BodyToken { query: Some("after".into()), ..token });
        let url = CursorRule::BodyUrl(BodyUrl { path: "next".into(), ..BodyUrl::default() });
        for rule in [token, url] {
            let probe = probe(|spec| {
                spec.items = "items".into();
                spec.cursor = rule;
            });
            let walked = walk(&probe, &producer, None).await.unwrap();
            assert_eq!((walked.ids.len(), walked.value()), (2, None), "{mark}");
            assert!(walked.warns("which is no cursor"), "{mark}");
        }
    }
}

#[tokio::test]
async fn a_link_in_other_words_is_told() {
    for (header, told) in [
        (r#"<https://api.example.com/2>; rel=\"next\""#, true),
        ("<https://api.example.com/2>; rel=&quot;next&quot;", true),
        (r#"<https://api.example.com/2>; ref="next""#, true),
        (r#"<https://api.example.com/2>; rel:"next""#, true),
        ("<https://api.example.com/2>; rel=«next»", true),
        (r#"<https://api.example.com/2>; "next""#, true),
        (r#"<https://api.example.com/next>; rel="prev""#, false),
        (r#"<https://api.example.com/1>; rel="first""#, false),
    ] {
        let producer = Producer::new(move |_| {
            let mut answer = ok(&items(1..=2));
            let value = http::HeaderValue::from_bytes(header.as_bytes()).unwrap();
            answer.headers_mut().insert("link", value);
            answer
        });
        let probe = probe(|spec| spec.pages = Pages::LinkHeader(LinkHeader::default()));
        let silent = match walk(&probe, &producer, None).await {
            Ok(walked) => walked.end.unwrap().warnings.is_empty(),
            Err(_) => false,
        };
        assert_eq!(silent, !told, "{header}");
    }
}

#[tokio::test]
async fn headers_and_body_go_with_every_page() {
    let producer = Producer::new(|request| {
        let first = request.uri().path() == "/v1/orders";
        let next = if first { json!("https://api.example.com/v1/more") } else { json!(null) };
        let id = if first { 1 } else { 2 };
        ok(&json!({ "items": [{ "id": id, "at": id }], "next": next }))
    });
    let probe = probe(|spec| {
        spec.items = "items".into();
        spec.pages = Pages::NextUrl(NextUrl { path: "next".into(), ..NextUrl::default() });
        spec.body = Some(json!({ "since": "{cursor}" }));
        spec.headers =
            vec![Param { name: "x-since".into(), value: "{cursor}".into(), secret: false }];
        let rule = MaxField { path: "at".into(), kind: FieldKind::Number, ..MaxField::default() };
        spec.cursor = CursorRule::MaxField(rule);
    });
    walk(&probe, &producer, Some(&"7".to_owned())).await.unwrap();
    let asked = producer.asked.lock().unwrap();
    assert_eq!(asked.len(), 2);
    for request in &*asked {
        assert_eq!(request.headers()["x-since"], "7", "{}", request.uri());
        assert_eq!(request.body(), r#"{"since":"7"}"#, "{}", request.uri());
    }
}

#[tokio::test]
async fn an_id_that_stands_twice_on_a_page_is_told_and_not_repeated_for_ever() {
    for listed in [Listed::OldestFirst, Listed::NewestFirst, Listed::Unordered] {
        let probe = probe(|spec| {
            spec.emit = Emit::EveryChange;
            spec.listed = listed;
        });
        let list = json!([{ "id": "eu", "host": "a" }, { "id": "eu", "host": "b" }]);
        let producer = Producer::new(move |_| ok(&list));
        let first = walk(&probe, &producer, None).await.unwrap();
        assert!(first.warns("`id` is not unique"), "{listed:?}");
        assert_eq!(first.ids.len(), 2, "{listed:?}");
        let mut cursor = first.cursor();
        for _ in 0..3 {
            let again = walk(&probe, &producer, Some(&cursor)).await.unwrap();
            assert!(again.ids.iter().all(|id| first.ids.contains(id)), "{listed:?} {again:?}");
            cursor = again.cursor();
        }
    }
}

#[tokio::test]
async fn a_status_behind_the_first_page_is_an_end_where_that_is_said() {
    let producer = Producer::new(|request| match query(request, "page").as_deref() {
        Some("1") => ok(&items([4, 3])),
        Some("2") => ok(&items([2, 1])),
        _ => status(404),
    });
    let counted = |said: Option<u16>| {
        probe(move |spec| {
            spec.listed = Listed::NewestFirst;
            spec.pages = Pages::PageNumber(PageNumber::default());
            spec.stop.status = said;
        })
    };
    let failure = walk(&counted(None), &producer, None).await.unwrap_err();
    assert!(failure.help.unwrap().contains("http.stop.status"));
    let walked = walk(&counted(Some(404)), &producer, None).await.unwrap();
    assert_eq!((walked.stopped_by(), walked.ids.len(), walked.gap()), ("status", 4, None));
    let missing = Producer::new(|_| status(404));
    assert!(walk(&counted(Some(404)), &missing, None).await.is_err(), "the first page is none");
}

#[test]
fn paging_by_an_id_that_is_made_needs_its_path() {
    let made = |change: fn(&mut Spec)| {
        let mut spec = spec();
        spec.id = IdRule::Expr(Expression { expr: "item.a".into() });
        change(&mut spec);
        HttpProbe::new(spec).map(|_| ()).map_err(|error| error.field)
    };
    assert_eq!(
        made(|spec| spec.cursor =
            CursorRule::LastId(LastId { query: Some("after".into()), ..LastId::default() })),
        Err("cursor.last_id")
    );
    assert_eq!(
        made(|spec| spec.pages =
            Pages::ItemId(ItemId { query: Some("after".into()), ..ItemId::default() })),
        Err("pages.item_id")
    );
}
