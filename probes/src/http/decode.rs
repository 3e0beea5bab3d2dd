//! Content codings: what the answer says, what the body is, and undoing it step by step.
//!
//! The body decides and the label only hints (RFC 9110, section 8.4, is what the label should be):
//! servers write `utf-8` or `none` there, announce a gzip that a proxy undid, or forget to announce
//! one.

use std::io::{self, Read as _};

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Decompress, FlushDecompress, Status, bufread::GzDecoder};
use http::{HeaderMap, header};
use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

/// So many codings of one body are undone.
const CODINGS_MAX: usize = 3;

/// What RFC 9659 allows a zstd window to be.
const ZSTD_WINDOW_MAX: u64 = 8 << 20;

/// The most labels that are looked at.
const LABELS_MAX: usize = 16;

/// A coding that can be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 1950: what `deflate` means.
    Zlib,
    /// RFC 1951 alone: what some servers call `deflate`.
    Deflate,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
}

impl Coding {
    /// Its name for a person.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zlib | Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// The coding whose first bytes these are, of those that have such.
    fn by_magic(body: &[u8]) -> Option<Self> {
        match body {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            // A frame, or one to be skipped before it.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// The codings of one body, undone from the outermost inwards.
#[derive(Debug, Default)]
pub(super) struct Codings {
    /// As announced, the outermost last.
    labels: Vec<String>,
    undone: usize,
    /// What was odd, for a person.
    pub(super) warnings: Vec<String>,
}

impl Codings {
    /// What the headers announce.
    pub(super) fn announced(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::CONTENT_ENCODING).iter();
        let text = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let text = text.collect::<Vec<_>>().join(",");
        let labels = text.split(',').map(|label| label.trim().trim_matches('"'));
        let labels = labels.filter(|label| !label.is_empty()).take(LABELS_MAX);
        Self { labels: labels.map(str::to_owned).collect(), undone: 0, warnings: Vec::new() }
    }

    /// What is to be undone next of `body`; `None` when nothing is left.
    pub(super) fn next(&mut self, body: &[u8]) -> Result<Option<Coding>, String> {
        if body.is_empty() {
            return Ok(None);
        }
        while let Some(label) = self.labels.pop() {
            let coding = self.really(&label, body);
            if coding.is_some() {
                return self.count(coding);
            }
        }
        let coding = Coding::by_magic(body);
        if let Some(coding) = coding {
            let name = coding.name();
            self.warnings.push(format!(
                "the answer is {name} although no `content-encoding` says so: unpacked"
            ));
        }
        self.count(coding)
    }

    fn count(&mut self, coding: Option<Coding>) -> Result<Option<Coding>, String> {
        self.undone += usize::from(coding.is_some());
        if self.undone > CODINGS_MAX {
            return Err(format!(
                "the answer is packed more than {CODINGS_MAX} times: expected one \
                 `content-encoding`"
            ));
        }
        Ok(coding)
    }

    /// The coding that `label` names, if the body can be of it.
    fn really(&mut self, label: &str, body: &[u8]) -> Option<Coding> {
        let coding = match label.to_ascii_lowercase().as_str() {
            "identity" => return None,
            "gzip" | "x-gzip" => Coding::Gzip,
            "deflate" | "zlib" => Coding::Zlib,
            "br" | "brotli" => Coding::Brotli,
            "zstd" | "x-zstd" => Coding::Zstd,
            _ => {
                self.odd(label, "which is no coding: read as it is");
                return None;
            }
        };
        let real = match (coding, Coding::by_magic(body)) {
            (_, Some(real)) if real == coding => return Some(coding),
            // The rest finds it by its first bytes.
            (_, Some(_)) | (Coding::Gzip | Coding::Zstd, None) => None,
            _ if is_text(body) => None,
            (Coding::Zlib, None) if !has_zlib_head(body) => Some(Coding::Deflate),
            _ => Some(coding),
        };
        if real.is_none() {
            self.odd(label, "but the body is not: read as it is");
        }
        real
    }

    fn odd(&mut self, label: &str, what: &str) {
        let label: String = label.chars().take(40).collect();
        self.warnings.push(format!("the answer says `content-encoding: {label}`, {what}"));
    }
}

/// Whether this begins like JSON or HTML and is text to its end. What is packed is no valid UTF-8
/// but for a few bytes.
fn is_text(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body).trim_ascii_start();
    let begins = matches!(body, [b'{' | b'[' | b'"' | b'<' | b'-' | b'0'..=b'9', ..])
        || [&b"true"[..], b"false", b"null"].iter().any(|word| body.starts_with(word));
    begins && std::str::from_utf8(body).is_ok()
}

/// RFC 1950, section 2.2: the method is 8, the window is at most 32 KiB, and the two bytes are a
/// multiple of 31.
fn has_zlib_head(body: &[u8]) -> bool {
    let [method, flags, ..] = *body else { return false };
    method & 0x0f == 8 && method >> 4 <= 7 && u16::from_be_bytes([method, flags]).is_multiple_of(31)
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// So many bytes were written; there may be more.
    Wrote(usize),
    /// All was written before.
    End,
}

/// One coding being undone.
pub(super) struct Unpacker<'a> {
    coding: Coding,
    state: State<'a>,
}

enum State<'a> {
    Gzip(Box<GzDecoder<&'a [u8]>>),
    Deflate(Box<Decompress>, &'a [u8]),
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>, &'a [u8]),
    Zstd(Box<FrameDecoder>, &'a [u8]),
    End(&'a [u8]),
}

impl<'a> Unpacker<'a> {
    pub(super) fn new(coding: Coding, body: &'a [u8]) -> Self {
        let alloc = StandardAlloc::default;
        let state = match coding {
            Coding::Gzip => State::Gzip(Box::new(GzDecoder::new(body))),
            Coding::Zlib => State::Deflate(Box::new(Decompress::new(true)), body),
            Coding::Deflate => State::Deflate(Box::new(Decompress::new(false)), body),
            Coding::Brotli => {
                State::Brotli(Box::new(BrotliState::new(alloc(), alloc(), alloc())), body)
            }
            Coding::Zstd => {
                let mut decoder = FrameDecoder::new();
                decoder.set_max_window_size(ZSTD_WINDOW_MAX);
                State::Zstd(Box::new(decoder), body)
            }
        };
        Self { coding, state }
    }

    /// Writes the next bytes into `out`, in a time that is bounded by its length.
    pub(super) fn step(&mut self, out: &mut [u8]) -> Result<Step, String> {
        let stepped = match &mut self.state {
            State::Gzip(decoder) => gunzip(decoder, out),
            State::Deflate(decoder, rest) => inflate(decoder, rest, out),
            State::Brotli(decoder, rest) => unbrotli(decoder, rest, out),
            State::Zstd(decoder, rest) => unzstd(decoder, rest, out),
            State::End(_) => return Ok(Step::End),
        };
        let name = self.coding.name();
        match stepped {
            Ok(Progress::Wrote(bytes)) => Ok(Step::Wrote(bytes)),
            Ok(Progress::End) => {
                self.state = State::End(self.rest());
                Ok(Step::End)
            }
            Err(Broken::CutOff) => {
                Err(format!("the answer is {name} that is cut off: expected all of it"))
            }
            Err(Broken::Invalid(why)) => Err(format!("the answer is no valid {name}: {why}")),
        }
    }

    fn rest(&self) -> &'a [u8] {
        match &self.state {
            State::Gzip(decoder) => decoder.get_ref(),
            State::Deflate(_, rest)
            | State::Brotli(_, rest)
            | State::Zstd(_, rest)
            | State::End(rest) => rest,
        }
    }

    /// What came after the end, for a person.
    pub(super) fn trailing(&self) -> Option<String> {
        let rest = self.rest();
        let what = if rest.iter().all(|byte| *byte == 0) { "zero bytes" } else { "other bytes" };
        let (name, bytes) = (self.coding.name(), rest.len());
        (bytes > 0).then(|| format!("{bytes} {what} follow the {name} of the answer: left out"))
    }
}

enum Progress {
    Wrote(usize),
    End,
}

enum Broken {
    CutOff,
    Invalid(String),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::CutOff,
            _ => Self::Invalid(error.to_string()),
        }
    }
}

/// Members may follow each other (RFC 1952, section 2.2).
fn gunzip(decoder: &mut GzDecoder<&[u8]>, out: &mut [u8]) -> Result<Progress, Broken> {
    let bytes = decoder.read(out)?;
    if bytes > 0 {
        return Ok(Progress::Wrote(bytes));
    }
    let rest = *decoder.get_ref();
    if rest.starts_with(&[0x1f, 0x8b]) {
        decoder.reset(rest);
        return Ok(Progress::Wrote(0));
    }
    Ok(Progress::End)
}

fn inflate(decoder: &mut Decompress, rest: &mut &[u8], out: &mut [u8]) -> Result<Progress, Broken> {
    let (read, wrote) = (decoder.total_in(), decoder.total_out());
    let status = decoder
        .decompress(rest, out, FlushDecompress::None)
        .map_err(|error| Broken::Invalid(error.to_string()))?;
    let read = usize::try_from(decoder.total_in() - read).unwrap_or(usize::MAX);
    let wrote = usize::try_from(decoder.total_out() - wrote).unwrap_or(0);
    *rest = rest.get(read..).unwrap_or_default();
    match status {
        _ if wrote > 0 => Ok(Progress::Wrote(wrote)),
        Status::StreamEnd => Ok(Progress::End),
        _ if rest.is_empty() => Err(Broken::CutOff),
        _ if read > 0 => Ok(Progress::Wrote(0)),
        _ => Err(Broken::Invalid("it does not go on".into())),
    }
}

fn unbrotli(
    decoder: &mut BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    rest: &mut &[u8],
    out: &mut [u8],
) -> Result<Progress, Broken> {
    let (mut left, mut read, mut room, mut wrote) = (rest.len(), 0, out.len(), 0);
    let result = BrotliDecompressStream(
        &mut left, &mut read, rest, &mut room, &mut wrote, out, &mut 0, decoder,
    );
    *rest = rest.get(read..).unwrap_or_default();
    match result {
        BrotliResult::ResultFailure => Err(Broken::Invalid("its bytes are none".into())),
        _ if wrote > 0 => Ok(Progress::Wrote(wrote)),
        BrotliResult::ResultSuccess => Ok(Progress::End),
        BrotliResult::NeedsMoreInput if rest.is_empty() => Err(Broken::CutOff),
        _ if read > 0 => Ok(Progress::Wrote(0)),
        _ => Err(Broken::Invalid("it does not go on".into())),
    }
}

/// Frames may follow each other, and some are to be skipped (RFC 8878, section 3.1).
fn unzstd(
    decoder: &mut FrameDecoder,
    rest: &mut &[u8],
    out: &mut [u8],
) -> Result<Progress, Broken> {
    let broken = |error: FrameDecoderError, rest: &[u8]| match rest {
        [] => Broken::CutOff,
        _ => Broken::Invalid(error.to_string()),
    };
    if decoder.can_collect() > 0 {
        return Ok(Progress::Wrote(decoder.read(out)?));
    }
    // One that has not begun counts as finished.
    if !decoder.is_finished() {
        decoder
            .decode_blocks(&mut *rest, BlockDecodingStrategy::UptoBlocks(1))
            .map_err(|error| broken(error, rest))?;
        return Ok(Progress::Wrote(0));
    }
    // Of the frame that ended, and once all of it was taken.
    let sum = decoder.get_checksum_from_data();
    if sum.is_some() && sum != decoder.get_calculated_checksum() {
        return Err(Broken::Invalid("its checksum differs".into()));
    }
    if Coding::by_magic(rest) != Some(Coding::Zstd) {
        return Ok(Progress::End);
    }
    match decoder.reset(&mut *rest) {
        Ok(()) => {}
        Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
            length,
            ..
        })) => {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            *rest = rest.get(length..).ok_or(Broken::CutOff)?;
        }
        Err(error) => return Err(broken(error, rest)),
    }
    Ok(Progress::Wrote(0))
}
