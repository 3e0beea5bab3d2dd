//! `${NAME}` and `${NAME:-default}` in the values of a file.
//!
//! The values are found by a YAML parser, never in keys or comments, and the YAML deserializer
//! puts the variable's text into the parsed value, so that no text can change the structure.

use std::collections::HashMap;

use super::{error::Problems, mask::is_token, outline::Place};

/// The variables that the values of the file refer to and that are set. References of another form
/// and unset ones without a default become problems.
pub(crate) fn used(
    env: &dyn Fn(&str) -> Option<String>,
    problems: &mut Problems<'_>,
) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut wrong = Vec::new();
    for template in &problems.outline().templates {
        let references = references(&template.text, problems.is_secret_at(template.at));
        let places = places(template.written, template.at);
        for (index, reference) in references.iter().enumerate() {
            // A dollar sign may be written as an escape, which has no place of its own.
            let place = places.get(index).filter(|_| places.len() == references.len());
            let place = place.copied().unwrap_or(template.at);
            match reference {
                Ok((name, default)) => match env(name) {
                    Some(value) => {
                        found.insert((*name).to_owned(), value);
                    }
                    None if *default => {}
                    None => wrong.push((place, format!("the environment variable `{name}` is not set: set it, or write `${{{name}:-default}}`"))),
                },
                // What is misspelt is told of the whole value, unless it is of several lines.
                Err(message) if place.0 == template.at.0 => wrong.push((template.at, message.clone())),
                Err(message) => wrong.push((place, message.clone())),
            }
        }
    }
    for ((line, column), message) in wrong {
        problems.add_at(line, column, message);
    }
    found
}

/// A URL with the names of variables, as `$NAME`, in the places of those values behind the authority
/// that may be tokens; `None` when there is none.
pub(crate) fn shown_url(template: &str, env: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let (mut url, mut hides) = (String::new(), false);
    for part in parts(template) {
        let (name, default) = match part {
            Part::Text(text) => {
                url.push_str(text);
                continue;
            }
            Part::Variable(name, default) => (name, default),
        };
        let Some(value) = env(name) else {
            url.push_str(default.unwrap_or_default());
            continue;
        };
        // A whole URL may come from one variable.
        let start = url.len();
        url.push_str(&value);
        let authority = url.find("://").map_or(0, |at| at + 3);
        let path = url[authority..].find(['/', '?', '#']).map(|at| authority + at);
        if let Some(path) = path.map(|path| path.max(start)).filter(|path| *path < url.len()) {
            let kept = usize::from(url[path..].starts_with(['/', '?', '#']));
            if !is_token(name, url[path..].trim_start_matches('/')) {
                continue;
            }
            url.truncate(path + kept);
            url.push('$');
            url.push_str(name);
            hides = true;
        }
    }
    hides.then_some(url)
}

/// A text with the names of variables in the places of the values that may be tokens.
pub(crate) fn shown(template: &str, env: &dyn Fn(&str) -> Option<String>) -> String {
    let shown = |part| match part {
        Part::Text(text) => text.to_owned(),
        Part::Variable(name, default) => match env(name) {
            Some(value) if is_token(name, &value) => format!("${name}"),
            Some(value) => value,
            None => default.unwrap_or_default().to_owned(),
        },
    };
    parts(template).into_iter().map(shown).collect()
}

/// The tokens among the values of the variables that a text refers to, each as it stands in the result:
/// of a whole URL what lies behind the authority.
pub(crate) fn values(template: &str, env: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let behind = |value: String| match value.split_once("://") {
        Some((_, rest)) => {
            rest.split_once(['/', '?', '#']).map_or_else(String::new, |(_, path)| path.to_owned())
        }
        None => value,
    };
    let token = |part| match part {
        Part::Variable(name, _) => env(name).map(behind).filter(|value| is_token(name, value)),
        Part::Text(_) => None,
    };
    parts(template).into_iter().filter_map(token).collect()
}

enum Part<'a> {
    Text(&'a str),
    Variable(&'a str, Option<&'a str>),
}

/// The parts of a text whose references are in order.
fn parts(template: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        parts.push(Part::Text(&rest[..at]));
        let behind = &rest[at + 1..];
        if let Some((body, after)) = behind.strip_prefix('{').and_then(|body| body.split_once('}'))
        {
            let (name, default) = body.split_once(":-").map_or((body, None), |(n, d)| (n, Some(d)));
            parts.push(Part::Variable(name, default));
            rest = after;
        } else {
            parts.push(Part::Text("$"));
            rest = behind.strip_prefix('$').unwrap_or(behind);
        }
    }
    parts.push(Part::Text(rest));
    parts
}

/// Where the references stand in a value as it is written from `at` on, which may be of many lines.
fn places(written: &str, at: Place) -> Vec<Place> {
    let mut places = Vec::new();
    let (mut line, mut column) = at;
    let mut rest = written.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, rest.peek().copied()) {
            ('$', Some('$')) => {
                rest.next();
                column += 1;
            }
            ('$', Some(next)) if next == '{' || next == '_' || next.is_ascii_alphabetic() => {
                places.push((line, column));
            }
            _ => {}
        }
        (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
    }
    places
}

/// The references in one value, which may be a secret: name, and whether there is a default.
fn references(value: &str, is_secret: bool) -> Vec<Result<(&str, bool), String>> {
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
            let secret = if is_secret {
                format!(" `{{ env: {name} }}` for a secret,")
            } else {
                String::new()
            };
            found.push(Err(format!(
                "`${name}`: write{secret} `${{{name}}}` for the environment variable, or `$${name}` for the text"
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
