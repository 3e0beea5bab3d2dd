//! Content codings: what the answer says, and what the body is.
//!
//! The body decides and the label only hints (RFC 9110, section 8.4, is what the label should be):
//! servers write `utf-8` or `none` there, announce a gzip that a proxy undid, or forget to announce
//! one.

use http::{HeaderMap, header};

/// So many codings of one body are undone.
const CODINGS_MAX: usize = 3;

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
    pub(super) fn by_magic(body: &[u8]) -> Option<Self> {
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
