//! Bytes as coloured HTML. JSON is never parsed and printed: numbers, order and spaces stay as they
//! came, and the text of the HTML is the text that went in, but for what cannot be seen.
//!
//! Whatever goes in, the HTML is whole: what is no JSON is shown too.

use std::fmt::Write as _;

use serde::{Deserialize, Deserializer};

/// What is shown of one value; the rest is for a download.
pub(crate) const SHOWN_BYTES_MAX: usize = 64 << 10;
/// Beyond them nothing folds any more: each costs a browser something.
const FOLDS_MAX: usize = 1_000;
/// Brackets that open deeper do not fold.
const DEPTH_MAX: usize = 64;

/// A text from outside whose invisible characters are written out, as `⟨U+202E⟩`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Text(String);

impl Text {
    /// The text with what cannot be seen written out.
    pub(crate) fn new(text: &str) -> Self {
        let mut out = String::with_capacity(text.len());
        for letter in text.chars() {
            if is_hidden(letter) {
                let _ = write!(out, "⟨U+{:04X}⟩", u32::from(letter));
            } else {
                out.push(letter);
            }
        }
        Self(out)
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::new(&text))
    }
}

/// Whether a reader would not see the character, or would see others in another order for it.
fn is_hidden(letter: char) -> bool {
    let is_space = matches!(letter, '\n' | '\t');
    (letter.is_control() && !is_space)
        || matches!(letter,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// The HTML of what begins with `bytes`, at most 64 KiB of it, and whether that is all.
pub(crate) fn html(bytes: &[u8]) -> (String, bool) {
    let whole = bytes.len() <= SHOWN_BYTES_MAX;
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES_MAX)]);
    (coloured(&shown), whole)
}

/// The HTML of a text.
pub(crate) fn coloured(text: &str) -> String {
    let mut painter = Painter { out: String::with_capacity(2 * text.len()), ..Painter::default() };
    let mut rest = text;
    while let Some(token) = Token::first(rest) {
        let (now, later) = rest.split_at(token.length);
        painter.take(token.kind, now, later);
        rest = later;
    }
    painter.end()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Open,
    Close,
    Comma,
    Space,
    Text,
    Number,
    Word,
    Other,
}

struct Token {
    kind: Kind,
    length: usize,
}

impl Token {
    /// The first of what is left; `None` at the end.
    fn first(rest: &str) -> Option<Self> {
        let first = rest.chars().next()?;
        let until = |is_in: fn(char) -> bool| rest.find(|l| !is_in(l)).unwrap_or(rest.len());
        let (kind, length) = match first {
            '{' | '[' => (Kind::Open, 1),
            '}' | ']' => (Kind::Close, 1),
            ',' => (Kind::Comma, 1),
            ' ' | '\n' | '\r' | '\t' => {
                (Kind::Space, until(|l| matches!(l, ' ' | '\n' | '\r' | '\t')))
            }
            '"' => (Kind::Text, string(rest)),
            '-' | '0'..='9' => {
                (Kind::Number, until(|l| matches!(l, '-' | '+' | '.' | 'e' | 'E' | '0'..='9')))
            }
            'a'..='z' => (Kind::Word, until(|l| l.is_ascii_lowercase())),
            other => (Kind::Other, other.len_utf8()),
        };
        Some(Self { kind, length })
    }
}

/// How long the string is that begins here; all there is when it does not end.
fn string(rest: &str) -> usize {
    let mut is_escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[derive(Default)]
struct Painter {
    out: String,
    /// The key, its colon and spaces before the value: they stand on the line that folds.
    before: String,
    /// Of each bracket that is open: whether it folds.
    open: Vec<bool>,
    folds: usize,
    /// Something that folded has ended, and its line has not.
    ending: bool,
}

impl Painter {
    fn take(&mut self, kind: Kind, now: &str, later: &str) {
        if !matches!(kind, Kind::Comma | Kind::Space) {
            self.end_fold();
        }
        match kind {
            Kind::Open => self.open(now),
            Kind::Close => self.close(now),
            Kind::Comma => {
                self.flush();
                self.out.push(',');
                let was_ending = self.ending;
                self.end_fold();
                if !was_ending && self.open.last() == Some(&true) {
                    self.out.push_str("<br>");
                }
            }
            Kind::Text if later.trim_start_matches([' ', '\n', '\r', '\t']).starts_with(':') => {
                self.flush();
                span(&mut self.before, "k", now);
            }
            Kind::Space if self.before.is_empty() => escape(&mut self.out, now),
            Kind::Space => escape(&mut self.before, now),
            Kind::Other if now == ":" && !self.before.is_empty() => self.before.push(':'),
            Kind::Text => self.value("s", now),
            Kind::Number => self.value("n", now),
            Kind::Word if matches!(now, "true" | "false" | "null") => self.value("w", now),
            Kind::Word | Kind::Other => {
                self.flush();
                escape(&mut self.out, now);
            }
        }
    }

    fn value(&mut self, class: &str, now: &str) {
        self.flush();
        span(&mut self.out, class, now);
    }

    fn flush(&mut self) {
        self.out.push_str(&std::mem::take(&mut self.before));
    }

    fn open(&mut self, bracket: &str) {
        let folds = self.folds < FOLDS_MAX && self.open.len() < DEPTH_MAX;
        self.open.push(folds);
        if folds {
            self.folds += 1;
            self.out.push_str("<details open><summary>");
        }
        self.flush();
        self.out.push_str(bracket);
        if folds {
            self.out.push_str("</summary><div>");
        }
    }

    fn close(&mut self, bracket: &str) {
        self.flush();
        let folds = self.open.pop() == Some(true);
        if folds {
            self.out.push_str("</div>");
        }
        self.out.push_str(bracket);
        self.ending = folds;
    }

    fn end_fold(&mut self) {
        if std::mem::take(&mut self.ending) {
            self.out.push_str("</details>");
        }
    }

    fn end(mut self) -> String {
        self.flush();
        self.end_fold();
        while let Some(folds) = self.open.pop() {
            if folds {
                self.out.push_str("</div></details>");
            }
        }
        self.out
    }
}

fn span(out: &mut String, class: &str, text: &str) {
    let _ = write!(out, "<span class=\"{class}\">");
    escape(out, text);
    out.push_str("</span>");
}

/// Writes a text as HTML, with what cannot be seen written out.
fn escape(out: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // A line ends with it; alone it would be one.
            letter if is_hidden(letter) => {
                let _ = write!(out, "<i>⟨U+{:04X}⟩</i>", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
}

#[cfg(test)]
mod tests;
