//! From the bytes of a publish to events that can be numbered.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde_json::value::RawValue;

use self::fields::Fields;
use super::{problem::Problem, query::cut};
use crate::{
    event::Data,
    store::NewEvent,
    wire::{self, Attributes, EVENT_BYTES_MAX},
};

mod binary;
mod fields;
#[cfg(test)]
mod tests;

const EVENTS_MAX: usize = 10_000;
const DEPTH_MAX: usize = 64;

/// Which attribute is not as it should be, and how it should be.
struct Refused {
    attribute: String,
    problem: String,
}

impl Refused {
    fn new(attribute: &str, problem: impl Into<String>) -> Self {
        Self { attribute: cut(attribute), problem: problem.into() }
    }

    fn at(self, index: usize) -> Problem {
        let detail = format!("event {index}: `{}`: {}", self.attribute, self.problem);
        Problem::field(&self.attribute, detail).with("index", index)
    }
}

/// The events of a request, in the order sent.
///
/// # Errors
/// 415 when the headers name no mode of CloudEvents, 400 when the body is not JSON, 422 with
/// `index` and `field` for the first event that breaks a rule.
pub(super) fn events(headers: &HeaderMap, body: &Bytes) -> Result<Vec<NewEvent>, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        wire::STRUCTURED => {
            let event: &RawValue = json(body)?;
            Ok(vec![structured(body, event).map_err(|refused| refused.at(0))?])
        }
        wire::BATCH => batch(body),
        _ if headers.contains_key("ce-specversion") => {
            Ok(vec![binary::event(headers, kind, &essence, body).map_err(|refused| refused.at(0))?])
        }
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            format!(
                "expected `Content-Type: {}` or `{}`, or `ce-` headers with `ce-specversion`",
                wire::STRUCTURED,
                wire::BATCH
            ),
        )),
    }
}

fn batch(body: &Bytes) -> Result<Vec<NewEvent>, Problem> {
    // In one go; what is wrong is found out, with its place, by looking again.
    let text = utf8(body)?;
    if let Ok(items) = serde_json::from_str::<Vec<Fields<'_>>>(text) {
        check_count(items.len())?;
        let event = |(index, Fields(fields))| {
            assemble(body, fields).map_err(|refused: Refused| refused.at(index))
        };
        return items.into_iter().enumerate().map(event).collect();
    }
    let items: Vec<&RawValue> = json(body)?;
    check_count(items.len())?;
    let event =
        |(index, item)| structured(body, item).map_err(|refused: Refused| refused.at(index));
    items.into_iter().enumerate().map(event).collect()
}

fn check_count(count: usize) -> Result<(), Problem> {
    if (1..=EVENTS_MAX).contains(&count) {
        return Ok(());
    }
    let detail = format!("expected 1 to {EVENTS_MAX} events, not {count}");
    Err(Problem::field("", detail))
}

fn utf8(body: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(body).map_err(|error| {
        let detail = format!("the body is not UTF-8 at byte {}", error.valid_up_to());
        Problem::malformed(detail)
    })
}

fn json<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_str(utf8(body)?).map_err(|error| {
        let detail = if error.is_data() {
            "a batch is a JSON array of events"
        } else {
            "the body is not JSON"
        };
        Problem::malformed(format!("{detail}: {error}"))
    })
}

/// One event in the JSON format.
fn structured(body: &Bytes, text: &RawValue) -> Result<NewEvent, Refused> {
    let Fields(fields) = serde_json::from_str(text.get())
        .map_err(|error| Refused::new("event", format!("expected a JSON object: {error}")))?;
    assemble(body, fields)
}

fn assemble(body: &Bytes, fields: Vec<(Cow<'_, str>, &RawValue)>) -> Result<NewEvent, Refused> {
    let mut attributes = Attributes::default();
    let mut specversion = None;
    let mut data = Data::None;
    for (name, raw) in fields {
        // The JSON format: an attribute that is null is as good as absent.
        if raw.get() == "null" && name != "data" {
            continue;
        }
        match &*name {
            "data" | "data_base64" if data != Data::None => {
                return Err(Refused::new(&name, "`data` and `data_base64` cannot both be given"));
            }
            "data" => {
                check_depth(raw.get().as_bytes())?;
                data = Data::Json(body.slice_ref(raw.get().as_bytes()));
            }
            "data_base64" => data = fields::base64(raw)?,
            "specversion" => specversion = Some(fields::text(&name, raw)?),
            "id" => attributes.id = fields::text(&name, raw)?,
            "source" => attributes.source = fields::text(&name, raw)?,
            "type" => attributes.kind = fields::text(&name, raw)?,
            _ => put(&mut attributes, &name, fields::value(&name, raw)?)?,
        }
    }
    finish(specversion.as_deref(), &attributes, data)
}

/// Puts one attribute into its place.
fn put(
    attributes: &mut Attributes<'_>,
    name: &str,
    value: serde_json::Value,
) -> Result<(), Refused> {
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => Ok(Cow::Owned(text)),
        _ => Err(Refused::new(name, "expected a text")),
    };
    match name {
        "id" => attributes.id = text(value)?,
        "source" => attributes.source = text(value)?,
        "type" => attributes.kind = text(value)?,
        "subject" => attributes.subject = Some(text(value)?),
        "time" => attributes.time = Some(text(value)?),
        "datacontenttype" => attributes.content_type = Some(text(value)?),
        "dataschema" => attributes.schema = Some(text(value)?),
        "deliverat" | "expirytime" => {
            let moment = wire::rfc3339(name, &text(value)?)
                .map_err(|error| Refused::new(name, error.problem))?;
            attributes.extensions.insert(name.to_owned(), moment.into());
        }
        "priority" => {
            attributes.extensions.insert(name.to_owned(), priority(&value)?.into());
        }
        _ => {
            attributes.extensions.insert(name.to_owned(), value);
        }
    }
    Ok(())
}

/// A whole number from 0 to 9; in binary mode it comes as a text.
fn priority(value: &serde_json::Value) -> Result<u8, Refused> {
    let number = match value {
        serde_json::Value::String(text) => text.parse().ok(),
        other => other.as_u64().and_then(|number| u8::try_from(number).ok()),
    };
    number
        .filter(|number| *number <= 9)
        .ok_or_else(|| Refused::new("priority", "expected a whole number from 0 to 9"))
}

fn finish(
    specversion: Option<&str>,
    attributes: &Attributes<'_>,
    data: Data,
) -> Result<NewEvent, Refused> {
    if specversion != Some("1.0") {
        return Err(Refused::new("specversion", "expected `1.0`"));
    }
    let encoded =
        attributes.encode().map_err(|error| Refused::new(&error.attribute, error.problem))?;
    let bytes = encoded.len() + data.bytes().len();
    if bytes > EVENT_BYTES_MAX {
        let problem = format!("the event has {bytes} bytes; at most {EVENT_BYTES_MAX} are kept");
        return Err(Refused::new("data", problem));
    }
    Ok(NewEvent {
        source: attributes.source.clone().into_owned(),
        id: attributes.id.clone().into_owned(),
        attributes: encoded.into(),
        data,
        deliver_at: attributes
            .extensions
            .get("deliverat")
            .and_then(|due| due.as_str()?.parse().ok()),
    })
}

/// Refuses JSON that is nested too deep; `text` is valid JSON.
fn check_depth(text: &[u8]) -> Result<(), Refused> {
    // Most data has fewer brackets than may be nested.
    if text.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() <= DEPTH_MAX {
        return Ok(());
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    let problem = format!("is nested deeper than {DEPTH_MAX}");
                    return Err(Refused::new("data", problem));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}
