//! From the bytes of a publish to events that can be numbered: the modes of the CloudEvents HTTP
//! binding 1.0.2.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, header};
use serde_json::value::RawValue;

use self::fields::Fields;
use super::{
    BATCH, STRUCTURED,
    candidate::{Candidate, Refused, TEXTS},
    essence,
};
use crate::event::{Data, NewEvent};

mod binary;
mod fields;
#[cfg(test)]
mod tests;

const EVENTS_MAX: usize = 10_000;
const DEPTH_MAX: usize = 64;

/// Why a request has no events that can be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The headers name no mode of CloudEvents.
    #[error(
        "expected `Content-Type: {}` or `{}`, or `ce-` headers with `ce-specversion`",
        STRUCTURED,
        BATCH
    )]
    Mode,
    /// The body is not the JSON that the headers name.
    #[error("{0}")]
    Malformed(String),
    /// No event, or too many.
    #[error("expected 1 to {max} events, not {0}", max = EVENTS_MAX)]
    Count(usize),
    /// An event breaks a rule.
    #[error("event {index}: {refused}")]
    Event {
        /// Which, from 0.
        index: usize,
        /// The rule.
        refused: Refused,
    },
}

/// The events of a request, in the order sent.
///
/// # Errors
/// The first event that breaks a rule, or why none can be read.
pub fn read(headers: &HeaderMap, body: &Bytes) -> Result<Vec<NewEvent>, ReadError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.unwrap_or_default();
    let essence = essence(kind);
    let single = |event: Result<NewEvent, Refused>| {
        event.map(|event| vec![event]).map_err(|refused| ReadError::Event { index: 0, refused })
    };
    match essence.as_str() {
        STRUCTURED => single(structured(body, json(body)?)),
        BATCH => batch(body),
        _ if headers.contains_key("ce-specversion") => {
            single(binary::event(headers, kind, &essence, body))
        }
        _ => Err(ReadError::Mode),
    }
}

fn batch(body: &Bytes) -> Result<Vec<NewEvent>, ReadError> {
    // In one go; what is wrong is found out, with its place, by looking again.
    if let Ok(items) = serde_json::from_str::<Vec<Fields<'_>>>(utf8(body)?) {
        return each(items, |Fields(fields)| assemble(body, fields));
    }
    each(json::<Vec<&RawValue>>(body)?, |item| structured(body, item))
}

fn each<T>(
    items: Vec<T>,
    event: impl Fn(T) -> Result<NewEvent, Refused>,
) -> Result<Vec<NewEvent>, ReadError> {
    if !(1..=EVENTS_MAX).contains(&items.len()) {
        return Err(ReadError::Count(items.len()));
    }
    let event = |(index, item)| event(item).map_err(|refused| ReadError::Event { index, refused });
    items.into_iter().enumerate().map(event).collect()
}

fn utf8(body: &[u8]) -> Result<&str, ReadError> {
    std::str::from_utf8(body).map_err(|error| {
        let detail = format!("the body is not UTF-8 at byte {}", error.valid_up_to());
        ReadError::Malformed(detail)
    })
}

fn json<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, ReadError> {
    serde_json::from_str(utf8(body)?).map_err(|error| {
        let detail = if error.is_data() {
            "a batch is a JSON array of events"
        } else {
            "the body is not JSON"
        };
        ReadError::Malformed(format!("{detail}: {error}"))
    })
}

/// One event in the JSON format.
fn structured(body: &Bytes, text: &RawValue) -> Result<NewEvent, Refused> {
    let Fields(fields) = serde_json::from_str(text.get())
        .map_err(|error| Refused::new("event", format!("expected a JSON object: {error}")))?;
    assemble(body, fields)
}

fn assemble(body: &Bytes, fields: Vec<(Cow<'_, str>, &RawValue)>) -> Result<NewEvent, Refused> {
    let mut candidate = Candidate::default();
    let mut specversion = None;
    for (name, raw) in fields {
        // The JSON format: an attribute that is null is as good as absent.
        if raw.get() == "null" && name != "data" {
            continue;
        }
        match &*name {
            "data" | "data_base64" if candidate.data != Data::None => {
                return Err(Refused::new(&name, "`data` and `data_base64` cannot both be given"));
            }
            "data" => candidate.data = nested(body.slice_ref(raw.get().as_bytes()))?,
            "data_base64" => candidate.data = fields::base64(raw)?,
            "specversion" => specversion = Some(fields::text(&name, raw)?),
            _ if raw.get().starts_with('"') || TEXTS.contains(&&*name) => {
                candidate.set(&name, fields::text(&name, raw)?);
            }
            _ => {
                let value = fields::scalar(&name, raw)?;
                candidate.extensions.insert(name.into_owned(), value);
            }
        }
    }
    finish(specversion.as_deref(), candidate)
}

fn finish(specversion: Option<&str>, candidate: Candidate<'_>) -> Result<NewEvent, Refused> {
    if specversion != Some("1.0") {
        return Err(Refused::new("specversion", "expected `1.0`"));
    }
    candidate.admit()
}

/// Valid JSON as data, unless it is nested too deep for whoever receives it.
fn nested(json: Bytes) -> Result<Data, Refused> {
    if probes::deeper_than(&json, DEPTH_MAX) {
        return Err(Refused::new("data", format!("is nested deeper than {DEPTH_MAX}")));
    }
    Ok(Data::Json(json))
}
