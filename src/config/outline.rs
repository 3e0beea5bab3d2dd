//! What stands where in a file: paths for the messages about it, and why it is no YAML.
//!
//! The deserializer stops at the first thing that it does not understand, which bad indentation
//! often puts in front of the place where a person has to look.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Parser, ScanError, Span};

/// Line and column from 1.
pub(crate) type Place = (u64, u64);

/// A text that refers to variables.
pub(crate) struct Template<'a> {
    /// What it is to the parser.
    pub(crate) text: String,
    /// Where it begins.
    pub(crate) at: Place,
    /// As the file has it, which may be of many lines.
    pub(crate) written: &'a str,
    node: usize,
}

/// The nodes of a file.
#[derive(Default)]
pub(crate) struct Outline<'a> {
    nodes: Vec<Node>,
    /// The first node that begins at a place.
    starts: HashMap<Place, usize>,
    /// The templates below a mapping or list.
    below: HashMap<usize, Vec<usize>>,
    pub(crate) templates: Vec<Template<'a>>,
    /// Why the text is no YAML, and where.
    pub(crate) fault: Option<(Place, String)>,
    has_content: bool,
}

struct Node {
    parent: Option<usize>,
    /// The key, or the number in a list.
    name: String,
    in_list: bool,
    key: Place,
    at: Place,
    /// Whether it is a text, and not nothing, a mapping or a list.
    is_text: bool,
}

/// A mapping or list that is open.
struct Open {
    node: usize,
    /// In a mapping: the key whose value is next.
    key: Option<(String, Place)>,
    /// In a list: how many items there were.
    items: Option<usize>,
    /// Whether it is written in `{ }` or `[ ]`.
    is_flow: bool,
}

impl<'a> Outline<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        let mut outline = Self::default();
        let mut open: Vec<Open> = Vec::new();
        for event in Parser::new_from_str(text) {
            let (event, span) = match event {
                Ok(event) => event,
                Err(error) => {
                    outline.fault = Some(outline.explain(&error, text, &open));
                    break;
                }
            };
            outline.take(&event, span, text, &mut open);
        }
        outline
    }

    fn take(&mut self, event: &Event<'_>, span: Span, text: &'a str, open: &mut Vec<Open>) {
        let at = place(span.start.line(), span.start.col());
        match event {
            Event::Scalar(value, ..) => {
                if let Some(inner) = open.last_mut()
                    && inner.items.is_none()
                    && inner.key.is_none()
                {
                    // `$filter` is a parameter's name: the deserializer leaves keys as they are.
                    inner.key = Some((value.to_string(), at));
                    return;
                }
                let node = self.add(at, open);
                self.nodes[node].is_text = !matches!(&**value, "" | "~" | "null");
                if value.contains('$') {
                    let written = span.slice(text).unwrap_or_default();
                    let mut above = self.nodes[node].parent;
                    while let Some(mapping) = above {
                        self.below.entry(mapping).or_default().push(self.templates.len());
                        above = self.nodes[mapping].parent;
                    }
                    self.templates.push(Template { text: value.to_string(), at, written, node });
                }
            }
            Event::Alias(_) => {
                self.add(at, open);
            }
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                self.has_content = true;
                let node = self.add(at, open);
                let items = matches!(event, Event::SequenceStart(..)).then_some(0);
                let first = span.slice(text).unwrap_or_default();
                let is_flow = first.starts_with(['{', '[']);
                open.push(Open { node, key: None, items, is_flow });
            }
            Event::MappingEnd | Event::SequenceEnd => {
                open.pop();
            }
            _ => {}
        }
    }

    /// Adds a node, a value or an item of what is open.
    fn add(&mut self, at: Place, open: &mut [Open]) -> usize {
        let node = match open.last_mut() {
            None => Node {
                parent: None,
                name: String::new(),
                in_list: false,
                key: at,
                at,
                is_text: false,
            },
            Some(Open { node, items: Some(items), .. }) => {
                *items += 1;
                let name = (*items - 1).to_string();
                Node { parent: Some(*node), name, in_list: true, key: at, at, is_text: false }
            }
            // A key that is no text has no name.
            Some(Open { node, key, .. }) => {
                let (name, place) = key.take().unwrap_or_else(|| ("?".into(), at));
                Node { parent: Some(*node), name, in_list: false, key: place, at, is_text: false }
            }
        };
        self.starts.entry(node.at).or_insert(self.nodes.len());
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// The path of a node, as `sources[0].http`; the whole file's is empty.
    fn path(&self, mut index: usize) -> String {
        let mut parts = Vec::new();
        while let Some(parent) = self.nodes[index].parent {
            let Node { name, in_list, .. } = &self.nodes[index];
            parts.push(match (in_list, self.nodes[parent].parent) {
                (true, _) => format!("[{name}]"),
                (false, None) => name.clone(),
                (false, Some(_)) => format!(".{name}"),
            });
            index = parent;
        }
        parts.reverse();
        parts.concat()
    }

    /// Whether no mapping or list is in it.
    pub(crate) fn is_without_content(&self) -> bool {
        !self.has_content
    }

    /// The path of what a place belongs to: of the value that has its key or begins there.
    pub(crate) fn path_at(&self, at: Place) -> Option<String> {
        let by_key = self.nodes.iter().rposition(|node| node.key == at && !node.in_list);
        let found = by_key.or_else(|| self.nodes.iter().position(|node| node.at == at))?;
        Some(self.path(found)).filter(|path| !path.is_empty())
    }

    /// The templates in the mapping at a place, and their paths from there on.
    pub(crate) fn templates_below(&self, at: Place) -> Vec<(String, &Template<'a>)> {
        let Some(index) = self.starts.get(&at) else { return Vec::new() };
        let above = format!("{}.", self.path(*index));
        let below = self.below.get(index).into_iter().flatten();
        let below = below.filter_map(|template| {
            let template = &self.templates[*template];
            Some((self.path(template.node).strip_prefix(&above)?.to_owned(), template))
        });
        below.collect()
    }

    /// The template that begins at a place.
    pub(crate) fn template(&self, at: Place) -> Option<&str> {
        let first = self.templates.partition_point(|template| template.at < at);
        self.templates.get(first).filter(|template| template.at == at).map(|one| &*one.text)
    }

    /// The path of the mapping that misses a key, by the place where that was noticed: its first
    /// key, or itself when it is empty; and the place of a key of that name beside it, which is then
    /// not indented far enough.
    pub(crate) fn missing(&self, at: Place, key: &str) -> (Option<String>, Option<Place>) {
        let by_key = self.nodes.iter().rposition(|node| node.key == at && !node.in_list);
        let first = by_key.and_then(|index| self.nodes[index].parent);
        let has_keys = |index: &usize| self.nodes.iter().any(|node| node.parent == Some(*index));
        // A mapping that has keys is told by the first: any other with nothing behind it is meant.
        let is_later = |index: &usize| {
            let parent = self.nodes[*index].parent;
            let first = self.nodes.iter().position(|node| node.parent == parent);
            first != Some(*index) || parent.and_then(|parent| self.child(parent, key)).is_some()
        };
        let empty = by_key
            .filter(|index| !has_keys(index) && !self.nodes[*index].is_text && is_later(index));
        let by_start = || self.nodes.iter().position(|node| node.at == at);
        let Some(found) = empty.or(first).or_else(by_start) else { return (None, None) };
        let beside = self.nodes[found].parent.filter(|_| empty.is_some());
        let beside = beside.and_then(|parent| self.child(parent, key));
        let path = Some(self.path(found)).filter(|path| !path.is_empty());
        (path, beside.map(|index| self.nodes[index].key))
    }

    fn child(&self, parent: usize, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.parent == Some(parent) && node.name == name)
    }

    /// Where the key of a field stands, as `cursor.max_field.path`, in the mapping that begins at a
    /// place: as much of the path as there is.
    pub(crate) fn below(&self, at: Place, field: &str) -> Option<Place> {
        let mut found = *self.starts.get(&at)?;
        let mut place = None;
        for name in steps(field) {
            let Some(child) = self.child(found, name) else { break };
            (found, place) = (child, Some(self.nodes[child].key));
        }
        place
    }

    /// Where a field stands, as `webhook.secrets[1]`, in the mapping that has a value at a place.
    pub(crate) fn beside(&self, at: Place, field: &str) -> Option<Place> {
        let value = self.nodes.iter().rposition(|node| node.at == at)?;
        let mapping = self.nodes[value].parent?;
        let field = steps(field).try_fold(mapping, |parent, name| self.child(parent, name))?;
        Some(self.nodes[field].key)
    }

    /// What is no YAML, at the place and in the words of somebody who has to mend it.
    fn explain(&self, error: &ScanError, text: &str, open: &[Open]) -> (Place, String) {
        let at = place(error.marker().line(), error.marker().col());
        if let Some(tab) = tab(text, at.0) {
            return (tab, "a tab in the indentation: expected blanks only".into());
        }
        let line = line(text, at.0);
        let before = |places: u64| {
            let index =
                usize::try_from(at.1).ok()?.checked_sub(1 + usize::try_from(places).ok()?)?;
            let (start, _) = line.char_indices().nth(index)?;
            Some(&line[start..])
        };
        let flow = open.iter().rev().find(|open| open.is_flow).map(|open| self.nodes[open.node].at);
        for places in 0..2 {
            let variable = before(places).filter(|rest| rest.starts_with("${"));
            if let Some((name, _)) = variable.and_then(|rest| rest[2..].split_once('}')) {
                let quoted =
                    format!("within `{{ }}` and `[ ]` a variable is quoted: \"${{{name}}}\"");
                return ((at.0, at.1 - places), quoted);
            }
        }
        let message = match error.kind() {
            ErrorKind::ExpectedBlockMappingKey
            | ErrorKind::ExpectedBlockSequenceEntry
            | ErrorKind::InvalidIndentation => {
                "the indentation is that of nothing above: the keys of one mapping begin in the same \
                 column, and so do the `-` of one list"
                    .into()
            }
            ErrorKind::MappingValueNotAllowed => {
                "a `:` where no key can be: indent the line as the others, or put the text into quotes"
                    .into()
            }
            other => flow.map_or_else(
                || other.to_string(),
                |(line, column)| {
                    format!(
                        "the `{{` or `[` of line {line}, column {column} is not closed, or a text in it \
                         needs quotes"
                    )
                },
            ),
        };
        (at, message)
    }
}

/// The names and numbers of a path.
fn steps(field: &str) -> impl Iterator<Item = &str> {
    field.split(['.', '[']).map(|name| name.trim_end_matches(']'))
}

const fn place(line: usize, column: usize) -> Place {
    (line as u64, column as u64 + 1)
}

/// A line, counted from 1.
fn line(text: &str, number: u64) -> &str {
    let index = usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1);
    text.lines().nth(index).unwrap_or_default()
}

/// The first tab in the indentation of a line, or of the next that is not empty: what was read
/// before is blamed for it.
fn tab(text: &str, number: u64) -> Option<Place> {
    let index = usize::try_from(number).ok()?.saturating_sub(1);
    let lines = text.lines().enumerate().skip(index);
    let lines = lines.filter(|(_, line)| !line.trim().is_empty());
    lines.take(2).find_map(|(index, line)| {
        let indentation = line.chars().take_while(|c| c.is_whitespace());
        let column = indentation.into_iter().position(|c| c == '\t')?;
        Some(place(index + 1, column))
    })
}
