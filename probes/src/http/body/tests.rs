//! Items of every form, tokens of every kind, and what is said of the rest.

use http::HeaderMap;
use serde_json::value::RawValue;

use super::*;

fn body<'a>(headers: &'a HeaderMap, text: &'a str) -> Body<'a> {
    Body { headers, text }
}

fn rule(path: &str, of: ItemsOf, missing: Missing) -> ItemsRule {
    ItemsRule { path: path.into(), of, missing }
}

fn items(text: &str, rule: &ItemsRule) -> Result<Vec<String>, String> {
    let headers = HeaderMap::new();
    let found = body(&headers, text).items(rule, &Path::new(&rule.path), 3);
    let texts = |items: Vec<&RawValue>| items.into_iter().map(|i| i.get().to_owned()).collect();
    found.map(texts).map_err(|fault| fault.problem)
}

#[test]
fn items_have_many_forms() {
    use ItemsOf::{Any, List, One, Values};
    use Missing::{Empty, Fail};
    for (text, of, missing, found) in [
        (r#"{"d":[1,2]}"#, List, Fail, Ok(vec!["1", "2"])),
        (r#"{"d":null}"#, List, Fail, Ok(vec![])),
        ("", List, Fail, Ok(vec![])),
        (r#"{"d":{}}"#, List, Fail, Err("of: one")),
        (r#"{"d":{}}"#, List, Empty, Ok(vec![])),
        (r#"{"d":""}"#, List, Empty, Ok(vec![])),
        (r#"{"d":false}"#, List, Empty, Ok(vec![])),
        (r#"{"d":""}"#, List, Fail, Err("missing: empty")),
        (r#"{"x":1}"#, List, Fail, Err("missing: empty")),
        (r#"{"x":1}"#, List, Empty, Ok(vec![])),
        (r#"{"d":"x"}"#, List, Empty, Err("a text")),
        (r#"{"d":{"a":{"i":1},"b":{"i":2}}}"#, List, Fail, Err("of: values")),
        (r#"{"d":{"b":{"i":1},"a":{"i":2}}}"#, Values, Fail, Ok(vec![r#"{"i":1}"#, r#"{"i":2}"#])),
        (r#"{"d":[]}"#, Values, Fail, Ok(vec![])),
        (r#"{"d":[1]}"#, Values, Fail, Err("of: list")),
        (r#"{"d":{"i":1}}"#, One, Fail, Ok(vec![r#"{"i":1}"#])),
        (r#"{"d":{"i":1}}"#, Any, Fail, Ok(vec![r#"{"i":1}"#])),
        (r#"{"d":[7]}"#, Any, Fail, Ok(vec!["7"])),
        (r#"{"d":""}"#, Any, Fail, Ok(vec![])),
        (r#"{"d":{}}"#, Any, Fail, Ok(vec![])),
        (r#"{"d":5}"#, Any, Fail, Err("a number")),
        (r#"{"d":[1,2,3,4]}"#, List, Fail, Err("limits.page_items")),
    ] {
        let given = items(text, &rule("d", of, missing));
        match (given, found) {
            (Ok(given), Ok(found)) => assert_eq!(given, found, "{text} {of:?}"),
            (Err(problem), Err(part)) => assert!(problem.contains(part), "{text}: {problem}"),
            (given, _) => panic!("{text} {of:?} {missing:?}: {given:?}"),
        }
    }
}

#[test]
fn what_is_no_json_is_quoted() {
    let all = rule("", ItemsOf::List, Missing::Fail);
    let html = "<!doctype html><html><head><title>\n Sign  in </title></head>";
    assert!(items(html, &all).unwrap_err().contains("titled `Sign in`"));
    let broken = items(r#"[{"id":1},{"id":NaN,"x":2}]"#, &all).unwrap_err();
    assert!(broken.contains(r#"near `:1},{"id":NaN,"x":2}]`"#), "{broken}");
}

#[test]
fn tokens_are_what_can_be_sent_back() {
    let headers = HeaderMap::new();
    for (value, token) in [
        (r#""abc""#, Token::Value("abc".into())),
        ("12345678901234567890", Token::Value("12345678901234567890".into())),
        (r#"{"href":"/next"}"#, Token::Value("/next".into())),
        ("null", Token::None),
        ("false", Token::None),
        (r#""""#, Token::None),
        ("{}", Token::None),
        ("[]", Token::None),
        (r#"{"x":1}"#, Token::Broken("`t` is an object without `href`; it has `x`".into())),
        ("true", Token::Broken("`t` is a boolean (true): expected a text or number".into())),
    ] {
        let text = format!(r#"{{"t":{value}}}"#);
        assert_eq!(body(&headers, &text).token("t"), token, "{value}");
    }
    assert_eq!(body(&headers, "{}").token("t"), Token::None);
}

#[test]
fn links_that_cannot_be_read_are_no_end() {
    for (header, carried) in [
        ("<a>; rel=next", Carried::Link("a".into())),
        ("<a>; rel=prev", Carried::End("no_token")),
        (
            "<a; rel=next",
            Carried::Broken("the `Link` header cannot be read at `<a; rel=next`".into()),
        ),
        ("style.css", Carried::Ended("the `Link` header cannot be read at `style.css`".into())),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(header::LINK, header.parse().unwrap());
        assert_eq!(body(&headers, "").link("next"), carried, "{header}");
    }
}

#[test]
fn pages_without_items_may_complain() {
    let headers = HeaderMap::new();
    for (text, complaint) in [
        (r#"{"error":"Syntax","result":[]}"#, Some("`error`: \"Syntax\"")),
        (r#"{"errors":["x"]}"#, Some("`errors`: [\"x\"]")),
        (r#"{"errors":[],"message":"slow down"}"#, Some("`message`: \"slow down\"")),
        (r#"{"ok":false}"#, Some("`ok`: false")),
        (r#"{"ok":true,"error":null,"errors":{},"message":""}"#, None),
        ("[]", None),
    ] {
        assert_eq!(
            body(&headers, text).complaint().map(|it| it.said).as_deref(),
            complaint,
            "{text}"
        );
    }
}

#[test]
fn marks_between_values_go_and_those_in_texts_stay() {
    let given = "\u{feff}[\u{feff}{\"a\":\"\u{feff}\\\"\u{feff}\"}]\u{feff}";
    let kept = "[{\"a\":\"\u{feff}\\\"\u{feff}\"}]";
    assert_eq!(&*clean(given), kept);
}
