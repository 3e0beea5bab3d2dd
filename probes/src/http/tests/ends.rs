//! How walks end: only on a positive sign, and never by what was not understood.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};

use super::support::*;
use crate::{
    FailureKind, Listed, Next,
    http::{
        CursorRule, FieldKind, HttpProbe, LinkHeader, LinkStop, LinkUrl, MaxField, NextUrl,
        PageNumber, Pages, Token,
    },
};

fn linked(body: &Value, link: &str) -> Response<Bytes> {
    let mut answer = ok(body);
    answer.headers_mut().insert("link", http::HeaderValue::from_bytes(link.as_bytes()).unwrap());
    answer
}

fn next_url() -> Pages {
    Pages::NextUrl(NextUrl { path: "next".into(), ..NextUrl::default() })
}

fn page_of(request: &Asked) -> u32 {
    query(request, "page").map_or(1, |page| page.parse().unwrap())
}

/// Answers the pages in turn; the last one again and again.
fn in_turn(pages: Vec<Value>) -> Producer {
    let asked = Arc::new(AtomicU32::new(0));
    Producer::new(move |_| {
        let at = asked.fetch_add(1, Ordering::SeqCst) as usize;
        ok(&pages[at.min(pages.len() - 1)])
    })
}

#[tokio::test]
async fn an_empty_page_that_leads_on_is_followed() {
    let producer = in_turn(vec![
        json!({"v": [], "next": "?t=1"}),
        json!({"v": [], "next": "?t=2"}),
        json!({"v": [{"id": 1}], "next": "?t=3"}),
        json!({"v": [], "next": null}),
    ]);
    let probe = probe(|spec| {
        spec.items = "v".into();
        spec.pages = next_url();
    });
    let walked = walk(&probe, &producer, None).await.unwrap();
    assert_eq!((walked.ids.len(), walked.stopped_by()), (1, "empty_page"));
    assert_eq!(producer.queries(), ["fixed=1", "t=1", "t=2", "t=3"]);
}

#[tokio::test]
async fn empty_pages_are_followed_so_far_and_told() {
    let asked = AtomicU32::new(0);
    let producer = Producer::new(move |_| {
        let t = asked.fetch_add(1, Ordering::SeqCst);
        ok(&json!({"v": [], "next": format!("?t={t}")}))
    });
    let probe = probe(|spec| {
        spec.items = "v".into();
        spec.pages = next_url();
        spec.stop.empty_pages = 3;
    });
    let walked = walk(&probe, &producer, None).await.unwrap();
    assert_eq!(walked.stopped_by(), "empty_pages");
    assert!(walked.warns("3 pages in a row were empty"), "{walked:?}");
    assert_eq!(producer.queries().len(), 4);
}

/// A newest-first list of three pages whose second is empty the first `times` times.
async fn flickering(times: u32) -> (Walked, usize) {
    let flicker = AtomicU32::new(times);
    let producer = Producer::new(move |request| match page_of(request) {
        1 => linked(&items([6, 5]), "<?page=2>; rel=next"),
        2 if flicker
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
            .is_ok() =>
        {
            status(204)
        }
        2 => linked(&items([4, 3]), "<?page=3>; rel=next"),
        _ => ok(&items([2, 1])),
    });
    let probe = probe(|spec| {
        spec.listed = Listed::NewestFirst;
        spec.pages = Pages::LinkHeader(LinkHeader::default());
    });
    let walked = walk(&probe, &producer, None).await.unwrap();
    (walked, producer.queries().len())
}

#[tokio::test]
async fn an_empty_page_in_the_middle_is_asked_for_again() {
    let (walked, requests) = flickering(2).await;
    assert_eq!(walked.ids, ["6", "5", "4", "3", "2", "1"]);
    assert_eq!((walked.gap(), requests), (None, 5));
    // It stays empty: what may lie behind it is a gap, and is told.
    let (walked, requests) = flickering(9).await;
    assert_eq!((walked.stopped_by(), walked.gap()), ("empty_pages", Some("bound_reached")));
    assert!(walked.warns("was empty, 3 times"), "{walked:?}");
    assert_eq!(requests, 4);
}

#[tokio::test]
async fn carriers_that_cannot_be_used_keep_the_page_and_fail() {
    for (link, says) in [
        ("<?page=2; rel=next", "cannot be read at `<?page=2; rel=next`"),
        ("<http://api.example.com/v1/orders?page=2>; rel=next", "rebase"),
    ] {
        let producer = Producer::new(move |_| linked(&items([1, 2]), link));
        let probe = probe(|spec| spec.pages = Pages::LinkHeader(LinkHeader::default()));
        let first = page(&probe, &producer, None, None).await.unwrap();
        assert_eq!(first.drafts.len(), 2, "{link}");
        let Next::Page(mark) = first.next else { panic!("{link}: the walk is not at its end") };
        let failure = page(&probe, &producer, None, Some(&mark)).await.unwrap_err();
        assert!(failure.message.contains(says), "{failure}");
        assert!(failure.help.is_some() && !failure.restart && failure.cursor.is_none());
        assert_eq!(producer.queries().len(), 1, "nothing is asked that may not be");
    }
    for (next, says) in [(json!({"x": 1}), "without `href`"), (json!([1]), "an array")] {
        let producer = Producer::new(move |_| ok(&json!({"v": [{"id": 1}], "next": next})));
        let probe = probe(|spec| {
            spec.items = "v".into();
            spec.pages = next_url();
        });
        let failure = walk(&probe, &producer, None).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Malformed);
        assert!(failure.message.contains(says), "{failure}");
    }
}

#[tokio::test]
async fn links_and_tokens_come_in_many_forms() {
    for next in [json!("?page=2"), json!({"href": "?page=2"}), json!({"url": "/v1/orders?page=2"})]
    {
        let producer = Producer::new(move |request| match page_of(request) {
            1 => ok(&json!({"v": [{"id": 1}], "next": next})),
            _ => ok(&json!({"v": [{"id": 2}]})),
        });
        let probe = probe(|spec| {
            spec.items = "v".into();
            spec.pages = next_url();
        });
        assert_eq!(walk(&probe, &producer, None).await.unwrap().ids, ["1", "2"]);
    }
    for end in [json!(0), json!(-1), json!("null"), json!("None")] {
        let producer = in_turn(vec![
            json!({"v": [{"id": 1}], "next": 12_345_678_901_234_567_890_u64}),
            json!({"v": [{"id": 2}], "next": end}),
        ]);
        let token = Token { path: "next".into(), query: Some("t".into()), ..Token::default() };
        let probe = probe(|spec| {
            spec.items = "v".into();
            spec.pages = Pages::Token(token);
        });
        let walked = walk(&probe, &producer, None).await.unwrap();
        assert_eq!(walked.ids, ["1", "2"], "{end}");
        assert!(walked.warns("taken for the end"), "{end}");
        assert_eq!(producer.queries(), ["fixed=1", "fixed=1&t=12345678901234567890"]);
    }
}

#[tokio::test]
async fn a_repeated_page_keeps_what_was_found() {
    // Behind its end the list answers with its last page.
    let producer = Producer::new(|request| ok(&items([u64::from(page_of(request).min(3))])));
    let counted = |listed| {
        probe(move |spec| {
            spec.pages = Pages::PageNumber(PageNumber::default());
            spec.listed = listed;
        })
    };
    let walked = walk(&counted(Listed::OldestFirst), &producer, None).await.unwrap();
    assert_eq!(
        (&walked.ids[..], walked.stopped_by()),
        (&["1", "2", "3"].map(String::from)[..], "page_repeats")
    );
    assert!(walked.warns("has the items of an earlier one"));
    assert_eq!(producer.queries().len(), 4);
    // Newest first, the list may have moved on by a page: some more are asked for.
    let moved = Producer::new(|request| {
        ok(&items(match page_of(request) {
            1 | 2 => vec![6, 5],
            3 => vec![4, 3],
            4 => vec![2, 1],
            _ => vec![],
        }))
    });
    let walked = walk(&counted(Listed::NewestFirst), &moved, None).await.unwrap();
    assert_eq!(walked.ids, ["6", "5", "4", "3", "2", "1"]);
}

#[tokio::test]
async fn a_parameter_of_a_link_may_end_the_walk() {
    let producer = Producer::new(|request| match page_of(request) {
        1 => linked(&items([1]), r#"<?page=2>; rel="next"; results="true""#),
        _ => linked(&items([2]), r#"<?page=3>; rel="next"; results="false""#),
    });
    let probe = probe(|spec| {
        spec.pages = Pages::LinkHeader(LinkHeader::default());
        let (rel, param, is) = ("next".into(), "results".into(), "false".into());
        spec.stop.link = Some(LinkStop { rel, param, is });
    });
    let walked = walk(&probe, &producer, None).await.unwrap();
    assert_eq!((walked.ids.len(), walked.stopped_by()), (2, "link"));
    assert_eq!(producer.queries().len(), 2);
}

#[tokio::test]
async fn a_cursor_by_link_ends_at_the_empty_page_and_goes_on_from_its_link() {
    let producer = Producer::new(|request| match query(request, "after").as_deref() {
        None => linked(&items([1]), "<?after=1>; rel=next"),
        _ => linked(&json!([]), "<?after=2>; rel=next"),
    });
    let probe = probe(|spec| {
        spec.pages = Pages::LinkHeader(LinkHeader::default());
        spec.cursor = CursorRule::LinkUrl(LinkUrl::default());
    });
    let walked = walk(&probe, &producer, None).await.unwrap();
    assert_eq!(walked.stopped_by(), "empty_page");
    assert_eq!(walked.value().as_deref(), Some("https://api.example.com/v1/orders?after=2"));
}

fn judged(change: impl FnOnce(&mut crate::http::Spec)) -> HttpProbe {
    probe(|spec| {
        spec.items = "v".into();
        spec.cursor = CursorRule::MaxField(MaxField {
            path: "at".into(),
            kind: FieldKind::Number,
            query: Some("since".into()),
            ..MaxField::default()
        });
        change(spec);
    })
}

#[tokio::test]
async fn errors_in_a_page_s_clothes_are_told_or_fail() {
    let error = json!({"error": "Syntax not supported", "v": []});
    let producer = in_turn(vec![json!({"v": [{"id": 1, "at": 5}]}), error]);
    let told = judged(|_| {});
    let first = walk(&told, &producer, None).await.unwrap();
    let second = walk(&told, &producer, Some(&first.cursor())).await.unwrap();
    assert!(second.warns("says `error`: \"Syntax not supported\""), "{second:?}");
    assert_eq!(second.value().as_deref(), Some("5"));
    let fails = judged(|spec| spec.fail_when = Some("page.error or page.ok == false".into()));
    let failure = walk(&fails, &producer, Some(&first.cursor())).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::ErrorPage);
    assert!(failure.message.contains("Syntax not supported"), "{failure}");
}

#[tokio::test]
async fn a_list_that_is_not_ready_is_waited_for() {
    let producer = Producer::new(|_| {
        let mut answer = status(202);
        answer.headers_mut().insert("retry-after", "7".parse().unwrap());
        answer
    });
    let failure = walk(&judged(|_| {}), &producer, None).await.unwrap_err();
    assert_eq!((failure.kind, failure.pace.retry_after_s), (FailureKind::Waiting, Some(7)));
    assert!(failure.cursor.is_none() && !failure.restart);
    let producer = in_turn(vec![json!({"state": "building"})]);
    let probe = judged(|spec| spec.wait_when = Some("page.state == 'building'".into()));
    let failure = walk(&probe, &producer, None).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Waiting);
}
