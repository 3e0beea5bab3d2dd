//! What is remembered between two walks ([`Place`], the cursor) and between two pages ([`Mark`]).

use serde::{Deserialize, Serialize};

use super::{contents::Contents, edge::Edge, rules::Lost};

/// The cursor: all that a walk needs to know of those before it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Place {
    /// The value of the cursor rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<String>,
    /// Items seen at or above the edge.
    #[serde(skip_serializing_if = "Edge::is_empty")]
    pub(super) edge: Edge,
    /// The last content of each id, for `emit: every_change`.
    #[serde(skip_serializing_if = "Contents::is_empty")]
    pub(super) contents: Contents,
    /// Items older than this moment were never wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) validators: Option<Validators>,
    /// How often in a row the producer refused it.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) refused: u8,
    /// Whether its loss was announced.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) announced: bool,
    /// The configuration that the validators belong to, and by which the items were told apart.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) config: String,
    /// It was reset: the next walk begins as the first did, and knows the contents alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) anew: bool,
}

/// What a cursor that is reset leaves behind: what was told of each id stays told, so that its next
/// change is counted from there. `None`: nothing, and the next walk is as the first.
#[must_use]
pub fn reset(cursor: &str) -> Option<crate::Cursor> {
    let contents = Place::read(cursor).contents;
    let place = Place { contents, anew: true, ..Place::default() };
    (!place.contents.is_empty()).then(|| place.write())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_zero(count: &u8) -> bool {
    *count == 0
}

impl Place {
    /// Reads a cursor; what is not one that a walk made is the bare value an operator gave.
    pub(super) fn read(text: &str) -> Self {
        let bare = |value: String| Self { value: Some(value), ..Self::default() };
        match serde_json::from_str(text) {
            Ok(place) => place,
            Err(_) => bare(serde_json::from_str(text).unwrap_or_else(|_| text.to_owned())),
        }
    }

    pub(super) fn write(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers only")
    }

    /// Whether no walk made it, or none that anything is known of.
    pub(super) fn remembers_nothing(&self) -> bool {
        self.config.is_empty() && self.edge.is_empty() && self.contents.is_empty()
    }
}

/// What one exact request was answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Validators {
    /// Identifies the request.
    pub(super) request: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) modified: Option<String>,
    /// When the whole answer was read, seconds since 1970.
    #[serde(default)]
    pub(super) at: i64,
}

/// Where a walk is; its parameters stay as they were when it began.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Mark {
    /// The value of the cursor that every request carries.
    pub(super) sent: Option<String>,
    /// How the next page is asked for; nothing more for the first.
    pub(super) step: Option<Step>,
    /// Pages read.
    pub(super) pages: u32,
    /// Items read.
    pub(super) items: u64,
    /// Fingerprints of the pages read.
    pub(super) seen: Vec<String>,
    /// The value of the cursor rule so far.
    pub(super) value: Option<String>,
    /// Items older than this moment are not wanted.
    pub(super) since: Option<String>,
    /// Items seen so far.
    pub(super) edge: Edge,
    /// How many of them are the first page's.
    pub(super) first_edge: usize,
    /// Whether the edge was larger than may be remembered.
    pub(super) overflow: bool,
    /// The contents seen so far.
    pub(super) contents: Contents,
    /// Of the first page.
    pub(super) validators: Option<Validators>,
    /// Items that were known.
    pub(super) known: usize,
    /// Items older than the cursor.
    pub(super) old: usize,
    /// Items that were new.
    pub(super) fresh: usize,
    /// New items below the cursor, within the overlap.
    pub(super) late: usize,
    /// Empty pages in a row.
    pub(super) empty: u32,
    /// Pages in a row that had been seen before.
    pub(super) repeats: u32,
    /// How often the page was asked for again because it was empty where items were expected.
    pub(super) doubts: u32,
    /// Why the next page cannot be asked for: a kind of failure, and for a person.
    pub(super) blocked: Option<(String, String)>,
    /// What an operator should know, each once.
    pub(super) warnings: Vec<String>,
    /// Whether nothing of this walk is wanted (`start: now`).
    pub(super) skip: bool,
    /// The cursor was refused, and the walk goes without it.
    pub(super) lost: Option<Lost>,
}

/// The most warnings that a walk collects.
const WARNINGS_MAX: usize = 20;

/// How the next page is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Step {
    /// At this URL, kept without secrets.
    Url(String),
    /// With a value for the carrier of `pages`, and further query parameters.
    Value {
        /// The value.
        value: String,
        /// Whether it is a number in a JSON body.
        number: bool,
        /// Names and values.
        also: Vec<(String, String)>,
    },
}

/// What a page says of the one after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Carried {
    /// There is none, and why: no carrier, or one with an end value.
    End(&'static str),
    /// There is none, for the carrier has a value that ends lists elsewhere: said, so that a value
    /// that was meant otherwise is noticed.
    Ended(String),
    /// A link, as it stands on the page.
    Link(String),
    /// A value for the carrier, and further ones by query parameter.
    Value(String, Vec<(String, String)>),
    /// Something is there that cannot be used; events may lie behind it.
    Broken(String),
}

impl Step {
    /// A number that is counted here.
    pub(super) fn counted(number: u64) -> Self {
        Self::Value { value: number.to_string(), number: true, also: Vec::new() }
    }
}

impl Mark {
    /// Notes what an operator should know.
    pub(super) fn warn(&mut self, warning: String) {
        if self.warnings.len() < WARNINGS_MAX && !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Notes that there is a next page which cannot be asked for.
    pub(super) fn block(&mut self, kind: &str, problem: String) {
        self.blocked.get_or_insert((kind.to_owned(), problem));
    }

    pub(super) fn write(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers only")
    }

    /// What the walk takes as known of the walks before it.
    pub(super) fn prior(&self, place: Place) -> Place {
        match self.lost {
            None => place,
            Some(Lost::FullWalk) => {
                Place { edge: place.edge, contents: place.contents, ..Place::default() }
            }
            // What was told of an id stays told: its next change is counted from there.
            Some(_) => Place { contents: place.contents, ..Place::default() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_as_written_or_as_bare_values() {
        let edge = Edge(vec![(1, None), (u128::MAX, Some("5".into()))]);
        let place = Place { value: Some("v".into()), edge, refused: 1, ..Place::default() };
        assert_eq!(Place::read(&place.write()), place);
        assert_eq!(Place::read("{}"), Place::default());
        for (text, value) in [
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            ("\"a b\"", "a b"),
            ("42", "42"),
            ("{\"x\":1}", "{\"x\":1}"),
        ] {
            assert_eq!(Place::read(text).value.as_deref(), Some(value), "{text}");
        }
    }
}
