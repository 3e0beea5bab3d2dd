//! One item of a page: what makes it an event.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::{
    expr::Expressions,
    rules::{Emit, IdRule, Made, TextRule, TimeRule, Unit},
    spec::{Spec, SpecError},
};
use crate::{
    Draft,
    extract::{Fields, Path, kind_of, scalar},
};

/// The rules of a source for its items, ready to be used.
#[derive(Debug)]
pub(super) struct Reader {
    expressions: Expressions,
    id: Id,
    /// The field that `id` names first, for paging and cursors by id.
    first_id: Option<Path>,
    source: String,
    kind: Option<Text>,
    default_kind: String,
    time: Option<Time>,
    key: Option<Text>,
    subject: Option<Text>,
    emit: Emit,
    item_bytes_max: usize,
}

#[derive(Debug)]
enum Id {
    Paths(Vec<Path>),
    Expr(String),
}

#[derive(Debug)]
enum Text {
    Path(Path),
    Const(String),
    Expr(String),
}

#[derive(Debug)]
struct Time {
    path: Path,
    unit: Option<Unit>,
}

impl Reader {
    pub(super) fn new(spec: &Spec) -> Result<Self, SpecError> {
        let expressions = Expressions::new();
        let text = |field: &'static str, rule: &Option<TextRule>| match rule {
            None => Ok(None),
            Some(TextRule::Path(path)) => Ok(Some(Text::Path(Path::new(path)))),
            Some(TextRule::Made(Made::Const(text))) => Ok(Some(Text::Const(text.clone()))),
            Some(TextRule::Made(Made::Expr(expr))) => match expressions.check(expr) {
                Ok(()) => Ok(Some(Text::Expr(expr.clone()))),
                Err(problem) => Err(SpecError { field, problem }),
            },
        };
        let id = match &spec.id {
            IdRule::Path(path) => Id::Paths(vec![Path::new(path)]),
            IdRule::Paths(paths) => Id::Paths(paths.iter().map(|path| Path::new(path)).collect()),
            IdRule::Expr(expression) => {
                let check = expressions.check(&expression.expr);
                check.map_err(|problem| SpecError { field: "id.expr", problem })?;
                Id::Expr(expression.expr.clone())
            }
        };
        let first_id = match &id {
            Id::Paths(paths) => paths.first().cloned(),
            Id::Expr(_) => None,
        };
        let time = spec.time.as_ref().map(|rule| match rule {
            TimeRule::Path(path) => Time { path: Path::new(path), unit: None },
            TimeRule::Number(number) => {
                Time { path: Path::new(&number.path), unit: Some(number.unit) }
            }
        });
        Ok(Self {
            id,
            first_id,
            source: spec.effective_source(),
            kind: text("type", &spec.kind)?,
            default_kind: spec.default_kind.clone(),
            time,
            key: text("key", &spec.key)?,
            subject: text("subject", &spec.subject)?,
            emit: spec.emit,
            item_bytes_max: spec.limits.item_bytes_max,
            expressions,
        })
    }

    /// The draft of an item, whose data is `data`; or why it is none, naming the field.
    pub(super) fn draft(&self, item: &Fields<'_>, data: Bytes) -> Result<Draft, String> {
        if data.len() > self.item_bytes_max {
            let max = self.item_bytes_max;
            return Err(format!("the item has {} bytes: expected at most {max}", data.len()));
        }
        let mut id = self.id(item)?;
        if self.emit == Emit::EveryChange {
            id = format!("{id}:{:032x}", super::walk::hash(&data));
        }
        let kind = self.text("type", self.kind.as_ref(), item)?;
        Ok(Draft {
            id,
            source: self.source.clone(),
            kind: kind.unwrap_or_else(|| self.default_kind.clone()),
            time: self.time(item)?,
            subject: self.text("subject", self.subject.as_ref(), item)?,
            key: self.text("key", self.key.as_ref(), item)?,
            content_type: None,
            data,
        })
    }

    /// The text at `path`, or at the first path of `id`.
    pub(super) fn raw_id(&self, path: Option<&Path>, item: &Fields<'_>) -> Option<String> {
        let path = path.or(self.first_id.as_ref())?;
        path.of(item).and_then(scalar).map(std::borrow::Cow::into_owned)
    }

    /// When the item happened by the rule `time`, if it says so readably.
    pub(super) fn moment(&self, item: &Fields<'_>) -> Option<jiff::Timestamp> {
        self.time(item).ok()??.parse().ok()
    }

    fn id(&self, item: &Fields<'_>) -> Result<String, String> {
        let id = match &self.id {
            Id::Expr(expr) => {
                let value = self.expressions.text(expr, item.raw());
                value.map_err(|error| format!("id: {error}"))?.unwrap_or_default()
            }
            Id::Paths(paths) => {
                let mut parts = Vec::with_capacity(paths.len());
                for path in paths {
                    let value = found("id", path, item)?;
                    let part = scalar(value).filter(|part| !part.is_empty()).ok_or_else(|| {
                        format!(
                            "id: `{path}` is {}: expected a text or a number that is not empty",
                            if value.get() == "\"\"" { "empty" } else { kind_of(value.get()) }
                        )
                    })?;
                    parts.push(part);
                }
                parts.join(":")
            }
        };
        if id.is_empty() { Err("id: the expression gives nothing".into()) } else { Ok(id) }
    }

    /// A text that an item may lack.
    fn text(
        &self,
        field: &str,
        rule: Option<&Text>,
        item: &Fields<'_>,
    ) -> Result<Option<String>, String> {
        let text = match rule {
            None => return Ok(None),
            Some(Text::Const(text)) => Some(text.clone()),
            Some(Text::Expr(expr)) => self
                .expressions
                .text(expr, item.raw())
                .map_err(|error| format!("{field}: {error}"))?,
            Some(Text::Path(path)) => match path.of(item) {
                None => None,
                Some(value) if value.get() == "null" => None,
                Some(value) => Some(
                    scalar(value)
                        .ok_or_else(|| {
                            let kind = kind_of(value.get());
                            format!("{field}: `{path}` is {kind}: expected a text")
                        })?
                        .into_owned(),
                ),
            },
        };
        Ok(text.filter(|text| !text.is_empty()))
    }

    fn time(&self, item: &Fields<'_>) -> Result<Option<String>, String> {
        let Some(Time { path, unit }) = &self.time else { return Ok(None) };
        let value = match path.of(item) {
            Some(value) if value.get() != "null" => value,
            _ => return Ok(None),
        };
        let text = scalar(value).unwrap_or_default();
        let wrong = |expected: &str| {
            let given: String = value.get().chars().take(60).collect();
            format!("time: `{path}` is {given}: expected {expected}")
        };
        match unit {
            None if text.parse::<jiff::Timestamp>().is_ok() => Ok(Some(text.into_owned())),
            None => Err(wrong("RFC 3339, as \"2026-01-31T12:00:00Z\" (a number needs `unit`)")),
            Some(unit) => match number(&text, *unit) {
                Some(moment) => Ok(Some(moment.to_string())),
                None => Err(wrong("a number since 1970")),
            },
        }
    }
}

fn found<'a>(field: &str, path: &Path, item: &Fields<'a>) -> Result<&'a RawValue, String> {
    if !item.raw().starts_with('{') && !item.raw().starts_with('[') {
        return Err(format!("{field}: the item is {}: expected an object", kind_of(item.raw())));
    }
    path.of(item)
        .ok_or_else(|| format!("{field}: `{path}` finds nothing; the item has {}", item.names()))
}

fn number(text: &str, unit: Unit) -> Option<jiff::Timestamp> {
    let micros_per: i64 = match unit {
        Unit::S => 1_000_000,
        Unit::Ms => 1_000,
        Unit::Us => 1,
    };
    let whole: i64 = text.split('.').next()?.parse().ok()?;
    let fraction: f64 = match text.split_once('.') {
        Some((_, digits)) => format!("0.{digits}").parse().ok()?,
        None => 0.0,
    };
    #[expect(clippy::cast_possible_truncation, reason = "below one million")]
    #[expect(clippy::cast_precision_loss, reason = "at most one million")]
    let rest = (fraction * micros_per as f64) as i64;
    jiff::Timestamp::from_microsecond(whole.checked_mul(micros_per)?.checked_add(rest)?).ok()
}
