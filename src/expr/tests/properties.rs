//! What holds for any filter and expression: dialects against a naive model, expressions against
//! minijinja itself, and that nothing given is fatal.

use std::collections::BTreeMap;

use minijinja::{Environment, UndefinedBehavior};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{event, json as any_json, order, topic};
use crate::{
    event::{Data, Event},
    expr::{
        Filter, Transform, digits,
        eval::evaluate,
        scope::{Held, Scope},
        syntax::{self, Code},
        template,
    },
};

/// Values that meet each other often.
fn word() -> impl Strategy<Value = String> {
    "[ab]{1,3}"
}

fn attributes() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map("[abc]", word(), 0..3)
}

fn filter() -> impl Strategy<Value = Value> {
    let pairs = || prop::collection::btree_map("[abc]", word(), 1..3);
    let leaf = (prop::sample::select(vec!["exact", "prefix", "suffix"]), pairs())
        .prop_map(|(dialect, pairs)| json!({dialect: pairs}));
    leaf.prop_recursive(4, 20, 3, |inner| {
        let several = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            (prop::sample::select(vec!["all", "any"]), several)
                .prop_map(|(dialect, filters)| json!({dialect: filters})),
            inner.prop_map(|filter| json!({"not": filter})),
        ]
    })
}

/// The words of the specification, again.
fn model(filter: &Value, has: &BTreeMap<String, String>) -> bool {
    let (dialect, value) = filter.as_object().unwrap().iter().next().unwrap();
    let each = |holds: fn(&str, &str) -> bool| {
        value.as_object().unwrap().iter().all(|(name, wanted)| {
            has.get(name).is_some_and(|text| holds(text, wanted.as_str().unwrap()))
        })
    };
    match dialect.as_str() {
        "exact" => each(|has, wanted| has == wanted),
        "prefix" => each(|has, wanted| has.starts_with(wanted)),
        "suffix" => each(|has, wanted| has.ends_with(wanted)),
        "all" => value.as_array().unwrap().iter().all(|filter| model(filter, has)),
        "any" => value.as_array().unwrap().iter().any(|filter| model(filter, has)),
        _ => !model(value, has),
    }
}

/// Expressions that are neither too long nor multiply texts.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "1",
        "0",
        "-3",
        "2.5",
        "'x'",
        "''",
        "'Aab'",
        "true",
        "none",
        "type",
        "tries",
        "urgent",
        "missing",
        "version",
        "data",
        "data.n",
        "data.s",
        "data.none",
        "data.total",
        "data.list",
        "data.map",
        "data.empty",
        "data.missing.deep",
        "data.list[0]",
        "data.list[-1]",
        "data.list[9]",
        "data['s']",
        "data.s[0]",
        "data.list[2].a",
        "data.big",
        "data.twice",
    ])
    .prop_map(str::to_owned);
    let sign = prop::sample::select(vec![
        "+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in",
        "and", "or", "is in",
    ]);
    let after = prop::sample::select(vec![
        "|abs",
        "|bool",
        "|float",
        "|int",
        "|join",
        "|last",
        "|length",
        "|lower",
        "|string",
        "|tojson",
        "|trim",
        "|upper",
        "|default",
        "|default('z', true)",
        "|round(1)",
        "|int(7)",
        "|replace('a', 'bb')",
        "|split('a')",
        " is defined",
        " is mapping",
        " is none",
        " is number",
        " is odd",
        " is sequence",
        " is string",
        " is true",
        " is undefined",
        " is not integer",
        " is startingwith 'A'",
        ".k",
        "[1]",
        "['k']",
    ]);
    leaf.prop_recursive(4, 24, 3, move |inner| {
        prop_oneof![
            (inner.clone(), sign.clone(), inner.clone())
                .prop_map(|(a, s, b)| format!("({a} {s} {b})")),
            (inner.clone(), after.clone()).prop_map(|(a, after)| format!("({a}){after}")),
            inner.clone().prop_map(|a| format!("(not {a})")),
            inner.clone().prop_map(|a| format!("(-({a}))")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("({a} if {b} else {c})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[{a}, {b}]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}, {b})")),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(a, b, c)| format!("({a} < {b} == {c})")),
        ]
    })
}

fn by_minijinja(text: &str, event: &Event) -> Result<minijinja::Value, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.compile_expression(text)?.eval(template::names(event, &topic()).unwrap())
}

/// Whether each number that comes up is one that a double holds: only then is minijinja exact.
fn is_exact(code: &Code, event: &Event) -> bool {
    let topic = topic();
    let scope = Scope::new(event, &topic);
    let holds = match evaluate(code, &scope).map(|item| item.held) {
        Ok(Held::Value(value)) if !digits::is_double(&value) => {
            digits::text(&value).is_none_or(|text| digits::double(&text).is_some())
        }
        _ => true,
    };
    holds && parts(code).into_iter().all(|part| is_exact(part, event))
}

fn parts(code: &Code) -> Vec<&Code> {
    match code {
        Code::Constant(_) | Code::Name(_) => Vec::new(),
        Code::Not(of) | Code::Negative(of) => vec![of],
        Code::Member(a, b)
        | Code::And(a, b)
        | Code::Or(a, b)
        | Code::Arithmetic(_, a, b)
        | Code::Concat(a, b) => vec![a, b],
        Code::Compare(first, others) => {
            [&**first].into_iter().chain(others.iter().map(|(_, code)| code)).collect()
        }
        Code::If { condition, yes, no } => {
            [&**condition, yes].into_iter().chain(no.as_deref()).collect()
        }
        Code::Filter(_, codes) | Code::Test(_, codes) | Code::List(codes) | Code::Tuple(codes) => {
            codes.iter().collect()
        }
    }
}

/// The text with each number in it written one way.
fn one_way(text: &str) -> String {
    let mut made = String::new();
    let mut rest = text;
    while let Some(begin) = rest.find(|c: char| c.is_ascii_digit()) {
        let length = rest[begin..].find(|c: char| !c.is_ascii_digit() && c != '.');
        let (before, from) = rest.split_at(begin);
        let mut length = length.unwrap_or(from.len());
        // In a list, minijinja prints large doubles with an exponent.
        if let Some(exponent) = from[length..].strip_prefix('e') {
            let digits = |c: char| !c.is_ascii_digit() && c != '-';
            let digits = exponent.find(digits).unwrap_or(exponent.len());
            length += if digits > 0 { digits + 1 } else { 0 };
        }
        let (number, after) = from.split_at(length);
        made += before;
        made += &number.parse::<f64>().map_or(number.to_owned(), |n| format!("{n:e}"));
        // `1.0` and `1` are different kinds.
        made += if number.contains(['.', 'e']) { "f" } else { "" };
        rest = after;
    }
    made += rest;
    // Only doubles have a zero below zero.
    made.replace("-0e0f", "0e0f")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn dialects_are_as_the_specification_has_them(filter in filter(), has in attributes()) {
        let event = event(&json!(has), Data::None);
        let parsed = Filter::parse(&filter).unwrap();
        prop_assert_eq!(parsed.matches(&event, &topic()), Ok(model(&filter, &has)));
    }

    /// Whatever we do with numbers that a double holds is what minijinja does (`numbers` has the
    /// others); what we refuse, it refuses too, or we say what we want instead.
    #[test]
    fn expressions_are_as_minijinja_has_them(text in expression()) {
        let Ok(code) = syntax::read(&text) else { return Ok(()) };
        // A number that a double prints as it is written.
        let whole = order();
        let data = String::from_utf8(whole.data.bytes().to_vec()).unwrap().replace("120.50", "120.5");
        let event = Event { data: Data::Json(data.into()), ..whole };
        let topic = topic();
        let scope = Scope::new(&event, &topic);
        let ours = evaluate(&code, &scope).and_then(|item| scope.value(&item));
        match (ours, by_minijinja(&text, &event)) {
            _ if !is_exact(&code, &event) => {}
            (Ok(ours), Ok(theirs)) => {
                let (ours, theirs) = (ours.to_string(), theirs.to_string());
                prop_assert_eq!(one_way(&ours), one_way(&theirs), "{}: {}, not {}", text, ours, theirs);
            }
            (Ok(ours), Err(error)) => prop_assert!(false, "{text}: {ours}, not {error}"),
            (Err(problem), Ok(theirs)) => {
                let inexact = ["exactly", "that JSON does not have", "writes at most"];
                let told = problem.contains(" want")
                    || inexact.iter().any(|inexact| problem.contains(inexact));
                prop_assert!(told, "{text}: {problem}, not {theirs}");
            }
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn nothing_given_is_fatal(value in any_json(), text in "[a-z0-9 ()\\[\\]{}'\"|.,~*+<>=!:%\\\\é-]{0,60}") {
        let (event, topic) = (order(), topic());
        for value in [value, json!(text), json!({"all": [text]}), json!({"a": text})] {
            if let Ok(filter) = Filter::parse(&value) {
                let _ = filter.matches(&event, &topic);
            }
            if let Ok(transform) = Transform::parse_trusted(&value) {
                let _ = transform.apply(&event, &topic);
            }
        }
    }
}
