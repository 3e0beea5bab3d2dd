//! One request and its whole answer, within one deadline and counted byte by byte.

use std::{
    io::{self, Write},
    time::Duration,
};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::spec::Limits;
use crate::{Budget, FailureKind, Held, Network};

/// So much room is made on the word of an answer's head; the rest when it comes.
const EXPECTED_BYTES_MAX: usize = 4 << 20;

/// What came back, decoded.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Empty unless the status is a success.
    pub(super) body: Bytes,
    /// What the body counts for in the budget.
    pub(super) held: Held,
}

/// Why there is no whole answer: the kind and a text that names no URL.
pub(super) type Fault = (FailureKind, String);

/// Sends `request` and reads the answer.
pub(super) async fn fetch(
    network: &Network,
    budget: &Budget,
    request: Request<Bytes>,
    limits: &Limits,
    timeout: Duration,
) -> Result<Answer, Fault> {
    tokio::time::timeout(timeout, exchange(network, budget, request, limits)).await.unwrap_or_else(
        |_| Err((FailureKind::Timeout, format!("no whole answer within {timeout:?}"))),
    )
}

async fn exchange(
    network: &Network,
    budget: &Budget,
    request: Request<Bytes>,
    limits: &Limits,
) -> Result<Answer, Fault> {
    let mut held = budget.hold().await;
    let answer = network.clone().oneshot(request).await.map_err(|error| no_answer(&error))?;
    let (parts, mut body) = answer.into_parts();
    if !parts.status.is_success() {
        let (status, headers) = (parts.status, parts.headers);
        return Ok(Answer { status, headers, body: Bytes::new(), held });
    }
    let mut decoder = Decoder::new(&parts.headers, limits.decoded_bytes_max)?;
    let length = parts.headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or(0_usize);
    let expected = length.min(limits.wire_bytes_max).min(EXPECTED_BYTES_MAX);
    held.grow(expected).await;
    decoder.expect(expected);
    let mut wire_bytes = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken_off(&error))?;
        let Ok(data) = frame.into_data() else { continue };
        wire_bytes += data.len();
        if wire_bytes > limits.wire_bytes_max {
            let max = limits.wire_bytes_max;
            return Err((FailureKind::TooLarge, format!("the answer is larger than {max} bytes")));
        }
        decoder.write(&data)?;
        held.grow(decoder.decoded_bytes()).await;
    }
    let body = Bytes::from(decoder.finish()?);
    Ok(Answer { status: parts.status, headers: parts.headers, body, held })
}

fn no_answer(error: &io::Error) -> Fault {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => FailureKind::Forbidden,
        io::ErrorKind::TimedOut => FailureKind::Timeout,
        _ => FailureKind::Unreachable,
    };
    (kind, format!("no answer: {error}"))
}

fn broken_off(error: &io::Error) -> Fault {
    let (kind, _) = no_answer(error);
    (kind, format!("the answer broke off: {error}"))
}

/// Undoes the content encoding while counting, so that a bomb stops at the cap.
enum Decoder {
    Identity(Capped),
    Gzip(Box<MultiGzDecoder<Capped>>),
}

impl Decoder {
    fn new(headers: &HeaderMap, max: usize) -> Result<Self, Fault> {
        let out = Capped { bytes: Vec::new(), max, full: false };
        let encoding = headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
        match encoding.map(|name| name.trim_ascii().to_ascii_lowercase()).as_deref() {
            None | Some(b"" | b"identity") => Ok(Self::Identity(out)),
            Some(b"gzip" | b"x-gzip") => Ok(Self::Gzip(Box::new(MultiGzDecoder::new(out)))),
            Some(other) => Err((
                FailureKind::Malformed,
                format!(
                    "content encoding `{}`: expected gzip or none",
                    String::from_utf8_lossy(&other[..other.len().min(40)])
                ),
            )),
        }
    }

    /// Makes room for a body of so many bytes, so that it is not moved again and again.
    fn expect(&mut self, bytes: usize) {
        if let Self::Identity(out) = self {
            out.bytes.reserve_exact(bytes);
        }
    }

    fn out(&self) -> &Capped {
        match self {
            Self::Identity(out) => out,
            Self::Gzip(decoder) => decoder.get_ref(),
        }
    }

    fn decoded_bytes(&self) -> usize {
        self.out().bytes.len()
    }

    fn write(&mut self, data: &[u8]) -> Result<(), Fault> {
        let written = match self {
            Self::Identity(out) => out.write_all(data),
            Self::Gzip(decoder) => decoder.write_all(data),
        };
        written.map_err(|error| self.fault(&error))
    }

    fn finish(mut self) -> Result<Vec<u8>, Fault> {
        if let Self::Gzip(decoder) = &mut self
            && let Err(error) = decoder.try_finish()
        {
            return Err(self.fault(&error));
        }
        Ok(match self {
            Self::Identity(out) => out.bytes,
            Self::Gzip(mut decoder) => std::mem::take(&mut decoder.get_mut().bytes),
        })
    }

    fn fault(&self, error: &io::Error) -> Fault {
        let out = self.out();
        if out.full {
            let text = format!("the answer is larger than {} bytes when decoded", out.max);
            (FailureKind::TooLarge, text)
        } else {
            (FailureKind::Malformed, format!("the answer is no valid gzip: {error}"))
        }
    }
}

/// Memory that refuses to grow over a bound.
#[derive(Debug)]
struct Capped {
    bytes: Vec<u8>,
    max: usize,
    full: bool,
}

impl Write for Capped {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + data.len() > self.max {
            self.full = true;
            return Err(io::Error::other("over the limit"));
        }
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
