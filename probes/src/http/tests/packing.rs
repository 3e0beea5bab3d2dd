//! Bodies as they go over the wire: packed, in an encoding, in pieces.

use std::io::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use encoding_rs::Encoding;
use flate2::Compression;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use tower::util::BoxCloneSyncService;

use super::super::{
    fetch::{Answer, Fault, fetch},
    limits::Limits,
};
use crate::{Budget, FailureKind, Network};

pub(super) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut coder = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
    coder.write_all(data).unwrap();
    coder.finish().unwrap()
}

pub(super) fn zlib(data: &[u8]) -> Vec<u8> {
    let mut coder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::default());
    coder.write_all(data).unwrap();
    coder.finish().unwrap()
}

pub(super) fn deflate(data: &[u8]) -> Vec<u8> {
    let mut coder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::default());
    coder.write_all(data).unwrap();
    coder.finish().unwrap()
}

pub(super) fn zstd(data: &[u8]) -> Vec<u8> {
    compress_to_vec(data, CompressionLevel::Fastest)
}

/// As blocks that are not compressed (RFC 7932, section 9.2).
pub(super) fn brotli(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, block) in data.chunks(1 << 16).enumerate() {
        // The first bit of all says that the window is 64 KiB; it is not there again.
        let shift = if at == 0 { 4 } else { 3 };
        let head = (u32::try_from(block.len()).unwrap() - 1) << shift | 1 << (shift + 16);
        out.extend_from_slice(&head.to_le_bytes()[..3]);
        out.extend_from_slice(block);
    }
    out.push(if data.is_empty() { 6 } else { 3 });
    out
}

/// [`page`] by a real compressor, in base64.
const BROTLI_PAGE: &str = "G9QK+D0cb4zaakPXLdPsKyZs1h4LvgOlylTEyyv5xDkjeGhLOzqyEmTNvVdx2IBDHy0Ylk6Wrr7QaZGyL7oNIkI3jHrongHAGzygw8XPGHFAYRgolQUk8MT//1nUhwcmUL/wC36JD/ABfg++JCcWz0Zufpjjhdr6wqwXejvkyWDtCrOnMZDL5YK9O2rCwtkTSdm4e6PtCG9fDDV8j3BA3I4H5GbtEIfaqgu06O2fCF0NLKgithsjue1ssKFLPSgcmHK1jAtbpZTw4CKo5plwItzWCySwunWHAtWUuGhwrejBgqoD0hjJbW6CvfuRkL3CgSl6aVzYEsfCk7tch2fGgVGeDJDAqtQeClRxYdHgalqDJXU7VWMgNcMONnRtsIUDU2fAuHsfGTgJT+51t/gc";

/// Nine MiB of `1` by a real compressor, in base64.
const BROTLI_BOMB: &str = "y///P/glYuKxQCD3/q/+/x+/BEAcFgHo3j8A";

pub(super) fn brotli_page() -> Vec<u8> {
    BASE64_STANDARD.decode(BROTLI_PAGE).unwrap()
}

pub(super) fn brotli_bomb() -> Vec<u8> {
    BASE64_STANDARD.decode(BROTLI_BOMB).unwrap()
}

/// A page as producers give it.
pub(super) fn page() -> String {
    let item = |at| {
        let note = at * 7919;
        format!(r#"{{"id":"evt_{at}","at":"2026-03-01T10:00:{at:02}Z","note":"naïve €{note}"}}"#)
    };
    format!("[{}]", (0..40).map(item).collect::<Vec<_>>().join(","))
}

pub(super) fn utf_16(text: &str, little: bool) -> Vec<u8> {
    let unit = |unit: u16| if little { unit.to_le_bytes() } else { unit.to_be_bytes() };
    text.encode_utf16().flat_map(unit).collect()
}

pub(super) fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// A network that answers with these frames.
pub(super) fn network(status: u16, headers: &[(&str, &str)], frames: Vec<Bytes>) -> Network {
    let headers: Vec<(String, Vec<u8>)> = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
        .collect();
    BoxCloneSyncService::new(tower::service_fn(move |_: Request<Bytes>| {
        let frames = frames.clone().into_iter().map(|data| Ok(Frame::data(data)));
        let body = StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync();
        let mut answer = Response::builder().status(status);
        for (name, value) in &headers {
            answer = answer.header(name, value.as_slice());
        }
        let answer = answer.body(body).unwrap();
        async move { Ok(answer) }
    }))
}

pub(super) async fn read(
    headers: &[(&str, &str)],
    frames: Vec<Bytes>,
    charset: Option<&str>,
    limits: &Limits,
) -> Result<Answer, Fault> {
    let budget = Budget::new(64 << 20);
    let charset = charset.and_then(|label| Encoding::for_label(label.as_bytes()));
    let network = network(200, headers, frames);
    let timeout = std::time::Duration::from_secs(20);
    let answer =
        fetch(&network, &budget, Request::new(Bytes::new()), limits, charset, timeout).await;
    match &answer {
        Ok(answer) => assert_eq!(budget.held_bytes(), answer.held.bytes()),
        Err(_) => assert_eq!(budget.held_bytes(), 0, "the memory is given back"),
    }
    answer
}

pub(super) const TEXT: &str = r#"[{"id":"a1"},{"id":"é€😀"}]"#;

/// What a body comes to: the text, and a part of each warning; or the kind of the fault, and parts
/// of its text.
pub(super) enum Right {
    Text(&'static str, &'static [&'static str]),
    Fault(FailureKind, &'static [&'static str]),
}
pub(super) const MALFORMED: fn(&'static [&'static str]) -> Right =
    |says| Right::Fault(FailureKind::Malformed, says);
pub(super) const TOO_LARGE: fn(&'static [&'static str]) -> Right =
    |says| Right::Fault(FailureKind::TooLarge, says);

pub(super) const NONE: &[(&str, &str)] = &[];
/// Headers, body, and what is right.
pub(super) type Row = (&'static [(&'static str, &'static str)], Vec<u8>, Right);

/// Reads each row and compares.
pub(super) async fn hold(rows: Vec<Row>, charset: Option<&str>) {
    let limits =
        Limits { wire_bytes_max: 200_000, decoded_bytes_max: 300_000, ..Limits::default() };
    for (at, (headers, body, right)) in rows.into_iter().enumerate() {
        let row = format!(
            "row {at}: {headers:?} {:?}",
            String::from_utf8_lossy(&body[..body.len().min(60)])
        );
        match (read(headers, vec![body.into()], charset, &limits).await, right) {
            (Ok(answer), Right::Text(text, warnings)) => {
                assert_eq!(answer.body, text, "{row}");
                assert_eq!(answer.warnings.len(), warnings.len(), "{row} {:?}", answer.warnings);
                for (warning, part) in answer.warnings.iter().zip(warnings) {
                    assert!(warning.contains(part), "{row}: {warning}");
                }
            }
            (Err(fault), Right::Fault(kind, says)) => {
                assert_eq!(fault.kind, kind, "{row}: {}", fault.problem);
                for part in says {
                    assert!(fault.problem.contains(part), "{row}: {}", fault.problem);
                }
                assert_eq!(fault.seen.unwrap().status, StatusCode::OK, "{row}");
            }
            (Ok(answer), Right::Fault(..)) => panic!("{row}: read {answer:?}"),
            (Err(fault), Right::Text(..)) => panic!("{row}: {}", fault.problem),
        }
    }
}
