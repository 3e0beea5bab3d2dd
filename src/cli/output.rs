//! Data on stdout: tables for people, JSON for programs.

use std::{
    borrow::Cow,
    io::{self, IsTerminal as _, Write as _},
};

use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use indicatif::ProgressBar;
use serde_json::Value;

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Output {
    /// Aligned columns.
    #[default]
    Table,
    /// As the API answered.
    Json,
}

/// A column: its heading, and the JSON pointer of its values.
pub(crate) type Column = (&'static str, &'static str);

impl Output {
    /// Prints the list in the field `field` of an answer.
    pub(crate) fn list(self, answer: &Value, field: &str, columns: &[Column]) -> io::Result<()> {
        match self {
            Self::Json => self.one(answer),
            Self::Table => {
                print(&table(answer[field].as_array().map_or(&[], Vec::as_slice), columns))
            }
        }
    }

    /// Prints a part of a list, and says so when there is more behind it.
    pub(crate) fn part(
        self,
        (answer, next): &(Value, Option<String>),
        field: &str,
        columns: &[Column],
    ) -> io::Result<()> {
        self.list(answer, field, columns)?;
        if let Some(next) = next {
            say(&format!("milkrun: there are more: raise --limit, or go on with --after {next}"));
        }
        Ok(())
    }

    /// Prints one thing with all its fields.
    pub(crate) fn one(self, answer: &Value) -> io::Result<()> {
        match self {
            Self::Json => print(&serde_json::to_string_pretty(answer).unwrap_or_default()),
            Self::Table => {
                let mut fields = Vec::new();
                flatten("", answer, &mut fields);
                let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
                let lines: Vec<String> =
                    fields.iter().map(|(name, value)| format!("{name:<width$}  {value}")).collect();
                print(lines.join("\n").trim_end())
            }
        }
    }
}

/// Nobody reads what is printed any more.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads stdout")]
pub(crate) struct Unread;

/// Prints a line, or several.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let text = spelled(text, stdout.is_terminal() && !is_utf8(|name| std::env::var(name).ok()));
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => io::Error::new(io::ErrorKind::BrokenPipe, Unread),
        kind => io::Error::new(kind, format!("stdout cannot be written: {error}")),
    })
}

/// Whether the terminal reads UTF-8, by the first of these variables that says something; if none does,
/// it does.
fn is_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let said = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(variable)
        .find(|text| !text.is_empty());
    said.is_none_or(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

/// A text for a terminal that knows ASCII only: signs of ours are written out, others are escaped.
fn spelled(text: &str, is_ascii_only: bool) -> Cow<'_, str> {
    if !is_ascii_only || text.is_ascii() {
        return text.into();
    }
    let text = text.replace('…', "...").replace('→', "->");
    let each = text
        .chars()
        .map(|c| if c.is_ascii() { c.to_string() } else { format!("\\u{{{:x}}}", u32::from(c)) });
    each.collect::<String>().into()
}

/// Prints a line for a person to stderr; nobody may be there to read it.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A list as aligned columns.
pub(crate) fn table(items: &[Value], columns: &[Column]) -> String {
    let mut table = Table::new();
    // As wide as the terminal, if there is one; what is piped keeps one line for each thing.
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.load_style(NOTHING).set_header(columns.iter().map(|(heading, _)| *heading));
    for item in items {
        table.add_row(
            columns.iter().map(|(_, pointer)| item.pointer(pointer).map(text).unwrap_or_default()),
        );
    }
    table
        .trim_fmt()
        .lines()
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect::<Vec<_>>()
        .join("\n")
}

/// A text of so many characters at most, for a line.
pub(crate) fn shortened(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max - 1).chain(['…']).collect()
}

/// A bar, where somebody sees it.
pub(crate) fn seen(bar: ProgressBar) -> ProgressBar {
    if std::io::stderr().is_terminal() { bar } else { ProgressBar::hidden() }
}

/// A value in a cell.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn flatten(name: &str, value: &Value, fields: &mut Vec<(String, String)>) {
    let below = |field: &str| {
        if name.is_empty() { field.to_owned() } else { format!("{name}.{field}") }
    };
    match value {
        Value::Object(object) => {
            for (field, value) in object {
                flatten(&below(field), value, fields);
            }
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            for (index, item) in items.iter().enumerate() {
                flatten(&below(&index.to_string()), item, fields);
            }
        }
        other => fields.push((name.to_owned(), text(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_without_utf8_gets_ascii() {
        assert_eq!(spelled("a… → é", true), "a... -> \\u{e9}");
        assert_eq!(spelled("a…", false), "a…");
        let of = |name: &'static str, value: &'static str| {
            is_utf8(move |asked| (asked == name).then(|| value.to_owned()))
        };
        assert!(of("LANG", "en_US.UTF-8") && of("LC_ALL", "C.utf8") && of("OTHER", "C"));
        assert!(!of("LC_ALL", "C") && !of("LANG", "de_DE.ISO-8859-1"));
    }
}
