//! Every kind of cursor, validators, edges, first runs, losses and gaps.

use std::sync::{Arc, Mutex};

use http::Response;
use serde_json::{Value, json};

use super::support::*;
use crate::{
    FailureKind, Listed, Next,
    http::{
        BodyToken, CursorRule, FieldKind, HeaderCursor, LastId, LinkHeader, LinkUrl, MaxField,
        Overlap, PageNumber, Pages, Start,
    },
};

mod conditional;

/// A list that a test changes.
type List = Arc<Mutex<Vec<Value>>>;

#[expect(clippy::needless_pass_by_value, reason = "the calls read better")]
fn list(items: Value) -> List {
    Arc::new(Mutex::new(items.as_array().unwrap().clone()))
}

fn shows(list: &List) -> Producer {
    let list = list.clone();
    Producer::new(move |_| ok(&json!(*list.lock().unwrap())))
}

fn max_field(kind: FieldKind, query: Option<&str>) -> CursorRule {
    CursorRule::MaxField(MaxField {
        path: "at".into(),
        kind,
        query: query.map(Into::into),
        ..MaxField::default()
    })
}

#[tokio::test]
async fn without_a_cursor_what_was_seen_is_known() {
    let list = list(items(1..=3));
    let (producer, probe) = (shows(&list), probe(|_| {}));
    let first = walk(&probe, &producer, None).await.unwrap();
    assert_eq!(first.ids, ["1", "2", "3"]);
    list.lock().unwrap().push(json!({"id": 4}));
    let second = walk(&probe, &producer, Some(&first.cursor())).await.unwrap();
    assert_eq!(second.ids, ["4"]);
    let third = walk(&probe, &producer, Some(&second.cursor())).await.unwrap();
    assert!(third.ids.is_empty());
    assert_eq!(third.cursor(), second.cursor(), "a quiet list leaves the cursor as it is");
}

#[tokio::test]
async fn ties_at_the_edge_are_neither_lost_nor_repeated() {
    let at = "2026-01-01T00:00:00Z";
    let list = list(json!([{"id": 1, "at": "2025-12-31T00:00:00Z"}, {"id": 2, "at": at}]));
    let producer = shows(&list);
    let probe = probe(|spec| spec.cursor = max_field(FieldKind::Time, Some("since")));
    let first = walk(&probe, &producer, None).await.unwrap();
    assert_eq!(first.value().as_deref(), Some(at));
    list.lock().unwrap().push(json!({"id": 3, "at": at}));
    let second = walk(&probe, &producer, Some(&first.cursor())).await.unwrap();
    assert_eq!(second.ids, ["3"]);
    let third = walk(&probe, &producer, Some(&second.cursor())).await.unwrap();
    assert!(third.ids.is_empty());
    assert_eq!(producer.queries()[2], "fixed=1&since=2026-01-01T00%3A00%3A00Z");
}

#[tokio::test]
async fn late_items_within_the_overlap_are_taken() {
    let list = list(json!([{"id": 1, "at": "2026-01-01T00:10:00Z"}]));
    let producer = shows(&list);
    let probe = probe(|spec| {
        spec.cursor = max_field(FieldKind::Time, Some("since"));
        spec.overlap = Some(Overlap::Period("2m".parse().unwrap()));
    });
    let first = walk(&probe, &producer, None).await.unwrap();
    list.lock().unwrap().extend([
        json!({"id": 2, "at": "2026-01-01T00:09:00Z"}),
        json!({"id": 3, "at": "2026-01-01T00:07:00Z"}),
    ]);
    let second = walk(&probe, &producer, Some(&first.cursor())).await.unwrap();
    assert_eq!(second.ids, ["2"]);
    assert!(second.end.as_ref().unwrap().warnings[0].contains("late"));
    let third = walk(&probe, &producer, Some(&second.cursor())).await.unwrap();
    assert!(third.ids.is_empty());
    assert!(producer.queries()[1].ends_with("since=2026-01-01T00%3A08%3A00Z"));
}

#[tokio::test]
async fn an_overlap_of_items_reads_them_again_with_their_ties() {
    let list = list(
        json!([{"id": 1, "at": 1}, {"id": 2, "at": 5}, {"id": 3, "at": 5}, {"id": 4, "at": 9}]),
    );
    let producer = shows(&list);
    let probe = probe(|spec| {
        spec.cursor = max_field(FieldKind::Number, Some("since"));
        spec.overlap = Some(Overlap::Items(crate::http::Items { items: 2 }));
    });
    let first = walk(&probe, &producer, None).await.unwrap();
    list.lock().unwrap().extend([json!({"id": 5, "at": 7}), json!({"id": 6, "at": 2})]);
    let second = walk(&probe, &producer, Some(&first.cursor())).await.unwrap();
    assert_eq!(second.ids, ["5"], "the ties of the second item are known, 2 is below it");
    assert_eq!(producer.queries(), ["fixed=1", "fixed=1&since=5"]);
}

#[tokio::test]
async fn newest_first_may_go_on_over_known_items() {
    let list = list(items((1..=6).rev()));
    let producer = {
        let list = list.clone();
        Producer::new(move |request| {
            let items = list.lock().unwrap().clone();
            let page: usize = query(request, "page").unwrap().parse().unwrap();
            ok(&items.chunks(2).nth(page - 1).map_or_else(|| json!([]), |page| json!(page)))
        })
    };
    let probe = probe(|spec| {
        spec.listed = Listed::NewestFirst;
        spec.pages = Pages::PageNumber(PageNumber::default());
        spec.overlap = Some(Overlap::Items(crate::http::Items { items: 3 }));
    });
    let first = walk(&probe, &producer, None).await.unwrap();
    // One appears at the top, another late, between known ones.
    list.lock().unwrap().insert(0, json!({"id": 7}));
    list.lock().unwrap().insert(3, json!({"id": 70}));
    let second = walk(&probe, &producer, Some(&first.cursor())).await.unwrap();
    assert_eq!(second.ids, ["7", "70"]);
}

#[tokio::test]
async fn a_cursor_out_of_the_first_page_announces_what_a_bound_cut_off() {
    let producer = Producer::new(|request| {
        let page: u64 = query(request, "page").unwrap().parse().unwrap();
        let mut answer = ok(&items([page]));
        answer.headers_mut().insert("etag", "\"9\"".parse().unwrap());
        answer
    });
    let probe = probe(|spec| {
        spec.cursor = CursorRule::Header(HeaderCursor {
            name: "ETag".into(),
            query: Some("since".into()),
            ..Default::default()
        });
        spec.pages = Pages::PageNumber(PageNumber::default());
        spec.stop.max_pages = 2;
    });
    let walked = walk(&probe, &producer, None).await.unwrap();
    assert_eq!((walked.ids.len(), walked.gap()), (2, Some("bound_reached")));
}

#[tokio::test]
async fn a_time_in_the_future_does_not_move_the_cursor() {
    let list = list(
        json!([{"id": 1, "at": "2099-01-01T00:00:00Z"}, {"id": 2, "at": "2026-01-01T00:00:00Z"}]),
    );
    let producer = shows(&list);
    let probe = probe(|spec| spec.cursor = max_field(FieldKind::Time, None));
    let first = walk(&probe, &producer, None).await.unwrap();
    assert_eq!((first.ids.len(), first.value().as_deref()), (2, Some("2026-01-01T00:00:00Z")));
    let second = walk(&probe, &producer, Some(&first.cursor())).await.unwrap();
    assert!(second.ids.is_empty());
}

#[tokio::test]
async fn last_id_body_token_header_and_link_cursors_are_sent() {
    let answer = |request: &Asked| {
        let new = !request.uri().query().unwrap_or("").contains('7');
        let mut answer =
            ok(&json!({"items": if new { items(6..=7) } else { json!([]) }, "token": "t7"}));
        let headers = answer.headers_mut();
        headers.insert("etag", "\"e7\"".parse().unwrap());
        if new {
            headers.insert("link", "<?after=7>; rel=next".parse().unwrap());
        }
        answer
    };
    for (cursor, value, sent) in [
        (
            CursorRule::LastId(LastId { query: Some("after".into()), ..Default::default() }),
            "7",
            "fixed=1&after=7",
        ),
        (
            CursorRule::BodyToken(BodyToken {
                path: "token".into(),
                query: Some("t".into()),
                ..Default::default()
            }),
            "t7",
            "fixed=1&t=t7",
        ),
        (
            CursorRule::Header(HeaderCursor {
                name: "ETag".into(),
                query: Some("since".into()),
                ..Default::default()
            }),
            "\"e7\"",
            "fixed=1&since=%22e7%22",
        ),
        (
            CursorRule::LinkUrl(LinkUrl::default()),
            "https://api.example.com/v1/orders?after=7",
            "after=7",
        ),
    ] {
        let producer = Producer::new(answer);
        let probe = probe(|spec| {
            spec.items = "items".into();
            spec.cursor = cursor.clone();
        });
        let first = walk(&probe, &producer, None).await.unwrap();
        assert_eq!(first.ids, ["6", "7"], "{cursor:?}");
        assert_eq!(first.value().as_deref(), Some(value), "{cursor:?}");
        producer.queries();
        let second = walk(&probe, &producer, Some(&first.cursor())).await.unwrap();
        assert!(second.ids.is_empty());
        assert_eq!(second.value().as_deref(), Some(value), "{cursor:?}");
        assert_eq!(producer.queries(), [sent], "{cursor:?}");
    }
}

#[tokio::test]
async fn newest_first_stops_at_what_is_known_and_announces_a_gap() {
    let list = list(items((1..=4).rev()));
    let producer = {
        let list = list.clone();
        Producer::new(move |request| {
            let items = list.lock().unwrap().clone();
            let page: usize = query(request, "page").unwrap().parse().unwrap();
            ok(&items.chunks(2).nth(page - 1).map_or_else(|| json!([]), |page| json!(page)))
        })
    };
    let probe = probe(|spec| {
        spec.listed = Listed::NewestFirst;
        spec.pages = Pages::PageNumber(PageNumber::default());
        spec.stop.max_pages = 3;
    });
    let first = walk(&probe, &producer, None).await.unwrap();
    assert_eq!((first.ids.len(), first.gap()), (4, None));
    list.lock().unwrap().splice(0..0, items([7, 6, 5]).as_array().unwrap().clone());
    let second = walk(&probe, &producer, Some(&first.cursor())).await.unwrap();
    assert_eq!(
        (second.ids, second.end.unwrap().stopped_by),
        (vec!["7".into(), "6".into(), "5".into()], "known_id")
    );
    *list.lock().unwrap() = items((10..=20).rev()).as_array().unwrap().clone();
    let third = walk(&probe, &producer, Some(&first.cursor())).await.unwrap();
    assert_eq!(
        (third.ids.len(), third.gap(), third.stopped_by()),
        (6, Some("bound_reached"), "max_pages")
    );
}

#[tokio::test]
async fn the_first_run_takes_what_it_is_told() {
    let shown = json!([
        {"id": 1, "at": "2026-01-29T00:00:00Z"},
        {"id": 2, "at": "2026-01-31T00:00:00Z"},
    ]);
    for (start, ids) in [
        (Start::Earliest, vec!["1", "2"]),
        (Start::Now, vec![]),
        (Start::Ago("24h".parse().unwrap()), vec!["2"]),
        (Start::Cursor("2026-01-30T00:00:00Z".into()), vec!["2"]),
    ] {
        for query in [None, Some("since")] {
            let list = list(shown.clone());
            let producer = shows(&list);
            let probe = probe(|spec| {
                spec.cursor = max_field(FieldKind::Time, query);
                spec.start = start.clone();
            });
            let first = walk(&probe, &producer, None).await.unwrap();
            assert_eq!(first.ids, ids, "{start:?}");
            list.lock().unwrap().push(json!({"id": 3, "at": "2026-01-31T01:00:00Z"}));
            let second = walk(&probe, &producer, Some(&first.cursor())).await.unwrap();
            assert_eq!(second.ids, ["3"], "{start:?}");
        }
    }
}

/// Refuses the cursor `after=2`, answers without it.
#[tokio::test]
async fn pages_after_the_first_keep_the_parameters_of_the_walk() {
    let producer = Producer::new(|request| {
        let page = query(request, "page");
        let mut answer = ok(&match page.as_deref() {
            None => json!([{"id": 1, "at": 5}]),
            _ => json!([{"id": 2, "at": 9}]),
        });
        if page.is_none() {
            let next = format!("<?{}&page=2>; rel=next", request.uri().query().unwrap());
            answer.headers_mut().insert("link", next.parse().unwrap());
        }
        answer
    });
    let probe = probe(|spec| {
        spec.cursor = max_field(FieldKind::Number, Some("since"));
        spec.pages = Pages::LinkHeader(LinkHeader::default());
    });
    let walked = walk(&probe, &producer, Some(&"3".to_owned())).await.unwrap();
    assert_eq!(walked.value().as_deref(), Some("9"));
    assert_eq!(producer.queries(), ["fixed=1&since=3", "fixed=1&since=3&page=2"]);
}

#[tokio::test]
async fn producers_pace_is_passed_on() {
    let producer = Producer::new(|_| {
        Response::builder()
            .status(429)
            .header("retry-after", "7")
            .body(bytes::Bytes::new())
            .unwrap()
    });
    let failure = page(&probe(|_| {}), &producer, None, None).await.unwrap_err();
    assert_eq!((failure.kind, failure.pace.retry_after_s), (FailureKind::Status(429), Some(7)));
}
