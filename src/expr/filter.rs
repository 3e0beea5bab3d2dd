//! Which events are sent: the filter dialects of CloudEvents Subscriptions 1.0, and expressions.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    Bounds, ExprError,
    eval::evaluate,
    field, index, is_attribute_name,
    scope::{Scope, truth},
    syntax::{self, Code},
};
use crate::{
    event::{Event, Topic},
    nearest::nearest,
};

const DIALECTS: [&str; 7] = ["exact", "prefix", "suffix", "all", "any", "not", "expr"];

/// Which events are sent. Clones share what was read.
#[derive(Debug, Clone)]
pub struct Filter(Arc<Node>);

#[derive(Debug)]
enum Node {
    Attributes(Comparison, Vec<(String, String)>),
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Expression { path: String, code: Code },
}

#[derive(Debug, Clone, Copy)]
enum Comparison {
    Exact,
    Prefix,
    Suffix,
}

impl Filter {
    /// Reads what the file or the API gave: an object with one of the dialects `exact`, `prefix`,
    /// `suffix`, `all`, `any`, `not` and `expr`; an array of filters, of which all have to match;
    /// or a string, which is an expression.
    ///
    /// # Errors
    /// It is none of these, larger than it may be, or has an expression that cannot be read.
    pub fn parse(value: &Value) -> Result<Self, ExprError> {
        node(value, "", 1, &mut Bounds::new()).map(|node| Self(Arc::new(node)))
    }

    /// What a text stands for where only a text can be given, as on a command line: JSON that is a
    /// filter, or else an expression.
    #[must_use]
    pub fn of_text(text: String) -> Value {
        match serde_json::from_str(&text) {
            Ok(dialect @ (Value::Object(_) | Value::Array(_))) => dialect,
            _ => text.into(),
        }
    }

    /// Whether the event is sent.
    ///
    /// # Errors
    /// An expression fails on this event, or would take too much work.
    pub fn matches(&self, event: &Event, topic: &Topic) -> Result<bool, ExprError> {
        self.0.matches(&Scope::new(event, topic))
    }
}

impl Node {
    fn matches(&self, scope: &Scope<'_>) -> Result<bool, ExprError> {
        match self {
            Self::Attributes(comparison, pairs) => Ok(pairs.iter().all(|(name, wanted)| {
                scope.attribute(name).is_some_and(|has| comparison.holds(&has, wanted))
            })),
            Self::All(nodes) => {
                for node in nodes {
                    if !node.matches(scope)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Any(nodes) => {
                for node in nodes {
                    if node.matches(scope)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Not(node) => Ok(!node.matches(scope)?),
            Self::Expression { path, code } => evaluate(code, scope)
                .and_then(|item| truth(scope, &item))
                .map_err(|problem| ExprError::new(path, problem)),
        }
    }
}

impl Comparison {
    fn holds(self, has: &str, wanted: &str) -> bool {
        match self {
            Self::Exact => has == wanted,
            Self::Prefix => has.starts_with(wanted),
            Self::Suffix => has.ends_with(wanted),
        }
    }
}

fn node(value: &Value, path: &str, depth: usize, bounds: &mut Bounds) -> Result<Node, ExprError> {
    bounds.enter(path, depth)?;
    match value {
        Value::String(text) => expression(text, path),
        Value::Array(_) if depth == 1 => nodes(value, path, depth, bounds).map(Node::All),
        Value::Object(fields) => {
            let mut fields = fields.iter();
            match (fields.next(), fields.next()) {
                (Some((dialect, value)), None) => {
                    self::dialect(dialect, value, path, depth, bounds)
                }
                (None, _) => Err(ExprError::new(path, expected("is empty"))),
                (Some(_), Some(_)) => Err(ExprError::new(
                    path,
                    "has several dialects: expected one, or `all` with an array of filters",
                )),
            }
        }
        _ => Err(ExprError::new(path, expected("is no filter"))),
    }
}

fn expected(problem: &str) -> String {
    format!(
        "{problem}: expected an expression, or an object with one of `{}`",
        DIALECTS.join("`, `")
    )
}

fn dialect(
    name: &str,
    value: &Value,
    path: &str,
    depth: usize,
    bounds: &mut Bounds,
) -> Result<Node, ExprError> {
    let here = field(path, name);
    match name {
        "exact" => attributes(Comparison::Exact, value, &here, bounds),
        "prefix" => attributes(Comparison::Prefix, value, &here, bounds),
        "suffix" => attributes(Comparison::Suffix, value, &here, bounds),
        "all" => nodes(value, &here, depth, bounds).map(Node::All),
        "any" => nodes(value, &here, depth, bounds).map(Node::Any),
        "not" => node(value, &here, depth + 1, bounds).map(|node| Node::Not(Box::new(node))),
        "expr" => match value {
            Value::String(text) => expression(text, &here),
            _ => Err(ExprError::new(here, "expected a text, the expression")),
        },
        _ => Err(ExprError::new(
            here,
            match nearest(name, DIALECTS) {
                Some(near) => format!("is no dialect: the nearest is `{near}`"),
                None => expected("is no dialect"),
            },
        )),
    }
}

fn nodes(
    value: &Value,
    path: &str,
    depth: usize,
    bounds: &mut Bounds,
) -> Result<Vec<Node>, ExprError> {
    match value {
        Value::Array(items) if !items.is_empty() => items
            .iter()
            .enumerate()
            .map(|(at, item)| node(item, &index(path, at), depth + 1, bounds))
            .collect(),
        _ => Err(ExprError::new(path, "expected an array of at least one filter")),
    }
}

fn attributes(
    comparison: Comparison,
    value: &Value,
    path: &str,
    bounds: &mut Bounds,
) -> Result<Node, ExprError> {
    let wrong = || {
        ExprError::new(
            path,
            "expected an object of attributes and texts, as {\"type\": \"order.created\"}",
        )
    };
    let pairs: &Map<String, Value> =
        value.as_object().filter(|map| !map.is_empty()).ok_or_else(wrong)?;
    let mut known = Vec::with_capacity(pairs.len());
    for (name, wanted) in pairs {
        let here = field(path, name);
        bounds.enter(&here, 1)?;
        if !is_attribute_name(name) {
            return Err(ExprError::new(
                here,
                "is not the name of an attribute: expected a-z and 0-9",
            ));
        }
        match wanted.as_str() {
            Some(wanted) if !wanted.is_empty() => known.push((name.clone(), wanted.to_owned())),
            _ => return Err(ExprError::new(here, "expected a text that is not empty")),
        }
    }
    Ok(Node::Attributes(comparison, known))
}

fn expression(text: &str, path: &str) -> Result<Node, ExprError> {
    match syntax::read(text) {
        Ok(code) => Ok(Node::Expression { path: path.to_owned(), code }),
        Err(problem) => Err(ExprError::new(path, problem)),
    }
}
