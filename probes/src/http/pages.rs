//! `pages`: how the next page is found. One file per kind; here is what all of them answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    body::Body,
    carrier::Carriers,
    walk::{Carried, Mark, Step},
};
use crate::{
    extract::{Fields, Path},
    shape::bare_words,
};

mod item_id;
mod link_header;
mod next_url;
mod offset;
mod page_number;
pub(super) mod token;

pub use self::{
    item_id::ItemId, link_header::LinkHeader, next_url::NextUrl, offset::Offset,
    page_number::PageNumber, token::Token,
};

/// How the next page is found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(remote = "Self", rename_all = "snake_case")]
#[schemars(transform = bare_words(&["next_url", "token"]))]
pub enum Pages {
    /// There is one page.
    #[default]
    None,
    /// A `Link` header (RFC 8288).
    LinkHeader(LinkHeader),
    /// A URL in the body, or in a header (`headers.next-page`), relative or absolute.
    NextUrl(NextUrl),
    /// A token in the body, or in a header.
    Token(Token),
    /// A number that counts pages.
    PageNumber(PageNumber),
    /// A number that counts items.
    Offset(Offset),
    /// The id of an item of the page.
    ItemId(ItemId),
}

/// Reads an item's id: at the path, or at the first path of `id`.
pub(super) type RawId<'a> = &'a dyn Fn(Option<&Path>, &Fields<'_>) -> Option<String>;

/// A page that was read, for the next one to be found.
pub(super) struct Turning<'a> {
    pub(super) body: &'a Body<'a>,
    /// The id of an item: at the path, or at the first path of `id`.
    pub(super) raw_id: RawId<'a>,
    pub(super) items: &'a [&'a RawValue],
    /// Before this page is counted.
    pub(super) mark: &'a Mark,
}

/// What a kind of paging does.
pub(super) trait PageKind {
    /// The settings of how its value is sent; `None` when the next page has a URL.
    fn carriers(&self) -> Option<Carriers<'_>> {
        None
    }

    /// The query parameter that takes the value when no carrier is named.
    fn default_query(&self) -> Option<&'static str> {
        None
    }

    /// How the first page is asked for, if it needs more than the URL.
    fn first(&self) -> Option<Step> {
        None
    }

    /// What this page says of the next.
    fn next(&self, turning: &Turning<'_>) -> Carried;

    /// Whether the value is counted here, and so says nothing of an end.
    fn counts(&self) -> bool {
        false
    }

    /// Whether the answer's body says what comes next, so that an unchanged one means that nothing
    /// does.
    fn in_body(&self) -> bool {
        false
    }

    /// Other origins that links may lead to.
    fn origins(&self) -> &[String] {
        &[]
    }

    /// Whether path and query of a link are asked at the source's own scheme and authority.
    fn rebase(&self) -> bool {
        false
    }
}

/// One page and no more.
struct Single;

impl PageKind for Single {
    fn next(&self, _: &Turning<'_>) -> Carried {
        Carried::End("single_page")
    }

    fn in_body(&self) -> bool {
        true
    }
}

impl Pages {
    pub(super) fn kind(&self) -> &dyn PageKind {
        match self {
            Self::None => &Single,
            Self::LinkHeader(kind) => kind,
            Self::NextUrl(kind) => kind,
            Self::Token(kind) => kind,
            Self::PageNumber(kind) => kind,
            Self::Offset(kind) => kind,
            Self::ItemId(kind) => kind,
        }
    }
}
