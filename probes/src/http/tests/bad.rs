//! Bad answers: each with a clear message, none with a draft.

use std::io::Write as _;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use serde_json::json;
use tower::util::BoxCloneSyncService;

use super::support::*;
use crate::{
    Ask, Budget, FailureKind, Probe as _,
    http::{
        Auth, BodyUrl, Credential, CursorRule, IdRule, LinkHeader, Pages, Param, Secret, TimeRule,
    },
};

#[tokio::test]
async fn bad_pages_are_named() {
    let gzip = {
        let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        for _ in 0..64 {
            coder.write_all(&vec![b' '; 1 << 20]).unwrap();
        }
        coder.finish().unwrap()
    };
    let encoded = |body: Vec<u8>, encoding: &'static str| {
        Response::builder().header("content-encoding", encoding).body(Bytes::from(body)).unwrap()
    };
    let html = Response::builder().header("content-type", "text/html; charset=utf-8");
    for (answer, kind, says) in [
        (html.body(Bytes::from("<html>")).unwrap(), "malformed", "text/html"),
        (raw("<html>"), "malformed", "HTML or XML (application/json)"),
        (
            raw(r#"{"data": {"a": 1}, "b": 2}"#),
            "malformed",
            "`data.orders` finds nothing: expected an array; the page has `data`, `b`",
        ),
        (raw(r#"{"data": {"orders": {}}}"#), "malformed", "is an object: expected an array"),
        (Response::new(Bytes::from_static(b"[\"\xff\"]")), "malformed", "UTF-8 at byte 2"),
        (encoded(gzip, "gzip"), "too_large", "33554432 bytes when decoded"),
        (encoded(b"xx".to_vec(), "gzip"), "malformed", "no JSON"),
        (status(302), "status", "redirects are not followed"),
        (status(304), "status", "304"),
        (status(500), "status", "500"),
    ] {
        let producer = Producer::new(move |_| answer.clone());
        let probe = probe(|spec| spec.items = "data.orders".into());
        let failure = page(&probe, &producer, None, None).await.unwrap_err();
        assert_eq!(failure.kind.as_str(), kind, "{failure}");
        assert!(failure.message.contains(says), "{failure}");
        assert!(failure.message.contains("https://api.example.com/v1/orders"), "{failure}");
        assert_eq!(failure.cursor, None);
    }
}

#[tokio::test]
async fn a_success_without_a_body_is_an_empty_page() {
    let html = Response::builder().header("content-type", "text/html").body(Bytes::new()).unwrap();
    for answer in [status(204), status(200), html, raw(" \n")] {
        let producer = Producer::new(move |_| answer.clone());
        let walked = walk(&probe(|spec| spec.items = "data.orders".into()), &producer, None).await;
        let walked = walked.unwrap();
        assert_eq!((walked.stopped_by(), walked.ids.len()), ("empty_page", 0));
    }
}

#[tokio::test]
async fn a_failure_names_its_page_and_no_secret() {
    let producer = Producer::new(|request| {
        let second = request.uri().query().unwrap_or("").contains("page=2");
        let mut answer = if second { status(302) } else { ok(&items(1..=2)) };
        let target = "https://user:t0ken@elsewhere.example.com/x?sig=t0ken&key=s3cret#t0ken";
        answer.headers_mut().insert("location", target.parse().unwrap());
        answer.headers_mut().insert("link", "<?page=2>; rel=next".parse().unwrap());
        answer
    });
    let probe = probe(|spec| {
        spec.pages = Pages::LinkHeader(LinkHeader::default());
        spec.auth = Auth::ApiKey {
            into: Credential::Query("key".into()),
            prefix: None,
            value: Secret("s3cret".into()),
        };
    });
    let failure = walk(&probe, &producer, None).await.unwrap_err();
    assert_eq!(
        failure.message,
        "https://api.example.com/v1/orders?page=2&key=***: answered 302 Found to \
         https://elsewhere.example.com/x?sig=***&key=***: redirects are not followed"
    );
}

#[tokio::test]
async fn what_a_name_says_is_secret_is_not_shown() {
    let param =
        |name: &str, value: &str| Param { name: name.into(), value: value.into(), secret: false };
    let producer = Producer::new(|_| {
        let mut answer = ok(&json!({ "said": "key k-12345678 and Bearer t-12345678" }));
        *answer.status_mut() = http::StatusCode::FORBIDDEN;
        answer
    });
    let probe = probe(|spec| {
        spec.query = vec![param("api_key", "k-12345678"), param("account", "eu")];
        spec.headers = vec![param("Authorization", "Bearer t-12345678"), param("x-team", "red")];
    });
    let failure = walk(&probe, &producer, None).await.unwrap_err();
    let exchange = failure.exchange.unwrap();
    let shown = format!("{} {} {:?}", failure.message, exchange.url, exchange.headers);
    assert!(shown.contains("api_key=***&account=eu") && shown.contains("red"), "{shown}");
    assert!(!shown.contains("12345678") && !exchange.first.contains("12345678"), "{shown}");
}

#[tokio::test]
async fn a_secret_is_hidden_wherever_a_producer_repeats_it() {
    let secret = "s3cr/t+\"x y";
    let said = [
        secret.to_owned(),
        url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        "dXNlcjpzM2NyL3QrInggeQ==".into(),
        format!("{}{secret}", "x".repeat(193)),
    ];
    for (at, said) in said.into_iter().enumerate() {
        let probe = probe(|spec| {
            spec.items = "items".into();
            spec.auth = Auth::Basic { user: "user".into(), password: Secret(secret.into()) };
        });
        let refused = said.clone();
        let producer = Producer::new(move |_| {
            let mut answer = ok(&json!({ "said": refused }));
            *answer.status_mut() = http::StatusCode::FORBIDDEN;
            if let Ok(to) = http::HeaderValue::from_bytes(refused.as_bytes()) {
                answer.headers_mut().insert("location", to);
            }
            answer
        });
        let failure = walk(&probe, &producer, None).await.unwrap_err();
        let warned = Producer::new(move |_| ok(&json!({ "items": [], "error": said })));
        let warned = walk(&probe, &warned, None).await.unwrap();
        let shown = format!("{failure:?} {:?}", warned.end.unwrap().warnings);
        for part in ["s3cr", "dXNlcjpzM2"] {
            assert!(!shown.contains(part), "{at}: {shown}");
        }
    }
}

#[tokio::test]
async fn a_body_of_a_gigabyte_is_cut_at_the_cap() {
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = sent.clone();
    let network = BoxCloneSyncService::new(tower::service_fn(move |_: Request<Bytes>| {
        let counter = counter.clone();
        async move {
            let mut left = 1024;
            let stream = futures(move || {
                left -= 1;
                counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                (left > 0).then(|| Bytes::from(vec![b' '; 1 << 20]))
            });
            Ok(Response::new(StreamBody::new(stream).boxed_unsync()))
        }
    }));
    let budget = Budget::new(64 << 20);
    let failure =
        probe(|_| {}).page(&network, &budget, Ask::new(None, None, now())).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::TooLarge, "{failure}");
    assert!(sent.load(std::sync::atomic::Ordering::SeqCst) <= 20);
    assert_eq!(budget.held_bytes(), 0, "the memory is given back");
}

/// A stream of frames out of a function.
fn futures(
    mut next: impl FnMut() -> Option<Bytes> + Send + 'static,
) -> impl futures_core::Stream<Item = Result<http_body::Frame<Bytes>, std::io::Error>> + Send {
    futures_util::stream::poll_fn(move |_| {
        std::task::Poll::Ready(next().map(|bytes| Ok(http_body::Frame::data(bytes))))
    })
}

#[tokio::test]
async fn a_list_whose_items_all_lack_the_id_is_a_changed_api() {
    let without = |count: u64| {
        let items: Vec<_> = (0..count).map(|n| json!({ "uuid": n, "at": 9 })).collect();
        Producer::new(move |_| ok(&json!(items)))
    };
    let probe = probe(|_| {});
    for _ in 0..2 {
        let failure = walk(&probe, &without(3), None).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Malformed);
        let told =
            "no item of the page has an id: id: `id` finds nothing; the item has `at`, `uuid`";
        assert!(failure.message.ends_with(told), "{}", failure.message);
        assert!(failure.help.unwrap().contains("http.id"));
    }
    // One may be odd, and must not hold up what follows.
    let walked = walk(&probe, &without(1), None).await.unwrap();
    assert_eq!((walked.ids.len(), walked.rejected.len()), (0, 1));
    let mixed = Producer::new(|_| ok(&json!([{ "uuid": 1 }, { "id": 2 }])));
    let walked = walk(&probe, &mixed, None).await.unwrap();
    assert_eq!((walked.ids.len(), walked.rejected.len()), (1, 1));
}

#[tokio::test]
async fn a_cursor_that_no_page_has_is_told() {
    let producer = Producer::new(|_| ok(&json!({ "items": items(1..=2), "@odata.delta": "x" })));
    for (path, told) in [("@odata.deltaLink", true), ("@odata.delta", false)] {
        let probe = probe(|spec| {
            spec.items = "items".into();
            spec.cursor = CursorRule::BodyUrl(BodyUrl { path: path.into(), ..BodyUrl::default() });
        });
        let walked = walk(&probe, &producer, None).await.unwrap();
        assert_eq!(walked.warns(&format!("no page has `{path}`")), told, "{path}");
    }
}

#[tokio::test]
async fn a_page_that_repeats_ends_the_walk_and_is_told() {
    let producer = Producer::new(|_| {
        let mut answer = ok(&items(1..=2));
        answer.headers_mut().insert("link", "<?page=2>; rel=next".parse().unwrap());
        answer
    });
    let probe = probe(|spec| spec.pages = Pages::LinkHeader(LinkHeader::default()));
    let walked = walk(&probe, &producer, None).await.unwrap();
    assert_eq!(
        (walked.stopped_by(), &walked.ids[..]),
        ("page_repeats", &["1".into(), "2".into()][..])
    );
    assert!(walked.warns("page 2 of the walk has the items of an earlier one"), "{walked:?}");
    assert_eq!(producer.queries().len(), 2);
}

#[tokio::test]
async fn a_foreign_link_fails_before_any_request_leaves() {
    for link in ["https://evil.example.com/x", "http://api.example.com/v1", "//evil.example.com/"] {
        let producer = Producer::new(move |_| {
            let mut answer = ok(&items(1..=2));
            answer.headers_mut().insert("link", format!("<{link}>; rel=next").parse().unwrap());
            answer
        });
        let probe = probe(|spec| {
            spec.pages = Pages::LinkHeader(LinkHeader::default());
            spec.auth = Auth::Bearer(Secret("hunter2".into()));
        });
        let failure = walk(&probe, &producer, None).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::ForeignLink, "{link}");
        assert_eq!(producer.asked.lock().unwrap().len(), 1, "no second request");
        assert!(!format!("{failure:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn secrets_are_sent_and_never_shown() {
    let producer = Producer::new(|request| {
        assert_eq!(query(request, "key").as_deref(), Some("Token s3cret"));
        assert_eq!(request.headers()["x-tenant"], "t3nant");
        let mut answer =
            ok(&items([query(request, "page").map_or(1, |page| page.parse().unwrap())]));
        answer
            .headers_mut()
            .insert("link", "<?page=2&key=Token+s3cret>; rel=next".parse().unwrap());
        answer
    });
    let probe = probe(|spec| {
        spec.pages = Pages::LinkHeader(LinkHeader::default());
        spec.stop.max_pages = 2;
        spec.headers = vec![Param::secret("x-tenant", "t3nant")];
        spec.auth = Auth::ApiKey {
            into: Credential::Query("key".into()),
            prefix: Some("Token".into()),
            value: Secret("s3cret".into()),
        };
    });
    let first = page(&probe, &producer, None, None).await.unwrap();
    let crate::Next::Page(mark) = &first.next else { panic!("a second page was expected") };
    assert!(mark.contains("page=2") && !mark.contains("s3cret"), "{mark}");
    let second = page(&probe, &producer, None, Some(mark)).await.unwrap();
    let told = format!("{probe:?} {:?} {:?}", first.exchange, second.exchange);
    assert!(told.contains("key=***"), "{told}");
    assert!(!told.contains("s3cret") && !told.contains("t3nant"), "{told}");
}

#[tokio::test]
async fn one_bad_item_is_rejected_once_and_the_walk_goes_on() {
    let producer = Producer::new(|_| {
        ok(&json!([{"id": 1}, {"x": 1}, 5, {"id": {}}, {"id": 2, "at": "soon"}, {"id": 3}]))
    });
    let probe = probe(|spec| {
        spec.id = IdRule::Path("id".into());
        spec.time = Some(TimeRule::Path("at".into()));
    });
    let first = walk(&probe, &producer, None).await.unwrap();
    assert_eq!(first.ids, ["1", "2", "3"]);
    assert_eq!(first.errors.0["time"].count, 1);
    let reasons: Vec<&str> = first.rejected.iter().map(|item| item.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "id: `id` finds nothing; the item has `x`",
            "id: the item is a number: expected an object",
            "id: `id` is an object: expected a text or a number that is not empty",
        ]
    );
    let second = walk(&probe, &producer, Some(&first.cursor())).await.unwrap();
    assert!(second.rejected.is_empty() && second.ids.is_empty());
}

#[tokio::test]
async fn no_answer_is_told_apart() {
    for (error, kind) in [
        (std::io::ErrorKind::PermissionDenied, FailureKind::Forbidden),
        (std::io::ErrorKind::ConnectionRefused, FailureKind::Unreachable),
        (std::io::ErrorKind::TimedOut, FailureKind::Timeout),
    ] {
        let network =
            BoxCloneSyncService::new(tower::service_fn(move |_: Request<Bytes>| async move {
                Err(std::io::Error::new(error, "as told"))
            }));
        let budget = Budget::new(1 << 20);
        let failure =
            probe(|_| {}).page(&network, &budget, Ask::new(None, None, now())).await.unwrap_err();
        assert_eq!(failure.kind, kind);
    }
}
