//! `${NAME}` and `${NAME:-default}` in the values of a file.
//!
//! The values are found by a YAML parser, never in keys or comments, and the YAML deserializer
//! puts the variable's text into the parsed value, so that no text can change the structure.

use std::collections::HashMap;

use granit_parser::{Event, Parser};

use super::error::Problems;

/// The variables that the values of `text` refer to and that are set. References of another form
/// and unset ones without a default become problems.
pub(crate) fn used(
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
    problems: &mut Problems<'_>,
) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut places = Places::default();
    for event in Parser::new_from_str(text) {
        // What is no YAML is told better by the deserializer.
        let Ok((event, span)) = event else { return found };
        let is_key = places.is_key(&event);
        let Event::Scalar(value, ..) = event else { continue };
        // `$filter` is a parameter's name: the deserializer leaves keys as they are.
        if is_key {
            continue;
        }
        for reference in references(&value) {
            let line = span.start.line() as u64;
            let column = span.start.col() as u64 + 1;
            match reference {
                Ok((name, default)) => match env(name) {
                    Some(value) => {
                        found.insert(name.to_owned(), value);
                    }
                    None if default => {}
                    None => problems.add_at(
                        line,
                        column,
                        format!("the environment variable `{name}` is not set: set it, or write `${{{name}:-default}}`"),
                    ),
                },
                Err(message) => problems.add_at(line, column, message),
            }
        }
    }
    found
}

/// The mappings and sequences that are open.
#[derive(Default)]
struct Places(Vec<Place>);

enum Place {
    List,
    /// A mapping, and whether its next node is a key.
    Mapping(bool),
}

impl Places {
    /// Whether the node that begins with `event` is the key of a mapping.
    fn is_key(&mut self, event: &Event<'_>) -> bool {
        match event {
            Event::Scalar(..) | Event::Alias(_) => self.node(),
            Event::MappingStart(..) => {
                let is_key = self.node();
                self.0.push(Place::Mapping(true));
                is_key
            }
            Event::SequenceStart(..) => {
                let is_key = self.node();
                self.0.push(Place::List);
                is_key
            }
            Event::MappingEnd | Event::SequenceEnd => {
                self.0.pop();
                false
            }
            _ => false,
        }
    }

    /// Takes one node of the innermost mapping or list.
    fn node(&mut self) -> bool {
        match self.0.last_mut() {
            Some(Place::Mapping(key)) => std::mem::replace(key, !*key),
            _ => false,
        }
    }
}

/// The references in one value: name, and whether there is a default.
fn references(value: &str) -> Vec<Result<(&str, bool), String>> {
    let mut found = Vec::new();
    let mut rest = value;
    while let Some(at) = rest.find('$') {
        let behind = &rest[at + 1..];
        rest = behind;
        if let Some(behind) = behind.strip_prefix('$') {
            rest = behind;
        } else if let Some(body) = behind.strip_prefix('{') {
            let Some(end) = body.find('}') else {
                found.push(Err("`${` without `}`: write `$$` for a dollar sign".to_owned()));
                break;
            };
            found.push(reference(&body[..end]));
            rest = &body[end + 1..];
        } else if behind.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic()) {
            let name: String = behind.chars().take_while(|c| is_name(*c)).take(40).collect();
            found.push(Err(format!(
                "`${name}`: write `${{{name}}}` for the environment variable, or `$${name}` for the text"
            )));
        }
    }
    found
}

fn reference(body: &str) -> Result<(&str, bool), String> {
    let (name, default) = body.split_once(":-").map_or((body, None), |(n, d)| (n, Some(d)));
    let named = name.starts_with(|c: char| !c.is_ascii_digit()) && name.chars().all(is_name);
    if named && !default.is_some_and(|default| default.contains('$')) {
        Ok((name, default.is_some()))
    } else {
        let shown: String = body.chars().take(60).collect();
        Err(format!("`${{{shown}}}`: expected `${{NAME}}` or `${{NAME:-default}}`"))
    }
}

fn is_name(c: char) -> bool {
    c == '_' || c.is_ascii_alphanumeric()
}
