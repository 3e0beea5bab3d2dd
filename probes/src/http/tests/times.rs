//! Times of items: what becomes of them, and what they decide.

use super::support::{Producer, page, probe, raw, walk};
use crate::http::{CursorRule, IdRule, Start, TimeRule, TimeWritten, Unit};

/// The times of the drafts of a page.
async fn times(body: &'static str, rule: TimeRule) -> Vec<Option<String>> {
    let producer = Producer::new(move |_| raw(body));
    let probe = probe(|spec| {
        spec.id = IdRule::Path("id".into());
        spec.time = Some(rule);
    });
    let page = page(&probe, &producer, None, None).await.unwrap();
    assert!(page.rejected.is_empty(), "{:?}", page.rejected);
    page.drafts.into_iter().map(|draft| draft.time).collect()
}

fn number(unit: Unit) -> TimeRule {
    TimeRule::Written(TimeWritten { path: "at".into(), unit: Some(unit), ..TimeWritten::default() })
}

#[tokio::test]
async fn numbers_are_exact_and_texts_are_rfc_3339() {
    let seconds = r#"[{"id":1,"at":1.415335333E9},{"id":2,"at":-1.5},{"id":3,"at":"1772366400"},
        {"id":4,"at":null},{"id":5}]"#;
    assert_eq!(
        times(seconds, number(Unit::S)).await,
        [
            Some("2014-11-07T04:42:13Z".into()),
            Some("1969-12-31T23:59:58.5Z".into()),
            Some("2026-03-01T12:00:00Z".into()),
            None,
            None,
        ]
    );
    let nanos = r#"[{"id":1,"at":1772366400123456789}]"#;
    assert_eq!(
        times(nanos, number(Unit::Ns)).await,
        [Some("2026-03-01T12:00:00.123456789Z".into())]
    );
    let texts = r#"[{"id":1,"at":"2026-03-01T12:00:00.000+0000"},{"id":2,"at":"2026-03-01 12:00:00+01"},
        {"id":3,"at":"9999-12-31T23:59:59Z"}]"#;
    assert_eq!(
        times(texts, TimeRule::Path("at".into())).await,
        [
            Some("2026-03-01T12:00:00.000+00:00".into()),
            Some("2026-03-01T12:00:00+01:00".into()),
            Some("9999-12-31T23:59:59Z".into()),
        ]
    );
}

#[tokio::test]
async fn a_start_drops_what_is_older_and_nothing_else() {
    // It is 2026-01-31T12:00:00Z: half an hour ago, two hours ago, and never.
    let body = r#"[{"id":1,"at":1.7698590E9},{"id":2,"at":1769853600},{"id":3,"at":253402300799}]"#;
    let producer = Producer::new(move |_| raw(body));
    let probe = probe(|spec| {
        spec.id = IdRule::Path("id".into());
        spec.time = Some(number(Unit::S));
        spec.cursor = CursorRule::None;
        spec.start = Start::Ago("1h".parse().unwrap());
    });
    assert_eq!(walk(&probe, &producer, None).await.unwrap().ids, ["1", "3"]);
}

#[tokio::test]
async fn a_number_in_another_unit_is_asked_about() {
    let producer = Producer::new(|_| raw(r#"[{"id":1,"at":1772366400123}]"#));
    let probe = probe(|spec| {
        spec.id = IdRule::Path("id".into());
        spec.time = Some(number(Unit::S));
    });
    let page = page(&probe, &producer, None, None).await.unwrap();
    assert_eq!(page.drafts[0].time, None);
    assert!(page.field_errors.0["time"].reason.ends_with("is this `ms`?"), "{page:?}");
}
