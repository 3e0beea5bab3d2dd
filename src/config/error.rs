//! What is wrong with a configuration file: where, what, and what was expected.

use std::fmt::{self, Write as _};

use serde_saphyr::{Error, Location};

use super::{
    mask,
    outline::{Outline, Place},
};
use crate::nearest::nearest;

/// Why a file was refused: every problem that was found, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The file, as it was named.
    pub file: String,
    /// At least one.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line and column from 1; `None`: the file as a whole.
    pub at: Option<(u64, u64)>,
    /// What is wrong and what was expected.
    pub message: String,
    /// The line, when it may be shown.
    pub snippet: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&self.file)?;
            if let Some((line, column)) = problem.at {
                write!(f, ":{line}:{column}")?;
            }
            write!(f, ": {}", problem.message)?;
            if let (Some((line, column)), Some(snippet)) = (problem.at, &problem.snippet) {
                let margin = " ".repeat(line.to_string().len());
                let before: String = snippet
                    .chars()
                    .take(usize::try_from(column).unwrap_or(1).saturating_sub(1))
                    .map(|c| if c == '\t' { '\t' } else { ' ' })
                    .collect();
                write!(f, "\n {margin} |\n {line} | {snippet}\n {margin} | {before}^")?;
            }
        }
        Ok(())
    }
}

/// Collects what is wrong with one text.
pub(crate) struct Problems<'a> {
    text: &'a str,
    outline: Outline<'a>,
    found: Vec<Problem>,
    /// What is not shown, and what is shown for it.
    hidden: Vec<(String, String)>,
    /// Secrets that could not be read: nothing is said of what they are then.
    unread: usize,
}

impl<'a> Problems<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, outline: Outline::of(text), found: Vec::new(), hidden: Vec::new(), unread: 0 }
    }

    /// Notes a problem at a place; its line is shown.
    pub(crate) fn add(&mut self, at: Location, message: impl Into<String>) {
        self.add_at(at.line(), at.column(), message.into());
    }

    /// Shows something else for a text in all messages; a short one is no secret.
    pub(crate) fn hide(&mut self, text: &str, shown: &str) {
        if text.len() >= mask::SECRET_BYTES_MIN {
            self.hidden.push((text.to_owned(), shown.to_owned()));
        }
    }

    /// What is told of the places of the file.
    pub(crate) const fn outline(&self) -> &Outline<'a> {
        &self.outline
    }

    /// Notes that a secret could not be read.
    pub(crate) fn add_unread(&mut self, at: Location, message: String) {
        self.unread += 1;
        self.add(at, message);
    }

    /// How many secrets could not be read so far.
    pub(crate) const fn unread(&self) -> usize {
        self.unread
    }

    /// Where a field stands in the mapping that has a value at a place.
    pub(crate) fn place_beside(&self, at: Location, field: &str) -> Option<Place> {
        self.outline.beside((at.line(), at.column()), field)
    }

    /// Whether the file is empty, or null.
    pub(crate) fn is_without_content(&self) -> bool {
        self.outline.is_without_content()
    }

    /// Notes a problem with a field of the mapping at a place, as `cursor.max_field.path`.
    pub(crate) fn add_below(&mut self, at: Location, field: &str, message: impl Into<String>) {
        let (line, column) = (at.line(), at.column());
        let (line, column) = self.outline.below((line, column), field).unwrap_or((line, column));
        self.add_at(line, column, message.into());
    }

    pub(crate) fn add_at(&mut self, line: u64, column: u64, message: String) {
        let index = usize::try_from(line).unwrap_or(0).checked_sub(1);
        let snippet = index.and_then(|index| self.text.lines().nth(index));
        // A line that is long is no help, and one with a secret in it must not be shown.
        let shown = snippet.filter(|line| line.len() <= 200 && !message.contains(SECRET_WRITTEN));
        let shown = shown.map(mask::line);
        self.found.push(Problem {
            at: (line > 0).then_some((line, column.max(1))),
            message,
            snippet: shown,
        });
    }

    /// Notes the problem that ended the parsing.
    pub(crate) fn parse(&mut self, error: &serde_saphyr::Error) {
        // Where the text is no YAML is where to look, whatever was not understood before.
        if let Some(((line, column), message)) = self.outline.fault.take() {
            return self.add_at(line, column, message);
        }
        let error = error.without_snippet();
        let message = message(error);
        let Some(at) = error.location() else {
            return self.found.push(Problem { at: None, message, snippet: None });
        };
        let place = (at.line(), at.column());
        let is_secret = self.is_secret_at(place);
        let message = match message.starts_with(INTERPOLATED) {
            true if is_secret => format!("{SECRET_EXPECTED}, without `${{…}}`"),
            true => "what the variables in it bring is not what is expected here".to_owned(),
            false if is_secret => without_values(error, message),
            false => message,
        };
        let (place, message) = match error {
            Error::SerdeMissingField { field, .. } => self.missing(place, field),
            Error::SerdeUnknownField { .. }
            | Error::SerdeUnknownVariant { .. }
            | Error::DuplicateMappingKey { .. } => (place, message),
            _ => match self.outline.path_at(place) {
                Some(path) => (place, format!("`{path}`: {message}")),
                None => (place, message),
            },
        };
        self.add_at(place.0, place.1, message);
        if is_secret && let Some(problem) = self.found.last_mut() {
            problem.snippet = None;
        }
    }

    /// Whether what stands at a place may be a secret.
    pub(super) fn is_secret_at(&self, place: Place) -> bool {
        let path = self.outline.path_at(place).unwrap_or_default();
        path.split(['.', '[']).any(|name| name == "auth" || name == "tls" || mask::is_secret(name))
    }

    /// Says which mapping has no `key`.
    fn missing(&self, at: Place, key: &str) -> (Place, String) {
        match self.outline.missing(at, key) {
            (Some(path), Some(beside)) => (
                beside,
                format!(
                    "the key `{key}` is missing in `{path}`: indent this one further than `{}`",
                    path.rsplit('.').next().unwrap_or_default()
                ),
            ),
            (Some(path), None) => (at, format!("the key `{key}` is missing in `{path}`")),
            (None, _) => (at, format!("the key `{key}` is missing")),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(crate) fn into_error(mut self, file: &str) -> ConfigError {
        self.found.sort_by_key(|problem| problem.at);
        // One may be the beginning of another.
        self.hidden.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        for problem in &mut self.found {
            for text in [Some(&mut problem.message), problem.snippet.as_mut()].into_iter().flatten()
            {
                for (hidden, shown) in &self.hidden {
                    if text.contains(hidden) {
                        *text = text.replace(hidden, shown);
                    }
                }
                *text = mask::user_info(text);
            }
        }
        ConfigError { file: file.to_owned(), problems: self.found }
    }
}

/// How the parser begins a message about a value with variables in it, which it hides.
const INTERPOLATED: &str = "invalid interpolated";

/// Part of the message about a secret in plain text: its line is not shown.
pub(crate) const SECRET_WRITTEN: &str = "a secret is not written into the file";
/// What a secret is to be.
pub(crate) const SECRET_EXPECTED: &str =
    "a secret is not written into the file: expected { env: NAME } or { file: PATH }";

fn message(error: &serde_saphyr::Error) -> String {
    match error {
        Error::SerdeUnknownField { field, expected, .. } => unknown("key", field, expected),
        Error::SerdeUnknownVariant { variant, expected, .. } => unknown("value", variant, expected),
        Error::SerdeMissingField { field, .. } => format!("the key `{field}` is missing"),
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the key `{key}` is there twice")
        }
        Error::AliasError { error, .. } => message(error),
        other => other
            .render_with_formatter(&serde_saphyr::UserMessageFormatter)
            .lines()
            .next()
            .map(without_place)
            .map(|text| plainly(&text))
            .unwrap_or_default(),
    }
}

/// A message without the value that it quotes; a name that is nearly right is none.
fn without_values(error: &Error, message: String) -> String {
    if let Error::SerdeUnknownVariant { variant, expected, .. } = error
        && nearest(variant, expected.iter().copied()).is_none()
    {
        return message.replace(variant.as_str(), "***");
    }
    match (message.find('"'), message.rfind('"')) {
        (Some(first), Some(last)) if first < last && message.contains("string \"") => {
            format!("{}***{}", &message[..first], &message[last + 1..])
        }
        _ => message,
    }
}

fn unknown(what: &str, given: &str, expected: &[&str]) -> String {
    let given: String = given.chars().take(60).collect();
    let mut text = format!("unknown {what} `{given}`");
    if let Some(near) = nearest(&given, expected.iter().copied()) {
        let _ = write!(text, ": did you mean `{near}`?");
    }
    let _ = write!(text, " (expected one of: {})", expected.join(", "));
    text
}

/// What the parser calls its own parts, in the words of the file.
fn plainly(text: &str) -> String {
    match text {
        "expected mapping start" => "expected a mapping, as `key: value`".into(),
        "expected sequence start" => "expected a list, as `[a, b]`".into(),
        "expected string scalar" => "expected a text".into(),
        "invalid floating point" | "invalid f64" | "invalid f32" => "expected a number".into(),
        _ if text.starts_with("invalid u")
            || text.starts_with("invalid i") && text.len() <= "invalid usize".len() =>
        {
            "expected a whole number, not below zero".into()
        }
        _ => text.replace("unit value", "nothing"),
    }
}

/// The renderer appends where it was; the place is in front already.
fn without_place(text: &str) -> String {
    let end = text.rfind(" at line ").unwrap_or(text.len());
    text[..end].to_owned()
}
