//! The filters and tests that an expression may use: minijinja's own, but only these.

use std::{ops::RangeInclusive, sync::LazyLock};

use minijinja::{Environment, UndefinedBehavior};

use crate::nearest::nearest;

/// A name, and how many arguments are given to it besides the value.
type Named = (&'static str, RangeInclusive<usize>);

const FILTERS: [Named; 17] = [
    ("abs", 0..=0),
    ("bool", 0..=0),
    ("default", 0..=2),
    ("first", 0..=0),
    ("float", 0..=1),
    ("int", 0..=1),
    ("join", 0..=1),
    ("last", 0..=0),
    ("length", 0..=0),
    ("lower", 0..=0),
    ("replace", 2..=2),
    ("round", 0..=1),
    ("split", 0..=1),
    ("string", 0..=0),
    ("tojson", 0..=0),
    ("trim", 0..=0),
    ("upper", 0..=0),
];

const TESTS: [Named; 17] = [
    ("boolean", 0..=0),
    ("defined", 0..=0),
    ("endingwith", 1..=1),
    ("even", 0..=0),
    ("false", 0..=0),
    ("float", 0..=0),
    ("in", 1..=1),
    ("integer", 0..=0),
    ("mapping", 0..=0),
    ("none", 0..=0),
    ("number", 0..=0),
    ("odd", 0..=0),
    ("sequence", 0..=0),
    ("startingwith", 1..=1),
    ("string", 0..=0),
    ("true", 0..=0),
    ("undefined", 0..=0),
];

/// Where filters and tests are looked up: it has nothing else. `default` is missing because `call`
/// does it without a copy.
pub(super) static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut all = Environment::empty();
    all.set_undefined_behavior(UndefinedBehavior::Chainable);
    all.add_filter("abs", minijinja::filters::abs);
    all.add_filter("bool", minijinja::filters::bool);
    all.add_filter("first", minijinja::filters::first);
    all.add_filter("float", minijinja::filters::float);
    all.add_filter("int", minijinja::filters::int);
    all.add_filter("join", minijinja::filters::join);
    all.add_filter("last", minijinja::filters::last);
    all.add_filter("length", minijinja::filters::length);
    all.add_filter("lower", minijinja::filters::lower);
    all.add_filter("replace", minijinja::filters::replace);
    all.add_filter("round", minijinja::filters::round);
    all.add_filter("split", minijinja::filters::split);
    all.add_filter("string", minijinja::filters::string);
    all.add_filter("tojson", minijinja::filters::tojson);
    all.add_filter("trim", minijinja::filters::trim);
    all.add_filter("upper", minijinja::filters::upper);
    all.add_test("boolean", minijinja::tests::is_boolean);
    all.add_test("defined", minijinja::tests::is_defined);
    all.add_test("endingwith", minijinja::tests::is_endingwith);
    all.add_test("even", minijinja::tests::is_even);
    all.add_test("false", minijinja::tests::is_false);
    all.add_test("float", minijinja::tests::is_float);
    all.add_test("in", minijinja::tests::is_in);
    all.add_test("integer", minijinja::tests::is_integer);
    all.add_test("mapping", minijinja::tests::is_mapping);
    all.add_test("none", minijinja::tests::is_none);
    all.add_test("number", minijinja::tests::is_number);
    all.add_test("odd", minijinja::tests::is_odd);
    all.add_test("sequence", minijinja::tests::is_sequence);
    all.add_test("startingwith", minijinja::tests::is_startingwith);
    all.add_test("string", minijinja::tests::is_string);
    all.add_test("true", minijinja::tests::is_true);
    all.add_test("undefined", minijinja::tests::is_undefined);
    all
});

/// The filter of this name, if it may be given so many arguments.
pub(super) fn filter(name: &str, arguments: usize) -> Result<&'static str, String> {
    let name = match name {
        "count" => "length",
        "d" => "default",
        name => name,
    };
    find("filter", &FILTERS, name, arguments)
}

/// The test of this name, if it may be given so many arguments.
pub(super) fn test(name: &str, arguments: usize) -> Result<&'static str, String> {
    find("test", &TESTS, name, arguments)
}

fn find(
    what: &str,
    all: &'static [Named],
    name: &str,
    arguments: usize,
) -> Result<&'static str, String> {
    let Some((name, takes)) = all.iter().find(|(known, _)| *known == name) else {
        let names = || all.iter().map(|(known, _)| *known);
        let name: String = name.chars().take(60).collect();
        return Err(match nearest(&name, names()) {
            Some(near) => format!("`{name}` is no {what}: the nearest is `{near}`"),
            None => format!(
                "`{name}` is no {what}: expected one of `{}`",
                names().collect::<Vec<_>>().join("`, `")
            ),
        });
    };
    if takes.contains(&arguments) {
        return Ok(name);
    }
    let (least, most) = (takes.start(), takes.end());
    let takes = if least == most { most.to_string() } else { format!("{least} to {most}") };
    Err(format!("`{name}` takes {takes} arguments, not {arguments}"))
}

#[cfg(test)]
pub(super) fn filters() -> Vec<&'static str> {
    FILTERS.iter().map(|(name, _)| *name).collect()
}

#[cfg(test)]
pub(super) fn tests() -> Vec<&'static str> {
    TESTS.iter().map(|(name, _)| *name).collect()
}
