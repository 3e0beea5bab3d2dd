//! Every way to find the next page.

use serde_json::json;

use super::support::*;
use crate::http::{Flag, ItemId, LinkHeader, NextUrl, Offset, PageNumber, Pages, Stop, Token};

fn number(request: &Asked, name: &str) -> u64 {
    query(request, name).map_or(0, |text| text.parse().unwrap())
}

/// Items 1 to 6, two on a page, by the kind of pagination that `rule` is.
fn producer() -> Producer {
    Producer::new(|request| {
        let first = match request.uri().query().unwrap_or("") {
            q if q.contains("page=") => (number(request, "page") - 1) * 2,
            q if q.contains("offset=") => number(request, "offset"),
            q if q.contains("start=") => number(request, "start") - 1,
            _ => query(request, "after").map_or(0, |after| after.parse().unwrap()),
        };
        let last = (first + 2).min(6);
        let mut answer = ok(&json!({
            "items": items(first + 1..=last),
            "next": if last < 6 { json!(format!("?after={last}")) } else { json!(null) },
            "token": if last < 6 { json!(last) } else { json!("") },
            "more": last < 6,
        }));
        if last < 6 {
            let link = format!("</v1/orders?after={last}>; rel=\"next\"");
            answer.headers_mut().insert("link", link.parse().unwrap());
            let next = format!("https://api.example.com/v1/orders?after={last}");
            answer.headers_mut().insert("next-page", next.parse().unwrap());
        }
        answer
    })
}

#[tokio::test]
async fn every_kind_of_pages_finds_all() {
    let next = |path: &str| Pages::NextUrl(NextUrl { path: path.into(), ..Default::default() });
    for (pages, stop, stopped_by) in [
        (Pages::LinkHeader(LinkHeader::default()), Stop::default(), "no_token"),
        (next("next"), Stop::default(), "no_token"),
        (next("headers.next-page"), Stop::default(), "no_token"),
        (
            Pages::Token(Token {
                path: "token".into(),
                query: Some("after".into()),
                ..Default::default()
            }),
            Stop::default(),
            "no_token",
        ),
        (Pages::PageNumber(PageNumber::default()), Stop::default(), "empty_page"),
        (
            Pages::PageNumber(PageNumber::default()),
            Stop { flag: Some(Flag { path: "more".into(), is: json!(false) }), ..Stop::default() },
            "flag",
        ),
        (Pages::Offset(Offset::default()), Stop::default(), "empty_page"),
        (
            Pages::Offset(Offset { query: Some("start".into()), from: 1, ..Default::default() }),
            Stop::default(),
            "empty_page",
        ),
        (
            Pages::ItemId(ItemId { query: Some("after".into()), ..Default::default() }),
            Stop { short_page: Some(2), ..Stop::default() },
            "empty_page",
        ),
    ] {
        let probe = probe(|spec| {
            spec.items = "items".into();
            spec.pages = pages.clone();
            spec.stop = stop;
        });
        let walked = walk(&probe, &producer(), None).await.unwrap();
        assert_eq!(walked.ids, ["1", "2", "3", "4", "5", "6"], "{pages:?}");
        assert_eq!(walked.stopped_by(), stopped_by, "{pages:?}");
    }
}

#[tokio::test]
async fn data_is_the_producers_own_text() {
    let producer = Producer::new(|_| raw("[ {\"id\" : 1.0 ,\"x\":\"\\u00e9\"} ]"));
    let page = page(&probe(|_| {}), &producer, None, None).await.unwrap();
    assert_eq!(page.drafts[0].data, "{\"id\" : 1.0 ,\"x\":\"\\u00e9\"}".as_bytes());
    assert_eq!(page.drafts[0].id, "1.0");
    assert_eq!(page.drafts[0].source, "https://api.example.com/v1/orders?fixed=1");
    assert_eq!(page.exchange.unwrap().items, 1);
}

#[tokio::test]
async fn max_pages_bounds_a_walk() {
    let probe = probe(|spec| {
        spec.items = "items".into();
        spec.pages = Pages::LinkHeader(LinkHeader::default());
        spec.stop.max_pages = 2;
    });
    let walked = walk(&probe, &producer(), None).await.unwrap();
    assert_eq!((walked.ids.len(), walked.stopped_by()), (4, "max_pages"));
}
