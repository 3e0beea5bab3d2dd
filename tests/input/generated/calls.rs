//! Calls made of the document: for each path and method right ones, and those that are wrong in their
//! method or body. What is wrong elsewhere is in `targets` and `headers`.

use std::{collections::BTreeSet, fmt};

use axum::http::{HeaderName, HeaderValue, Method, Request, Uri};
use bytes::Bytes;
use fastrand::Rng;
use flate2::{Compression, write::GzEncoder};
use http_body_util::Full;
use serde_json::Value;

use super::{events, headers, known::Names, targets, values::Values};

/// The longest target that a library can name.
const TARGET_BYTES_MAX: usize = 60_000;
/// Heads from here on may be refused without a problem: nothing has been read of them then.
const HEAD_BYTES: usize = 60 << 10;
const HEADERS_MAX: usize = 90;

const METHODS: [&str; 11] =
    ["HEAD", "OPTIONS", "TRACE", "PATCH", "PUT", "DELETE", "POST", "GET", "BREW", "get", "QUERY"];

/// What the document says of one path and method.
pub(super) struct Operation {
    pub method: String,
    pub path: String,
    pub parameters: Value,
    /// Of its JSON body.
    schema: Option<Value>,
    /// Whether its body is events.
    publishes: bool,
    /// Those that the document tells.
    pub statuses: BTreeSet<u16>,
}

impl Operation {
    fn new(path: &str, method: &str, said: &Value) -> Self {
        let content = &said["requestBody"]["content"];
        let schema = &content["application/json"]["schema"];
        let statuses = said["responses"].as_object().unwrap().keys();
        Self {
            method: method.to_uppercase(),
            path: path.to_owned(),
            parameters: said["parameters"].clone(),
            schema: Some(schema).filter(|schema| schema.is_object()).cloned(),
            publishes: content["application/cloudevents+json"].is_object(),
            statuses: statuses
                .filter(|status| *status != "default")
                .map(|status| status.parse().unwrap())
                .collect(),
        }
    }

    /// Its parameters of one place: name and schema.
    pub(super) fn parameters(&self, place: &str) -> Vec<(&str, &Value)> {
        let all = self.parameters.as_array().map(Vec::as_slice).unwrap_or_default();
        let of_place = all.iter().filter(|parameter| parameter["in"] == place);
        of_place.map(|one| (one["name"].as_str().unwrap(), &one["schema"])).collect()
    }

    /// Whether it gives events in one of several forms.
    pub(super) fn reads_events(&self) -> bool {
        self.method == "GET" && self.path.ends_with("/events")
    }

    /// What its body needs, which the schema does not say.
    fn needed(&self) -> &'static [&'static str] {
        match (self.method.as_str(), self.path.rsplit('/').next()) {
            ("POST", Some("subscriptions")) => &["name", "topic", "webhook", "url"],
            ("POST", Some("rewind")) => &["to"],
            ("POST", Some("cursor")) => &["cursor"],
            ("POST", Some("redrive")) | ("DELETE", Some("dead-letters")) => &["all"],
            _ => &[],
        }
    }
}

/// One request.
pub(super) struct Call {
    /// Which operation of the document it is for, when it is for one.
    pub operation: Option<usize>,
    pub method: String,
    pub target: Vec<u8>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Vec<u8>,
}

impl Call {
    /// Adds a header, when it can be sent at all.
    pub(super) fn header(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let value = HeaderValue::from_bytes(value.as_ref());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), value) {
            self.headers.push((name, value));
        }
    }

    /// The request, for the relay at `host`.
    pub(super) fn request(&self, host: &str) -> Request<Full<Bytes>> {
        let uri = Uri::try_from(self.target.as_slice()).unwrap_or_else(|_| {
            // It has bytes that no library sends as they are.
            let byte = |byte: &u8| match char::from(*byte) {
                plain if plain.is_ascii_alphanumeric() => plain.to_string(),
                plain if "/?&=%.:*-_~@+;,'()!$".contains(plain) => plain.to_string(),
                _ => format!("%{byte:02X}"),
            };
            let text: String = self.target.iter().map(byte).collect();
            Uri::try_from(&text[..text.len().min(TARGET_BYTES_MAX)]).unwrap()
        });
        let body = Full::new(Bytes::from(self.body.clone()));
        let mut request = Request::new(body);
        *request.method_mut() = Method::from_bytes(self.method.as_bytes()).unwrap();
        *request.uri_mut() = uri;
        for (name, value) in &self.headers {
            request.headers_mut().append(name, value.clone());
        }
        if !request.headers().contains_key("host") {
            request.headers_mut().insert("host", host.parse().unwrap());
        }
        request
    }

    /// Whether it may take as long as it says.
    pub(super) fn waits(&self) -> bool {
        self.target.windows(5).any(|five| five == b"wait=")
    }

    /// Whether its head is larger than what is read.
    pub(super) fn is_huge(&self) -> bool {
        let headers: usize =
            self.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        headers + self.target.len() > HEAD_BYTES || self.headers.len() > HEADERS_MAX
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut =
            |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(600)]).into_owned();
        write!(f, "{} {:?}", self.method, cut(&self.target))?;
        for (name, value) in &self.headers {
            write!(f, " {name}: {:?}", cut(value.as_bytes()))?;
        }
        write!(f, ", {} bytes: {:?}", self.body.len(), cut(&self.body))
    }
}

/// Everything that can be called.
pub(super) struct Plan {
    pub operations: Vec<Operation>,
    /// Their indexes; those that take or give events come more often, for they have most forms.
    places: Vec<usize>,
    document: Value,
}

impl Plan {
    /// All operations of an OpenAPI document.
    pub(super) fn new(document: Value) -> Self {
        let paths = document["paths"].as_object().unwrap();
        let of_path = |(path, item): (&String, &Value)| {
            let methods = item.as_object().unwrap().iter();
            methods.map(|(method, said)| Operation::new(path, method, said)).collect::<Vec<_>>()
        };
        // The first key that were made would shut out every other call.
        let operations: Vec<Operation> = paths
            .iter()
            .flat_map(of_path)
            .filter(|one| one.method == "GET" || !one.path.starts_with("/v1/keys"))
            .collect();
        assert!(operations.len() > 40, "{} operations", operations.len());
        let often = |one: &Operation| if one.publishes || one.reads_events() { 4 } else { 1 };
        let places = operations.iter().enumerate();
        let places = places.flat_map(|(index, one)| std::iter::repeat_n(index, often(one)));
        Self { places: places.collect(), operations, document }
    }

    /// One call, by what the dice say.
    pub(super) fn call(&self, known: &Names, rng: Rng) -> Call {
        let mut values =
            Values { document: &self.document, known, rng, wrong: 0, needed: &[], sparse: false };
        let values = &mut values;
        let index = values.pick(&self.places);
        let operation = &self.operations[index];
        let mut call = Call {
            operation: Some(index),
            method: operation.method.clone(),
            target: Vec::new(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        // Half of all calls are right but for the names in their paths.
        values.wrong = values.pick(&[0, 0, 0, 4, 15, 40]);
        values.sparse = values.one_in(2);
        values.needed = operation.needed();
        targets::path(operation, values, &mut call);
        targets::query(operation, values, &mut call);
        call.target.truncate(TARGET_BYTES_MAX);
        body(operation, values, &mut call);
        headers::put(operation, values, &mut call);
        if values.one_in(7) {
            call.method = values.pick(&METHODS).to_owned();
            call.operation = None;
        }
        if values.one_in(12) {
            targets::bend(values, &mut call);
        }
        call
    }
}

fn body<'a>(operation: &'a Operation, values: &mut Values<'a>, call: &mut Call) {
    if operation.method == "GET" {
        return;
    }
    if operation.publishes {
        events::put(values, call);
    } else {
        call.header("content-type", "application/json");
        call.body = match &operation.schema {
            Some(schema) => values.json(schema, "").into_bytes(),
            None => values.pick(&["", "{}"]).as_bytes().to_vec(),
        };
    }
    if values.wrong > 0 && values.one_in(4) {
        spoil(values, call);
    }
}

/// Makes a body one that nobody expects.
fn spoil(values: &mut Values<'_>, call: &mut Call) {
    let body = std::mem::take(&mut call.body);
    let half = body.len() / 2;
    call.body = match values.rng.u8(0..14) {
        0 => Vec::new(),
        1 => body[..half].to_vec(),
        2 => [b"\xef\xbb\xbf", body.as_slice()].concat(),
        3 => [body.as_slice(), b" x"].concat(),
        4 => [&body[..half], b"\xff\xc0\xaf", &body[half..]].concat(),
        5 => {
            call.header("content-encoding", "gzip");
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            std::io::Write::write_all(&mut encoder, &body).unwrap();
            encoder.finish().unwrap()
        }
        6 => [b"[", body.as_slice(), b"]"].concat(),
        7 => [body.as_slice(), body.as_slice()].concat(),
        8 => [body.as_slice(), b"\0\0"].concat(),
        9 => b"a=b&c=d".to_vec(),
        10 if values.one_in(4) => [vec![b' '; (1 << 20) + 1].as_slice(), body.as_slice()].concat(),
        11 if values.one_in(16) => vec![b'['; (8 << 20) + 1],
        _ => values.wrong_json().into_bytes(),
    };
}
