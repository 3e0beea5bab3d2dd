//! `cursor`: where the next walk starts. One file per kind; here is what all of them answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    body::{Body, Token},
    carrier::Carriers,
    error::SpecError,
    pages::token::ends,
    target::Target,
    walk::{Carried, Mark, Step},
};
use crate::{
    Listed,
    extract::{Fields, Path},
    shape::bare_words,
};

mod body_token;
mod body_url;
mod header;
mod last_id;
mod link_url;
mod max_field;

pub use self::{
    body_token::BodyToken, body_url::BodyUrl, header::HeaderCursor, last_id::LastId,
    link_url::LinkUrl, max_field::MaxField,
};

/// Where the next walk starts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(remote = "Self", rename_all = "snake_case")]
#[schemars(transform = bare_words(&["max_field", "body_token", "body_url", "header"]))]
pub enum CursorRule {
    /// At the beginning of the list, always; what was seen is recognised.
    #[default]
    None,
    /// After an item's id.
    LastId(LastId),
    /// At the largest value of a field.
    MaxField(MaxField),
    /// At a token of the last page's body.
    BodyToken(BodyToken),
    /// At a URL in the last page's body, as `OData`'s `@odata.deltaLink`.
    BodyUrl(BodyUrl),
    /// At the link that the last page gave.
    LinkUrl(LinkUrl),
    /// At a response header of the walk's first page.
    Header(HeaderCursor),
}

/// A page that was read, for a cursor to learn from.
pub(super) struct Learning<'a> {
    pub(super) url: &'a Target,
    pub(super) body: &'a Body<'a>,
    /// A link as it may be followed and kept; or why it may not.
    pub(super) link: &'a dyn Fn(&str) -> Result<String, String>,
    /// How the next page is asked for, if there is one.
    pub(super) step: Option<&'a Step>,
}

/// One item of a page, for a cursor to learn from.
pub(super) struct Listing<'a> {
    pub(super) listed: Listed,
    /// Whether it is the first item of its page.
    pub(super) first: bool,
    pub(super) fields: &'a Fields<'a>,
    /// Its id: at the path, or at the first path of `id`.
    pub(super) raw_id: &'a dyn Fn(Option<&Path>, &Fields<'_>) -> Option<String>,
}

/// What a kind of cursor does. The defaults are those of a list that is always read from its
/// beginning.
pub(super) trait CursorKind {
    /// The settings of how its value is sent; `None` when it is not.
    fn carriers(&self) -> Option<Carriers<'_>> {
        None
    }

    /// Whether its value is the URL that the next walk asks first.
    fn is_url(&self) -> bool {
        false
    }

    /// The value as it is sent.
    fn sent(&self, value: &str) -> String {
        value.to_owned()
    }

    /// Whether the value is a number in a JSON body.
    fn is_number(&self) -> bool {
        false
    }

    /// Whether everything the walk saw is remembered at the edge, and not only its ends.
    fn remembers_all(&self) -> bool {
        false
    }

    /// Whether a walk that ends too early leaves nothing behind: the next one starts at what this
    /// one saw, and not beyond.
    fn covers_only_seen(&self, listed: Listed) -> bool;

    /// Learns from one item of a page.
    fn item(&self, _item: &Listing<'_>, _mark: &mut Mark) {}

    /// Learns from a page.
    fn page(&self, _learning: &Learning<'_>, _mark: &mut Mark) {}

    /// Where a page has the value, if pages have it: a walk without it does not move the cursor.
    fn place(&self) -> Option<&str> {
        None
    }

    /// Other origins that its URL may lead to.
    fn origins(&self) -> &[String] {
        &[]
    }

    /// Whether path and query of its URL are asked at the source's own scheme and authority.
    fn rebase(&self) -> bool {
        false
    }

    /// The next page, where the cursor is what leads to it.
    fn next(&self, _body: &Body<'_>) -> Carried {
        Carried::End("single_page")
    }

    /// What in its parameters does not go with the rest.
    fn check(&self) -> Result<(), SpecError> {
        Ok(())
    }
}

/// A list without a cursor.
struct Whole;

impl CursorKind for Whole {
    fn remembers_all(&self) -> bool {
        true
    }

    fn covers_only_seen(&self, listed: Listed) -> bool {
        // The list is read anew each time; but newest first the walk ends at what is known.
        listed != Listed::NewestFirst
    }
}

impl CursorRule {
    pub(super) fn kind(&self) -> &dyn CursorKind {
        match self {
            Self::None => &Whole,
            Self::LastId(kind) => kind,
            Self::MaxField(kind) => kind,
            Self::BodyToken(kind) => kind,
            Self::BodyUrl(kind) => kind,
            Self::LinkUrl(kind) => kind,
            Self::Header(kind) => kind,
        }
    }

    /// The rule of `max_field`.
    pub(super) fn max_field(&self) -> Option<&MaxField> {
        match self {
            Self::MaxField(rule) => Some(rule),
            _ => None,
        }
    }
}

/// What the page has at `path` for a cursor. What cannot be one is told, and the cursor stays.
fn given(path: &str, learning: &Learning<'_>, mark: &mut Mark) -> Option<String> {
    match learning.body.token(path) {
        // `0` ends lists at many producers, and is a cursor where sequences begin with it.
        Token::Value(text) if text != "0" && ends(&text) => {
            mark.warn(format!(
                "cursor: `{path}` is `{text}`, which is no cursor: it stays where it is"
            ));
            None
        }
        Token::Value(text) => Some(text),
        Token::None => None,
        Token::Broken(problem) => {
            mark.warn(format!("cursor: {problem}: the cursor stays where it is"));
            None
        }
    }
}
