//! Cursors that a producer does not know any more, and what only looks like it.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use serde_json::json;

use super::support::*;
use crate::{
    FailureKind,
    http::{CursorRule, HeaderCursor, LastId, Lost, Pages, Token},
};

fn forgetful() -> Producer {
    Producer::new(|request| match query(request, "after").as_deref() {
        Some("2") => status(410),
        _ => ok(&items(1..=4)),
    })
}

#[tokio::test]
async fn a_lost_cursor_is_told_apart_from_a_bad_moment() {
    for (lost, ids) in [
        (Lost::Earliest, vec!["1", "2", "3", "4"]),
        (Lost::Latest, vec![]),
        (Lost::FullWalk, vec!["3", "4"]),
    ] {
        let probe = probe(|spec| {
            spec.cursor =
                CursorRule::LastId(LastId { query: Some("after".into()), ..Default::default() });
            spec.lost = lost;
        });
        let before = Producer::new(|_| ok(&items(1..=2)));
        let mut cursor = walk(&probe, &before, None).await.unwrap().cursor();
        let producer = forgetful();
        let refused = FailureKind::Status(410);
        for kind in [refused, refused, FailureKind::CursorDoubted, refused] {
            let failure = walk(&probe, &producer, Some(&cursor)).await.unwrap_err();
            assert_eq!(failure.kind, kind);
            cursor = failure.cursor.unwrap();
        }
        let walked = walk(&probe, &producer, Some(&cursor)).await.unwrap();
        assert_eq!((walked.gap(), walked.value().as_deref()), (Some("cursor_lost"), Some("4")));
        assert_eq!(walked.ids, ids, "{lost:?}");
        let end = walked.end.unwrap();
        let policy = serde_json::to_value(lost).unwrap();
        let told = format!("`lost: {}`", policy.as_str().unwrap());
        assert!(end.gap.unwrap().detail.ends_with(&told), "{told}");
    }
}

#[tokio::test]
async fn an_outage_that_ends_while_it_is_asked_without_the_cursor_loses_nothing() {
    for lost in [Lost::Fail, Lost::Earliest, Lost::Latest, Lost::FullWalk] {
        let asked = AtomicUsize::new(0);
        // Two answers are an error in a page's clothes, then all is well.
        let producer = Producer::new(move |request| {
            if asked.fetch_add(1, SeqCst) < 2 {
                return ok(&json!({ "ok": false, "error": "token_expired" }));
            }
            let after = query(request, "after").map_or(0, |after| after.parse().unwrap());
            ok(&json!({ "ok": true, "items": items(after + 1..=6) }))
        });
        let probe = probe(|spec| {
            spec.cursor =
                CursorRule::LastId(LastId { query: Some("after".into()), ..Default::default() });
            spec.items = "items".into();
            spec.fail_when = Some("page.ok == false".into());
            spec.lost = lost;
        });
        let (mut cursor, mut kinds) = ("3".to_owned(), Vec::new());
        let walked = loop {
            match walk(&probe, &producer, Some(&cursor)).await {
                Ok(walked) => break walked,
                Err(failure) => {
                    kinds.push(failure.kind.as_str());
                    assert!(failure.gap.is_none(), "{lost:?}");
                    cursor = failure.cursor.unwrap_or(cursor);
                }
            }
        };
        assert_eq!(kinds, ["error_page", "error_page", "cursor_doubted"]);
        assert_eq!((&walked.ids[..], walked.gap()), (&["4", "5", "6"].map(String::from)[..], None));
    }
}

#[tokio::test]
async fn a_list_that_is_read_anew_and_cut_off_is_a_gap_of_both_kinds() {
    let probe = probe(|spec| {
        spec.cursor = CursorRule::Header(HeaderCursor {
            name: "x-as-of".into(),
            query: Some("after".into()),
            ..HeaderCursor::default()
        });
        let token = Token { path: "next".into(), query: Some("at".into()), ..Token::default() };
        (spec.pages, spec.items) = (Pages::Token(token), "items".into());
        spec.lost = Lost::FullWalk;
    });
    // The second page of the whole list stays empty.
    let producer = Producer::new(|request| {
        if query(request, "after").is_some() {
            return status(410);
        }
        let mut answer = ok(&match query(request, "at") {
            None => json!({ "items": items(1..=2), "next": 1 }),
            Some(_) => json!({ "items": [] }),
        });
        answer.headers_mut().insert("x-as-of", "4".parse().unwrap());
        answer
    });
    let mut cursor = "2".to_owned();
    for _ in 0..4 {
        let failure = walk(&probe, &producer, Some(&cursor)).await.unwrap_err();
        cursor = failure.cursor.unwrap();
    }
    let walked = walk(&probe, &producer, Some(&cursor)).await.unwrap();
    assert_eq!((walked.gap(), walked.value().as_deref()), (Some("bound_reached"), Some("4")));
    let detail = walked.end.unwrap().gap.unwrap().detail;
    assert!(detail.contains("refused the cursor") && detail.contains("empty_pages"), "{detail}");
}

#[tokio::test]
async fn a_lost_cursor_that_must_not_be_lost_fails_and_is_announced_once() {
    let probe = probe(|spec| {
        spec.cursor =
            CursorRule::LastId(LastId { query: Some("after".into()), ..Default::default() });
    });
    let producer = forgetful();
    let (mut cursor, mut gaps) = ("2".to_owned(), 0);
    let mut kinds = Vec::new();
    for _ in 0..8 {
        let failure = walk(&probe, &producer, Some(&cursor)).await.unwrap_err();
        kinds.push(failure.kind.as_str());
        gaps += usize::from(failure.gap.is_some());
        cursor = failure.cursor.unwrap_or(cursor);
    }
    // Once it is known it is said at every poll, with the request that has the cursor.
    assert_eq!(kinds[..5], ["status", "status", "cursor_doubted", "status", "cursor_lost"]);
    assert_eq!(kinds[5..], ["cursor_lost"; 3]);
    assert!(producer.queries()[5..].iter().all(|query| query.contains("after=2")));
    assert_eq!(gaps, 1);
}
