//! What is wrong with a configuration file: where, what, and what was expected.

use std::fmt::{self, Write as _};

use serde_saphyr::Location;

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
    found: Vec<Problem>,
}

impl<'a> Problems<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, found: Vec::new() }
    }

    /// Notes a problem at a place; its line is shown.
    pub(crate) fn add(&mut self, at: Location, message: impl Into<String>) {
        self.add_at(at.line(), at.column(), message.into());
    }

    pub(crate) fn add_at(&mut self, line: u64, column: u64, message: String) {
        let index = usize::try_from(line).unwrap_or(0).checked_sub(1);
        let snippet = index.and_then(|index| self.text.lines().nth(index));
        // A line that is long is no help, and one with a secret in it must not be shown.
        let shown = snippet.filter(|line| line.len() <= 200 && !message.contains(SECRET_WRITTEN));
        self.found.push(Problem {
            at: (line > 0).then_some((line, column.max(1))),
            message,
            snippet: shown.map(ToOwned::to_owned),
        });
    }

    /// Notes the problem that ended the parsing.
    pub(crate) fn parse(&mut self, error: &serde_saphyr::Error) {
        let error = error.without_snippet();
        let message = message(error);
        match error.location() {
            Some(at) => self.add(at, message),
            None => self.found.push(Problem { at: None, message, snippet: None }),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(crate) fn into_error(mut self, file: &str) -> ConfigError {
        self.found.sort_by_key(|problem| problem.at);
        ConfigError { file: file.to_owned(), problems: self.found }
    }
}

/// Part of the message about a secret in plain text: its line is not shown.
pub(crate) const SECRET_WRITTEN: &str = "a secret is not written into the file";

fn message(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;
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
            .unwrap_or_default(),
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

/// The renderer appends where it was; the place is in front already.
fn without_place(text: &str) -> String {
    let end = text.rfind(" at line ").unwrap_or(text.len());
    text[..end].to_owned()
}
