//! Binary mode: the attributes are headers, the body is the data (HTTP Protocol Binding, 3.1).

use bytes::Bytes;
use http::HeaderMap;
use serde_json::value::RawValue;

use super::{Candidate, Refused, finish, nested};
use crate::{
    event::{Data, NewEvent},
    wire,
};

/// The event of one request; `kind` is its `Content-Type`, `essence` that without parameters.
pub(super) fn event(
    headers: &HeaderMap,
    kind: &str,
    essence: &str,
    body: &Bytes,
) -> Result<NewEvent, Refused> {
    let mut candidate = Candidate::default();
    let mut specversion = None;
    for name in headers.keys() {
        let Some(attribute) = name.as_str().strip_prefix("ce-") else { continue };
        let mut values = headers.get_all(name).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(Refused::new(attribute, "the header is given twice"));
        };
        let text = decode(value.as_bytes())
            .ok_or_else(|| Refused::new(attribute, "the header is not percent-encoded UTF-8"))?;
        match attribute {
            "specversion" => specversion = Some(text),
            "datacontenttype" => {
                return Err(Refused::new(attribute, "in binary mode `Content-Type` says it"));
            }
            _ => candidate.set(attribute, text.into()),
        }
    }
    if !kind.is_empty() {
        candidate.content_type = Some(kind.into());
    }
    candidate.data = data(essence, body)?;
    finish(specversion.as_deref(), candidate)
}

fn data(essence: &str, body: &Bytes) -> Result<Data, Refused> {
    if body.is_empty() {
        return Ok(Data::None);
    }
    if wire::is_json(essence) {
        serde_json::from_slice::<&RawValue>(body)
            .map_err(|error| Refused::new("data", format!("is not JSON as said: {error}")))?;
        return nested(body.clone());
    }
    if essence.starts_with("text/") && std::str::from_utf8(body).is_ok() {
        return Ok(Data::Text(body.clone()));
    }
    Ok(Data::Binary(body.clone()))
}

/// A header's value as an attribute: quotes removed, percent-encoding undone (3.1.3.2).
fn decode(value: &[u8]) -> Option<String> {
    let unquoted = match value {
        [b'"', inner @ .., b'"'] => {
            let mut escaped = false;
            let keep = |byte: &&u8| {
                escaped = **byte == b'\\' && !escaped;
                !escaped
            };
            inner.iter().filter(keep).copied().collect()
        }
        plain => plain.to_vec(),
    };
    let mut bytes = Vec::with_capacity(unquoted.len());
    let mut rest = unquoted.as_slice();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if let (b'%', [high, low, tail @ ..]) = (first, tail)
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            bytes.push(high << 4 | low);
            rest = tail;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values_are_decoded() {
        for (value, expected) in [
            ("plain", Some("plain")),
            ("Euro%20%E2%82%AC", Some("Euro €")),
            ("100%", Some("100%")),
            ("%zz", Some("%zz")),
            ("\"a \\\"b\\\" \\\\\"", Some("a \"b\" \\")),
            ("%ff", None),
        ] {
            assert_eq!(decode(value.as_bytes()).as_deref(), expected, "{value}");
        }
    }
}
