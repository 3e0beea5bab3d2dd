//! Full templates, which only the operator's own file may have.
//!
//! The operator is trusted not to ask for gigabytes; fuel and a cap on the output are for
//! mistakes.

use std::{collections::BTreeMap, fmt, io};

use bytes::Bytes;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value, value::Rest};

use super::{
    TRANSFORMED_BYTES_MAX,
    json::Document,
    names::ENVIRONMENT,
    syntax::said,
    tree::{native_scalar, tree},
    write,
};
use crate::event::{Data, Event, Topic};

/// The most bytes of a template's text.
const TEMPLATE_BYTES_MAX: usize = 64 << 10;
/// The most steps of one rendering: a few for each of 100,000 items, a tenth of a second.
const FUEL: u64 = 2_000_000;
const NAME: &str = "transform";

/// A template that was read.
pub(super) struct Template(Environment<'static>);

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Template(…)")
    }
}

impl Template {
    pub(super) fn new(text: &str) -> Result<Self, String> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(format!("has {} bytes: expected at most {TEMPLATE_BYTES_MAX}", text.len()));
        }
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        // minijinja's own panics at a divisor of zero.
        environment.add_test("divisibleby", |n: i64, by: i64| n.checked_rem(by) == Some(0));
        environment.add_filter("tojson", to_json);
        environment.set_fuel(Some(FUEL));
        environment.add_template_owned(NAME, text.to_owned()).map_err(|error| told(&error))?;
        Ok(Self(environment))
    }

    pub(super) fn render(&self, event: &Event, topic: &Topic) -> Result<Bytes, String> {
        let template = self.0.get_template(NAME).map_err(|error| told(&error))?;
        let mut out = Capped::new(TRANSFORMED_BYTES_MAX);
        match template.render_captured_to(names(event, topic)?, &mut out) {
            Ok(_) => Ok(out.into_bytes()),
            Err(_) if out.full => Err(out.problem()),
            Err(error) => Err(told(&error)),
        }
    }
}

/// minijinja's own, which indents, writes a number that is no double as a text.
fn to_json(value: &Value, arguments: Rest<Value>) -> Result<Value, Error> {
    if arguments.is_empty() {
        let failed = |problem| Error::new(ErrorKind::InvalidOperation, problem);
        return write::spaced(value).map(Value::from_safe_string).map_err(failed);
    }
    let own = std::iter::once(value.clone()).chain(arguments.0).collect::<Vec<_>>();
    ENVIRONMENT.empty_state().apply_filter("tojson", &own)
}

fn told(error: &Error) -> String {
    match error.line() {
        Some(line) => format!("line {line}: {}", said(error)),
        None => said(error),
    }
}

/// What an expression sees too.
pub(super) fn names(event: &Event, topic: &Topic) -> Result<Value, String> {
    let unreadable = |error: serde_json::Error| format!("has data that are not JSON: {error}");
    let mut names: BTreeMap<String, Value> = event.attributes.read().map_err(unreadable)?;
    let version = Value::from(crate::wire::padded(event.version));
    names.entry("topic".to_owned()).or_insert_with(|| Value::from(topic.as_str()));
    names.entry("sequence".to_owned()).or_insert_with(|| version.clone());
    names.insert("milkruntopic".to_owned(), Value::from(topic.as_str()));
    names.insert("milkrunversion".to_owned(), version);
    names.insert("specversion".to_owned(), Value::from("1.0"));
    names.insert("version".to_owned(), Value::from(event.version.0));
    match &event.data {
        Data::Json(bytes) => {
            let document = std::str::from_utf8(bytes).ok().and_then(Document::new);
            let document = document.ok_or("has data that are not JSON")?;
            names.insert("data".to_owned(), tree(&document, 0, &native_scalar)?);
        }
        Data::Text(bytes) => {
            names.insert("data".to_owned(), Value::from(String::from_utf8_lossy(bytes)));
        }
        Data::None | Data::Binary(_) => {}
    }
    Ok(Value::from(names))
}

/// Bytes up to a limit; a write beyond it fails.
pub(super) struct Capped {
    bytes: Vec<u8>,
    bytes_max: usize,
    full: bool,
}

impl Capped {
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), bytes_max, full: false }
    }

    pub(super) fn into_bytes(self) -> Bytes {
        self.bytes.into()
    }

    fn problem(&self) -> String {
        format!("makes more than {} bytes of this event", self.bytes_max)
    }
}

impl io::Write for Capped {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + part.len() > self.bytes_max {
            self.full = true;
            return Err(io::Error::other(self.problem()));
        }
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
