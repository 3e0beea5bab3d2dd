//! The shapes of the rules, as the file has them.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{CursorRule, LinkHeader, LinkUrl, PageNumber, Pages, rules::*};

fn read<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "the calls read better")]
fn same<T: DeserializeOwned + Serialize>(value: Value) {
    let rule: T = read(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(&rule).unwrap(), value);
}

#[test]
fn a_bare_word_is_a_kind_with_its_defaults() {
    assert_eq!(read(json!("link_header")), Ok(Pages::LinkHeader(LinkHeader::default())));
    assert_eq!(read(json!("page_number")), Ok(Pages::PageNumber(PageNumber::default())));
    assert_eq!(read(json!("none")), Ok(CursorRule::None));
    assert_eq!(read(json!("link_url")), Ok(CursorRule::LinkUrl(LinkUrl::default())));
    assert!(read::<CursorRule>(json!({"last_id": {"qery": "a"}})).unwrap_err().contains("`query`"));
    assert!(read::<Pages>(json!("link_heder")).unwrap_err().contains("`link_header`"));
    assert!(read::<Pages>(json!({"link_header": {"rle": "next"}})).unwrap_err().contains("`rel`"));
    assert!(read::<Pages>(json!({"token": {"path": "a", "query": "b"}, "none": {}})).is_err());
}

#[test]
fn rules_keep_their_shape() {
    same::<ItemsRule>(json!("data.items"));
    same::<ItemsRule>(json!({"path": "data", "of": "values", "missing": "empty"}));
    same::<IdRule>(json!("id"));
    same::<IdRule>(json!(["id", "updated_at"]));
    same::<IdRule>(json!({"expr": "item.id"}));
    same::<TextRule>(json!({"const": "order.changed"}));
    same::<TimeRule>(json!({"path": "at", "unit": "ms"}));
    same::<CursorRule>(json!({"max_field": {"path": "at", "kind": "time", "query": "since"}}));
    same::<CursorRule>(json!({"header": {"name": "ETag", "query": "_since"}}));
    same::<Pages>(json!({"next_url": {"path": "headers.next-page"}}));
    same::<Pages>(json!({"item_id": {"query": "after", "of": "last"}}));
    same::<Stop>(
        json!({"short_page": 100, "flag": {"path": "has_more", "is": false}, "empty_pages": 10, "max_pages": 9}),
    );
    same::<Start>(json!("now"));
    same::<Start>(json!("12h"));
    same::<Start>(json!({"cursor": "5"}));
    same::<Overlap>(json!("2m"));
    same::<Overlap>(json!({"items": 100}));
    assert!(read::<Start>(json!("yesterday")).unwrap_err().contains("earliest"));
    assert!(read::<IdRule>(json!({"exp": "x"})).unwrap_err().contains("`expr`"));
    assert!(read::<IdRule>(json!(5)).unwrap_err().contains("a path"));
}

#[test]
fn the_schema_has_the_bare_words() {
    let schema = serde_json::to_value(schemars::schema_for!(Pages)).unwrap();
    let words = schema["oneOf"].as_array().unwrap().last().unwrap();
    let words = words["enum"].as_array().unwrap();
    for word in ["link_header", "page_number", "offset", "item_id"] {
        assert!(words.contains(&json!(word)), "{word}: {schema}");
    }
    // They need a path.
    for word in ["next_url", "token"] {
        assert!(!words.contains(&json!(word)), "{word}: {schema}");
    }
}
