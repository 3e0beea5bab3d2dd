//! One item of a page: what makes it an event.
//!
//! Only an id that cannot be had, or an item over its size or depth, costs the event. Every other
//! attribute that cannot be read is left out and counted, unless `on_error: reject` says otherwise.

use bytes::Bytes;
use jiff::tz::TimeZone;
use serde_json::value::RawValue;

use super::{
    edge::hash,
    error::SpecError,
    excerpt::excerpt,
    expr::{Expressions, ITEM},
    rules::{IdRule, Made, OnError, TextRule, TimeRule, TimeWritten},
    spec::Spec,
    times,
};
use crate::{
    Draft,
    extract::{Fields, Path, deeper_than, is_broken, kind_of, scalar},
    moment::{Moment, Reading, Unit},
};

/// The longest text that is taken for an attribute: it travels in a header of every delivery.
const ATTRIBUTE_BYTES_MAX: usize = 4_096;

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
    item_bytes_max: usize,
    depth_max: usize,
}

/// Why an item is no event.
pub(super) struct Unfit {
    /// For a person, naming the field.
    pub(super) reason: String,
    /// Whether it has no id.
    pub(super) nameless: bool,
}

impl From<String> for Unfit {
    fn from(reason: String) -> Self {
        Self { reason, nameless: false }
    }
}

/// An item as an event, and what of it could not be read: fields and why.
pub(super) struct Drafted {
    pub(super) draft: Draft,
    pub(super) errors: Vec<(&'static str, String)>,
}

#[derive(Debug)]
enum Id {
    Paths(Vec<Path>),
    Expr(String),
}

#[derive(Debug)]
struct Text {
    way: Way,
    on_error: OnError,
}

#[derive(Debug)]
enum Way {
    Path(Path),
    Const(String),
    Expr(String),
}

#[derive(Debug)]
struct Time {
    path: Path,
    unit: Option<Unit>,
    reading: Reading,
    on_error: OnError,
}

impl Reader {
    pub(super) fn new(spec: &Spec) -> Result<Self, SpecError> {
        let expressions = Expressions::new();
        let id = match &spec.id {
            IdRule::Path(path) => Id::Paths(vec![Path::new(path)]),
            IdRule::Paths(paths) => Id::Paths(paths.iter().map(|path| Path::new(path)).collect()),
            IdRule::Expr(expression) => {
                let check = expressions.check(&expression.expr, &ITEM);
                check.map_err(|problem| SpecError { field: "id.expr", problem })?;
                Id::Expr(expression.expr.clone())
            }
        };
        let first_id = match &id {
            Id::Paths(paths) => paths.first().cloned(),
            Id::Expr(_) => None,
        };
        let text = |field, rule| text(field, rule, &expressions);
        Ok(Self {
            id,
            first_id,
            source: spec.effective_source(),
            kind: text("type", spec.kind.as_ref())?,
            default_kind: spec.default_kind.clone(),
            time: spec.time.as_ref().map(Time::new).transpose()?,
            key: text("key", spec.key.as_ref())?,
            subject: text("subject", spec.subject.as_ref())?,
            item_bytes_max: spec.limits.item_bytes_max,
            depth_max: spec.limits.depth_max,
            expressions,
        })
    }

    /// An item, whose data is `data`, as an event; or why it is none.
    pub(super) fn draft(&self, item: &Fields<'_>, data: Bytes) -> Result<Drafted, Unfit> {
        if data.len() > self.item_bytes_max {
            let max = self.item_bytes_max;
            let bytes = data.len();
            return Err(format!(
                "the item has {bytes} bytes: expected at most {max} (`limits.event_bytes`)"
            )
            .into());
        }
        if deeper_than(&data, self.depth_max) {
            let max = self.depth_max;
            return Err(format!("the item is nested deeper than {max} (`limits.depth`)").into());
        }
        let mut errors = Vec::new();
        let id = self.id(item, &data).map_err(|reason| Unfit { reason, nameless: true })?;
        let kind = self.optional("type", self.kind.as_ref(), item, &data, &mut errors)?;
        let draft = Draft {
            id,
            source: self.source.clone(),
            kind: kind.unwrap_or_else(|| self.default_kind.clone()),
            time: self.time(item, &mut errors)?.map(|moment| moment.rfc3339()),
            subject: self.optional("subject", self.subject.as_ref(), item, &data, &mut errors)?,
            key: self.optional("key", self.key.as_ref(), item, &data, &mut errors)?,
            content_type: None,
            data,
        };
        Ok(Drafted { draft, errors })
    }

    /// The text at `path`, or at the first path of `id`.
    pub(super) fn raw_id(&self, path: Option<&Path>, item: &Fields<'_>) -> Option<String> {
        let path = path.or(self.first_id.as_ref())?;
        path.of(item).and_then(scalar).map(std::borrow::Cow::into_owned)
    }

    /// When the item happened by the rule `time`, if it says so readably.
    pub(super) fn moment(&self, item: &Fields<'_>) -> Option<Moment> {
        self.time.as_ref()?.read(item).ok().flatten()
    }

    fn id(&self, item: &Fields<'_>, data: &Bytes) -> Result<String, String> {
        let id = match &self.id {
            Id::Expr(expr) => {
                let value = self.expressions.text(expr, item.whole(), data);
                value.map_err(|error| format!("id: {error}"))?.unwrap_or_default()
            }
            Id::Paths(paths) => {
                let mut parts = Vec::with_capacity(paths.len());
                for (at, path) in paths.iter().enumerate() {
                    let part = id_part(path, item)?;
                    let last = at + 1 == paths.len();
                    parts.push(if last { part } else { apart(part) });
                }
                parts.join(":")
            }
        };
        if id.is_empty() {
            return Err("id: the expression gives nothing".into());
        }
        Ok(id)
    }

    /// An attribute that an event may lack.
    fn optional(
        &self,
        field: &'static str,
        rule: Option<&Text>,
        item: &Fields<'_>,
        data: &Bytes,
        errors: &mut Vec<(&'static str, String)>,
    ) -> Result<Option<String>, String> {
        let Some(rule) = rule else { return Ok(None) };
        let text = self.text(rule, item, data).and_then(|text| usable(text, field));
        keep(field, text, rule.on_error, errors)
    }

    fn text(&self, rule: &Text, item: &Fields<'_>, data: &Bytes) -> Result<Option<String>, String> {
        match &rule.way {
            Way::Const(text) => Ok(Some(text.clone())),
            Way::Expr(expr) => self.expressions.text(expr, item.whole(), data),
            Way::Path(path) => match path.of(item) {
                None => Ok(None),
                Some(value) if value.get() == "null" => Ok(None),
                Some(value) => scalar(value).map(|text| Some(text.into_owned())).ok_or_else(|| {
                    format!("`{path}` is {}: expected a text", kind_of(value.get()))
                }),
            },
        }
    }

    fn time(
        &self,
        item: &Fields<'_>,
        errors: &mut Vec<(&'static str, String)>,
    ) -> Result<Option<Moment>, String> {
        match &self.time {
            None => Ok(None),
            Some(rule) => keep("time", rule.read(item), rule.on_error, errors),
        }
    }
}

/// What an attribute became: without it, counted, or with the whole item rejected.
fn keep<T>(
    field: &'static str,
    read: Result<Option<T>, String>,
    on_error: OnError,
    errors: &mut Vec<(&'static str, String)>,
) -> Result<Option<T>, String> {
    match (read, on_error) {
        (Ok(value), _) => Ok(value),
        (Err(problem), OnError::Reject) => Err(format!("{field}: {problem}")),
        (Err(problem), OnError::Omit) => {
            errors.push((field, problem));
            Ok(None)
        }
    }
}

/// A text that may stand in an attribute (`CloudEvents` 1.0.2, "Type System": no control
/// characters).
fn usable(text: Option<String>, field: &str) -> Result<Option<String>, String> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.len() > ATTRIBUTE_BYTES_MAX {
        let bytes = text.len();
        return Err(format!("has {bytes} bytes: expected at most {ATTRIBUTE_BYTES_MAX}"));
    }
    if text.chars().any(char::is_control) {
        let given = excerpt(text.as_bytes(), 60);
        return Err(format!("`{given}` has a control character, which no {field} may have"));
    }
    Ok(Some(text))
}

fn text(
    field: &'static str,
    rule: Option<&TextRule>,
    expressions: &Expressions,
) -> Result<Option<Text>, SpecError> {
    let made = match rule {
        None => return Ok(None),
        Some(TextRule::Path(path)) => Made { path: Some(path.clone()), ..Made::default() },
        Some(TextRule::Made(made)) => made.clone(),
    };
    let on_error = made.on_error;
    let way = match made {
        Made { path: Some(path), .. } => Way::Path(Path::new(&path)),
        Made { constant: Some(text), .. } => Way::Const(text),
        Made { expr: Some(expr), .. } => {
            expressions.check(&expr, &ITEM).map_err(|problem| SpecError { field, problem })?;
            Way::Expr(expr)
        }
        Made { .. } => {
            let problem = "expected one of `path`, `const` and `expr`".into();
            return Err(SpecError { field, problem });
        }
    };
    Ok(Some(Text { way, on_error }))
}

impl Time {
    fn new(rule: &TimeRule) -> Result<Self, SpecError> {
        let rule = match rule {
            TimeRule::Path(path) => TimeWritten { path: path.clone(), ..TimeWritten::default() },
            TimeRule::Written(written) => written.clone(),
        };
        times::check("time", rule.format.as_deref(), rule.zone.as_deref(), rule.unit)?;
        let zone = rule.zone.as_deref().and_then(|name| TimeZone::get(name).ok());
        let (unit, format) = match rule.format.as_deref() {
            Some("unix") => (Some(Unit::S), None),
            Some("unix_ms") => (Some(Unit::Ms), None),
            _ => (rule.unit, rule.format),
        };
        let reading = Reading { zone, format };
        Ok(Self { path: Path::new(&rule.path), unit, reading, on_error: rule.on_error })
    }

    fn read(&self, item: &Fields<'_>) -> Result<Option<Moment>, String> {
        let path = &self.path;
        let value = match path.of(item) {
            Some(value) if !matches!(value.get(), "null" | "\"\"") => value,
            _ => return Ok(None),
        };
        let given = || excerpt(value.get().as_bytes(), 60);
        let Some(text) = scalar(value) else {
            return Err(format!("`{path}` is {}: expected a text or number", given()));
        };
        let is_text = value.get().starts_with('"');
        let read = match self.unit {
            Some(unit) => Moment::of_number(&text, unit),
            None if is_text => Moment::read(&text, &self.reading),
            None => {
                let expected =
                    "expected a text, as \"2026-01-31T12:00:00Z\"; a number needs `unit`";
                return Err(format!("`{path}` is {}: {expected}", given()));
            }
        };
        read.map(Some).map_err(|error| format!("`{path}`: {error}"))
    }
}

/// A part that another follows, so that no two ids look the same: the first colon that is not
/// escaped ends it.
fn apart(part: String) -> String {
    if part.contains([':', '\\']) { part.replace('\\', "\\\\").replace(':', "\\:") } else { part }
}

/// One part of an id. Half a character in it becomes U+FFFD, and a hash keeps it apart from others
/// that look the same then.
fn id_part(path: &Path, item: &Fields<'_>) -> Result<String, String> {
    if !item.raw().starts_with('{') && !item.raw().starts_with('[') {
        return Err(format!("id: the item is {}: expected an object", kind_of(item.raw())));
    }
    let value: &RawValue = path
        .of(item)
        .ok_or_else(|| format!("id: `{path}` finds nothing; the item has {}", item.names()))?;
    let part = scalar(value).filter(|part| !part.is_empty()).ok_or_else(|| {
        format!(
            "id: `{path}` is {}: expected a text or a number that is not empty",
            if value.get() == "\"\"" { "empty" } else { kind_of(value.get()) }
        )
    })?;
    if is_broken(value) {
        let apart = hash(value.get().as_bytes()) >> 96;
        return Ok(format!("{part}~{apart:08x}"));
    }
    Ok(part.into_owned())
}
