//! What is sent in the place of an event: an object whose texts are expressions, or a template.

use std::{io::Write as _, sync::Arc};

use bytes::Bytes;
use serde_json::Value;

use super::{
    Bounds, ExprError, TRANSFORMED_BYTES_MAX,
    eval::evaluate,
    field, index,
    json::mended,
    scope::{Held, Item, Scope},
    syntax::{self, Code},
    template::{Capped, Template},
    write,
};
use crate::event::{Event, Topic};

/// What is sent in the place of an event. Clones share what was read.
#[derive(Debug, Clone)]
pub struct Transform(Arc<Form>);

#[derive(Debug)]
enum Form {
    Object(Part),
    Template(Box<Template>),
}

#[derive(Debug)]
enum Part {
    /// A number, boolean or null, as JSON.
    Literal(String),
    Expression {
        path: String,
        code: Code,
    },
    /// Names, already as JSON.
    Object(Vec<(String, Part)>),
    Array(Vec<Part>),
}

impl Transform {
    /// Reads what the API gave: an object, at any depth of which a string is an expression. Other
    /// values are sent as they are.
    ///
    /// # Errors
    /// It is no object, larger than it may be, or has an expression that cannot be read.
    pub fn parse(value: &Value) -> Result<Self, ExprError> {
        if !value.is_object() {
            return Err(ExprError::new("", "expected an object whose texts are expressions"));
        }
        let part = part(value, String::new(), 1, &mut Bounds::new())?;
        Ok(Self(Arc::new(Form::Object(part))))
    }

    /// Reads what the operator's file gave: as [`Transform::parse`] does, or a string, which is a
    /// full template.
    ///
    /// # Errors
    /// As those of [`Transform::parse`], or a template that cannot be read.
    pub fn parse_trusted(value: &Value) -> Result<Self, ExprError> {
        match value {
            Value::String(text) => {
                let template =
                    Template::new(text).map_err(|problem| ExprError::new("", problem))?;
                Ok(Self(Arc::new(Form::Template(Box::new(template)))))
            }
            _ => Self::parse(value),
        }
    }

    /// The body that is sent: JSON, or whatever a template wrote.
    ///
    /// # Errors
    /// An expression or the template fails on this event, would take too much work, or makes more
    /// than [`TRANSFORMED_BYTES_MAX`].
    pub fn apply(&self, event: &Event, topic: &Topic) -> Result<Bytes, ExprError> {
        match &*self.0 {
            Form::Template(template) => {
                template.render(event, topic).map_err(|problem| ExprError::new("", problem))
            }
            Form::Object(part) => {
                let mut out = Capped::new(TRANSFORMED_BYTES_MAX);
                part.write(&mut out, &Scope::new(event, topic))?;
                Ok(out.into_bytes())
            }
        }
    }
}

fn part(value: &Value, path: String, depth: usize, bounds: &mut Bounds) -> Result<Part, ExprError> {
    bounds.enter(&path, depth)?;
    Ok(match value {
        Value::String(text) => match syntax::read(text) {
            Ok(code) => Part::Expression { path, code },
            Err(problem) => return Err(ExprError::new(path, problem)),
        },
        Value::Object(fields) => Part::Object(
            fields
                .iter()
                .map(|(name, value)| {
                    let part = part(value, field(&path, name), depth + 1, bounds)?;
                    Ok((Value::from(name.as_str()).to_string(), part))
                })
                .collect::<Result<_, ExprError>>()?,
        ),
        Value::Array(items) => Part::Array(
            items
                .iter()
                .enumerate()
                .map(|(at, item)| part(item, index(&path, at), depth + 1, bounds))
                .collect::<Result<_, _>>()?,
        ),
        literal => Part::Literal(self::literal(literal, path)?),
    })
}

/// A number, boolean or null as JSON. A number of so many digits may not be what was given: it was
/// read as a double.
fn literal(value: &Value, path: String) -> Result<String, ExprError> {
    let json = value.to_string();
    let mantissa = json.split(['e', 'E']).next().unwrap_or_default();
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0');
    if value.is_f64() && digits.count() > f64::DIGITS as usize {
        return Err(ExprError::new(
            path,
            format!(
                "has more than {} digits, not all of which are kept here: write it as an expression, in quotes",
                f64::DIGITS
            ),
        ));
    }
    Ok(json)
}

impl Part {
    fn write(&self, out: &mut Capped, scope: &Scope<'_>) -> Result<(), ExprError> {
        match self {
            Self::Literal(json) => put(out, json),
            Self::Expression { path, code } => evaluate(code, scope)
                .and_then(|item| write_item(out, scope, &item))
                .map_err(|problem| ExprError::new(path, problem)),
            Self::Object(fields) => {
                put(out, "{")?;
                for (at, (name, part)) in fields.iter().enumerate() {
                    put(out, if at == 0 { "" } else { "," })?;
                    put(out, name)?;
                    put(out, ":")?;
                    part.write(out, scope)?;
                }
                put(out, "}")
            }
            Self::Array(parts) => {
                put(out, "[")?;
                for (at, part) in parts.iter().enumerate() {
                    put(out, if at == 0 { "" } else { "," })?;
                    part.write(out, scope)?;
                }
                put(out, "]")
            }
        }
    }
}

fn put(out: &mut Capped, json: &str) -> Result<(), ExprError> {
    out.write_all(json.as_bytes()).map_err(|error| ExprError::new("", error.to_string()))
}

/// Writes an item as JSON: a part of the data in the producer's own bytes, but for texts that
/// receivers could not read; what is missing as null.
fn write_item(out: &mut Capped, scope: &Scope<'_>, item: &Item) -> Result<(), String> {
    match &item.held {
        Held::Place(place) => {
            out.write_all(mended(scope.raw(*place)?).as_bytes()).map_err(|error| error.to_string())
        }
        Held::Value(value) => {
            scope.spend(item.bytes)?;
            write::json(out, value)
        }
    }
}
