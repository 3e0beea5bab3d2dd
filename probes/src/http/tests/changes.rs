//! Changes back and forth, validators that age, values that go and come by other ways.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};

use super::support::*;
use crate::{
    Ask, Budget, FailureKind, Listed, Next, Probe as _, Walk,
    http::{
        BodyUrl, CursorRule, Emit, FieldKind, LastId, Lost, MaxField, NextUrl, Pages, Param, Token,
        Unit, ValidatorsAge, ValidatorsRule,
    },
};

type State = Arc<Mutex<Value>>;

fn shows(state: &State) -> Producer {
    let state = state.clone();
    Producer::new(move |_| ok(&state.lock().unwrap()))
}

#[tokio::test]
async fn a_change_back_is_a_change() {
    for listed in [Listed::OldestFirst, Listed::NewestFirst, Listed::Unordered] {
        let state: State = Arc::default();
        let producer = shows(&state);
        let probe = probe(|spec| {
            spec.emit = Emit::EveryChange;
            spec.listed = listed;
        });
        let (mut cursor, mut ids) = (None, Vec::new());
        for status in ["open", "closed", "open", "open", "closed"] {
            *state.lock().unwrap() = json!([{"id": 7, "status": status}, {"id": 8}]);
            let walked = walk(&probe, &producer, cursor.as_ref()).await.unwrap();
            ids.extend(walked.ids.iter().filter(|id| id.starts_with("7:")).cloned());
            cursor = Some(walked.cursor());
        }
        assert_eq!(ids.len(), 4, "{ids:?}");
        let distinct: std::collections::HashSet<&String> = ids.iter().collect();
        assert_eq!(distinct.len(), 4, "each has an id of its own: {ids:?}");
    }
}

#[tokio::test]
async fn once_per_content_knows_a_change_back() {
    let state: State = Arc::default();
    let producer = shows(&state);
    let probe = probe(|spec| spec.emit = Emit::OncePerContent);
    let (mut cursor, mut count) = (None, 0);
    for status in ["open", "closed", "open"] {
        *state.lock().unwrap() = json!([{"id": 7, "status": status}]);
        let walked = walk(&probe, &producer, cursor.as_ref()).await.unwrap();
        count += walked.ids.len();
        cursor = Some(walked.cursor());
    }
    assert_eq!(count, 2);
}

/// One walk of one page at `now`, and whether its request was conditional.
async fn poll(cursor: Option<&String>, now: &str, since: Option<&str>) -> (Walk, bool) {
    let producer = Producer::new(|request| {
        if request.headers().contains_key("if-none-match") {
            return status(304);
        }
        let mut answer = ok(&items([1]));
        answer.headers_mut().insert("etag", "\"v1\"".parse().unwrap());
        answer
    });
    let age = ValidatorsAge { max_age: "10m".parse().unwrap() };
    let probe = probe(|spec| spec.validators = ValidatorsRule::Aged(age));
    let mut ask = Ask::new(cursor, None, now.parse().unwrap());
    if let Some(since) = since {
        ask.validators_since = since.parse().unwrap();
    }
    let page = probe.page(&producer.network, &Budget::new(1 << 20), ask).await.unwrap();
    let conditional = producer.asked.lock().unwrap()[0].headers().contains_key("if-none-match");
    let Next::Done(walk) = page.next else { panic!("one page") };
    (walk, conditional)
}

#[tokio::test]
async fn validators_age() {
    let (first, _) = poll(None, "2026-01-31T12:00:00Z", None).await;
    for (now, since, conditional) in [
        ("2026-01-31T12:09:59Z", None, true),
        ("2026-01-31T12:10:00Z", None, false),
        // The clock went back.
        ("2026-01-31T11:59:59Z", None, false),
        // An operator asked after it was learnt.
        ("2026-01-31T12:05:00Z", Some("2026-01-31T12:01:00Z"), false),
    ] {
        let (walk, was) = poll(Some(&first.cursor), now, since).await;
        assert_eq!((was, walk.unchanged), (conditional, conditional), "{now}");
        // A 304 does not make it younger.
        if conditional {
            assert_eq!(walk.cursor, first.cursor);
        }
    }
}

#[tokio::test]
async fn a_delta_link_is_where_the_next_walk_starts() {
    let producer = Producer::new(|request| match request.uri().query() {
        Some("$delta=9") => ok(&json!({"value": [{"id": 3}], "@odata.deltaLink": "?$delta=10"})),
        Some("$skip='1'") => ok(&json!({"value": [{"id": 2}], "@odata.deltaLink": "?$delta=9"})),
        _ => ok(&json!({"value": [{"id": 1}], "@odata.nextLink": "?$skip='1'"})),
    });
    let probe = probe(|spec| {
        spec.items = "value".into();
        spec.pages =
            Pages::NextUrl(NextUrl { path: "/@odata.nextLink".into(), ..NextUrl::default() });
        spec.cursor =
            CursorRule::BodyUrl(BodyUrl { path: "/@odata.deltaLink".into(), ..BodyUrl::default() });
    });
    let first = walk(&probe, &producer, None).await.unwrap();
    assert_eq!(first.ids, ["1", "2"]);
    let second = walk(&probe, &producer, Some(&first.cursor())).await.unwrap();
    assert_eq!(second.ids, ["3"]);
    assert_eq!(producer.queries(), ["fixed=1", "$skip='1'", "$delta=9"]);
}

#[tokio::test]
async fn times_are_sent_as_the_producer_writes_them() {
    for (rule, item, sent) in [
        (
            MaxField { format: Some("%Y-%m-%d %H:%M".into()), ..MaxField::default() },
            json!("2026-01-31 10:30"),
            "2026-01-31%2010%3A30",
        ),
        (
            MaxField { unit: Some(Unit::Ms), ..MaxField::default() },
            json!(1_769_853_600_500_u64),
            "1769853600500",
        ),
        (
            MaxField {
                format: Some("%Y-%m-%dT%H:%M:%S".into()),
                zone: Some("Europe/Berlin".into()),
                ..MaxField::default()
            },
            json!("2026-01-31T11:00:00"),
            "2026-01-31T11%3A00%3A00",
        ),
    ] {
        let rule = MaxField { path: "at".into(), query: Some("since".into()), ..rule };
        let zoned = rule.zone.is_none() && rule.unit.is_none();
        let rule = if zoned { MaxField { zone: Some("UTC".into()), ..rule } } else { rule };
        let producer = Producer::new(move |_| ok(&json!([{"id": 1, "at": item}])));
        let probe = probe(|spec| spec.cursor = CursorRule::MaxField(rule));
        let first = walk(&probe, &producer, None).await.unwrap();
        let second = walk(&probe, &producer, Some(&first.cursor())).await.unwrap();
        assert!(second.ids.is_empty(), "{sent}");
        assert_eq!(producer.queries()[1], format!("fixed=1&since={sent}"));
    }
}

#[tokio::test]
async fn values_go_by_header_body_and_place() {
    let last_id = |header: Option<&str>, body: Option<&str>| {
        CursorRule::LastId(LastId {
            header: header.map(Into::into),
            body: body.map(Into::into),
            ..LastId::default()
        })
    };
    let producer = Producer::new(|_| ok(&items([5])));
    let by_header = probe(|spec| spec.cursor = last_id(Some("x-after"), None));
    let cursor = "4".to_owned();
    walk(&by_header, &producer, Some(&cursor)).await.unwrap();
    assert_eq!(producer.asked.lock().unwrap().pop().unwrap().headers()["x-after"], "4");
    let by_body = probe(|spec| spec.cursor = last_id(None, Some("page.after")));
    walk(&by_body, &producer, Some(&cursor)).await.unwrap();
    let asked = producer.asked.lock().unwrap().pop().unwrap();
    assert_eq!(
        (asked.method().as_str(), &asked.body()[..]),
        ("POST", &br#"{"page":{"after":"4"}}"#[..])
    );
    let by_place = probe(|spec| {
        spec.cursor = last_id(None, None);
        spec.query = vec![Param::plain("q", "id > {cursor}")];
    });
    walk(&by_place, &producer, Some(&cursor)).await.unwrap();
    assert_eq!(producer.queries(), ["fixed=1&q=id%20%3E%204"]);
}

#[tokio::test]
async fn further_values_go_back_beside_the_token() {
    let producer = Producer::new(|request| match query(request, "rccontinue") {
        None => {
            ok(&json!({"v": [{"id": 1}], "continue": {"rccontinue": "20|7", "continue": "-||"}}))
        }
        Some(_) => ok(&json!({"v": [{"id": 2}]})),
    });
    let token = Token {
        path: "continue.rccontinue".into(),
        query: Some("rccontinue".into()),
        also: [("continue".to_owned(), "continue.continue".to_owned())].into(),
        ..Token::default()
    };
    let probe = probe(|spec| {
        spec.items = "v".into();
        spec.pages = Pages::Token(token);
    });
    assert_eq!(walk(&probe, &producer, None).await.unwrap().ids, ["1", "2"]);
    assert_eq!(producer.queries()[1], "fixed=1&rccontinue=20%7C7&continue=-%7C%7C");
}

#[tokio::test]
async fn any_refusal_with_the_cursor_may_mean_that_it_is_lost() {
    let refusing = |code: u16| {
        Producer::new(move |request| -> Response<Bytes> {
            if query(request, "since").is_some() { status(code) } else { ok(&items([])) }
        })
    };
    for (code, lost) in
        [(400, true), (409, true), (422, true), (401, false), (429, false), (500, false)]
    {
        let probe = probe(|spec| {
            spec.lost = Lost::Earliest;
            spec.cursor = CursorRule::MaxField(MaxField {
                path: "at".into(),
                kind: FieldKind::Number,
                query: Some("since".into()),
                ..MaxField::default()
            });
        });
        let producer = refusing(code);
        let mut cursor = "5".to_owned();
        for asked in 0..4 {
            let failure = walk(&probe, &producer, Some(&cursor)).await.unwrap_err();
            let doubted = lost && asked == 2;
            let kind = if doubted { FailureKind::CursorDoubted } else { FailureKind::Status(code) };
            assert_eq!(failure.kind, kind);
            cursor = failure.cursor.unwrap_or(cursor);
        }
        let last = walk(&probe, &producer, Some(&cursor)).await;
        assert_eq!(last.is_ok_and(|walked| walked.gap() == Some("cursor_lost")), lost, "{code}");
    }
}

#[tokio::test]
async fn one_item_over_a_bound_is_rejected_alone() {
    let deep = "[".repeat(70) + &"]".repeat(70);
    let body = format!(
        r#"[{{"id":1}},{{"id":2,"x":{deep}}},{{"id":3,"x":"{}"}},{{"id":4}}]"#,
        "y".repeat(500)
    );
    let producer = Producer::new(move |_| raw(&body));
    let probe = probe(|spec| spec.limits.item_bytes_max = 400);
    let walked = walk(&probe, &producer, None).await.unwrap();
    assert_eq!(walked.ids, ["1", "4"]);
    let reasons: Vec<&str> = walked.rejected.iter().map(|one| one.reason.as_str()).collect();
    assert!(reasons[0].contains("`limits.depth`") && reasons[1].contains("`limits.event_bytes`"));
}
