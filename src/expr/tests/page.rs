//! The page that tells of expressions is true.

use serde_json::Value;

use crate::expr::{Filter, Transform, names, syntax};

const PAGE: &str = include_str!("../../../docs/expressions.md");

/// The samples of the page in this language.
fn samples(language: &str) -> Vec<&'static str> {
    let parts = PAGE.split("```").skip(1).step_by(2);
    parts.filter_map(|part| part.strip_prefix(language)).collect()
}

#[test]
fn every_sample_is_read() {
    for sample in samples("yaml") {
        let file: Value = serde_saphyr::from_str(sample).unwrap();
        let (key, value) = file.as_object().unwrap().iter().next().unwrap();
        match key.as_str() {
            "filter" => drop(Filter::parse(value).unwrap()),
            "transform" => drop(Transform::parse_trusted(value).unwrap()),
            other => panic!("{other} is not tried"),
        }
    }
    assert_eq!(samples("yaml").len(), 3);
    for line in samples("jinja").into_iter().flat_map(str::lines).filter(|line| !line.is_empty()) {
        syntax::read(line).unwrap();
    }
}

#[test]
fn every_filter_and_test_is_named() {
    for (what, names) in [("filters, after", names::filters()), ("tests, after", names::tests())] {
        let told = PAGE.split(what).nth(1).unwrap().split("\n- ").next().unwrap();
        let told = told.split("\n\n").next().unwrap();
        for name in &names {
            assert!(told.contains(&format!("`{name}`")), "{name} is not among the {what} …");
        }
        // Besides these: the sign or words that they follow, and two short names of filters.
        let others = told.matches('`').count() / 2 - names.len();
        assert_eq!(others, if what.starts_with('f') { 3 } else { 2 }, "{what}");
    }
}
