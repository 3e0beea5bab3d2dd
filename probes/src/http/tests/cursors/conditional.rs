//! Answers that say that nothing has changed.

use super::*;

/// A collection in two pages, of which the second can fail; each answer has an `ETag`.
fn two_pages(list: &List, second: u16) -> Producer {
    let list = list.clone();
    Producer::new(move |request| {
        let items = list.lock().unwrap().clone();
        let (etag, page) = match query(request, "page").as_deref() {
            Some("2") if second != 200 => return status(second),
            Some("2") => ("\"second\"".to_owned(), items[1..].to_vec()),
            _ => (format!("\"first-{}\"", items[0]["id"]), items[..1].to_vec()),
        };
        if request.headers().get("if-none-match").is_some_and(|known| *known == etag) {
            return status(304);
        }
        let mut answer = ok(&json!(page));
        answer.headers_mut().insert("etag", etag.parse().unwrap());
        answer
    })
}

#[tokio::test]
async fn the_etag_of_a_walk_that_failed_on_page_2_never_hides_page_2() {
    let list = list(items([9, 8]));
    let probe = probe(|spec| {
        spec.listed = Listed::NewestFirst;
        spec.pages = Pages::PageNumber(PageNumber::default());
        spec.stop.short_page = Some(1);
        spec.stop.max_pages = 2;
    });
    let failing = two_pages(&list, 500);
    let first = page(&probe, &failing, None, None).await.unwrap();
    let Next::Page(mark) = first.next else { panic!("a second page was expected") };
    let failure = page(&probe, &failing, None, Some(&mark)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Status(500));
    assert_eq!(failure.cursor, None);
    let healed = two_pages(&list, 200);
    let walked = walk(&probe, &healed, None).await.unwrap();
    assert_eq!(walked.ids, ["9", "8"]);
    let asked = healed.asked.lock().unwrap();
    assert!(asked.iter().all(|request| !request.headers().contains_key("if-none-match")));
}

#[tokio::test]
async fn a_304_is_an_empty_walk_and_only_for_the_same_configuration() {
    let list = list(items([1]));
    let list_2 = list.clone();
    let producer = Producer::new(move |request| {
        let items = list_2.lock().unwrap().clone();
        let etag = format!("\"{}\"", items.len());
        if request.headers().get("if-none-match").is_some_and(|known| *known == etag) {
            return status(304);
        }
        let mut answer = ok(&json!(items));
        answer.headers_mut().insert("etag", etag.parse().unwrap());
        answer
    });
    let probe_1 = probe(|_| {});
    let first = walk(&probe_1, &producer, None).await.unwrap();
    let second = walk(&probe_1, &producer, Some(&first.cursor())).await.unwrap();
    assert!(second.end.as_ref().unwrap().unchanged);
    assert_eq!(second.cursor(), first.cursor());
    list.lock().unwrap().push(json!({"id": 2}));
    let third = walk(&probe_1, &producer, Some(&second.cursor())).await.unwrap();
    assert_eq!(third.ids, ["2"]);
    let changed = probe(|spec| spec.key = Some(crate::http::TextRule::Path("k".into())));
    let fourth = walk(&changed, &producer, Some(&third.cursor())).await.unwrap();
    assert!(!fourth.end.unwrap().unchanged);
}

#[tokio::test]
async fn the_etag_of_a_first_page_never_hides_what_grows_on_the_second() {
    let list = list(items([1, 2]));
    let producer = {
        let list = list.clone();
        Producer::new(move |request| {
            let items = list.lock().unwrap().clone();
            let (etag, page) = match query(request, "page").as_deref() {
                Some("1") => ("\"first\"", json!([items[0]])),
                Some("2") => ("\"second\"", json!(items[1..])),
                _ => ("\"end\"", json!([])),
            };
            if request.headers().get("if-none-match").is_some_and(|known| *known == etag) {
                return status(304);
            }
            let mut answer = ok(&page);
            answer.headers_mut().insert("etag", etag.parse().unwrap());
            answer
        })
    };
    let probe = probe(|spec| spec.pages = Pages::PageNumber(PageNumber::default()));
    let first = walk(&probe, &producer, None).await.unwrap();
    list.lock().unwrap().push(json!({"id": 3}));
    let second = walk(&probe, &producer, Some(&first.cursor())).await.unwrap();
    assert_eq!(second.ids, ["3"]);
}
