//! The rules of a source, in the shapes in which the file has them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{period::Period, shape::bare_words};

/// What makes an item known: `id`, `[id, updated_at]` (joined by `:`), or `{ expr: "…" }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum IdRule {
    /// A path to it.
    Path(String),
    /// Paths whose texts are joined by `:`.
    Paths(Vec<String>),
    /// An expression over `item`.
    Expr(Expression),
}

/// A text of an item: a path to it, `{ const: "…" }`, or `{ expr: "…" }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum TextRule {
    /// A path to it.
    Path(String),
    /// Another way to have it.
    Made(Made),
}

/// A text that is no path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Made {
    /// Always this.
    Const(String),
    /// An expression over `item`.
    Expr(String),
}

/// An expression: `item` is the item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expression {
    /// As in `item.id ~ '/' ~ item.rev`.
    pub expr: String,
}

/// When an event happened: a path to an RFC 3339 text, or `{ path, unit }` for a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum TimeRule {
    /// A path to a text in RFC 3339.
    Path(String),
    /// A path to a number since 1970.
    Number(TimeNumber),
}

/// A moment as a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeNumber {
    /// Where it is.
    pub path: String,
    /// What it counts since 1970.
    pub unit: Unit,
}

/// What a moment as a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
}

/// Where the next walk starts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(remote = "Self", rename_all = "snake_case")]
#[schemars(transform = bare_words)]
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
    /// At the link that the last page gave.
    LinkUrl(LinkUrl),
    /// At a response header of the walk's first page.
    Header(HeaderCursor),
}

/// Parameters of `last_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LastId {
    /// The query parameter that takes it.
    pub query: String,
    /// Of which item of the walk; by default the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Of>,
    /// Where it is in the item; by default the first path of `id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// Parameters of `max_field`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaxField {
    /// Where it is in the item.
    pub path: String,
    /// How values are compared.
    #[serde(default)]
    pub kind: FieldKind,
    /// The query parameter that takes it; without one the list is only read up to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
}

/// How the values of a field are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// As moments, RFC 3339.
    #[default]
    Time,
    /// As numbers.
    Number,
    /// As texts, byte by byte.
    Text,
}

/// Parameters of `body_token`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BodyToken {
    /// Where it is in the page.
    pub path: String,
    /// The query parameter that takes it.
    pub query: String,
}

/// Parameters of `link_url`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LinkUrl {
    /// The relation of the link.
    pub rel: String,
}

impl Default for LinkUrl {
    fn default() -> Self {
        Self { rel: "next".into() }
    }
}

/// Parameters of `header`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderCursor {
    /// The response header, such as `ETag`.
    pub name: String,
    /// The query parameter that takes its value as it is.
    pub query: String,
}

/// Which item of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// The one listed first.
    First,
    /// The one listed last.
    #[default]
    Last,
}

/// How the next page is found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(remote = "Self", rename_all = "snake_case")]
#[schemars(transform = bare_words)]
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

/// Parameters of `link_header`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LinkHeader {
    /// The relation of the link.
    pub rel: String,
    /// Other origins that links may lead to, as `https://api2.example.com`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
}

impl Default for LinkHeader {
    fn default() -> Self {
        Self { rel: "next".into(), origins: Vec::new() }
    }
}

/// Parameters of `next_url`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NextUrl {
    /// Where it is.
    pub path: String,
    /// Other origins that it may lead to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
}

/// Parameters of `token`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Where it is.
    pub path: String,
    /// The query parameter that takes it.
    pub query: String,
}

/// Parameters of `page_number`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PageNumber {
    /// The query parameter that takes it.
    pub query: String,
    /// The number of the first page.
    pub from: u64,
}

impl Default for PageNumber {
    fn default() -> Self {
        Self { query: "page".into(), from: 1 }
    }
}

/// Parameters of `offset`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Offset {
    /// The query parameter that takes it.
    pub query: String,
    /// The largest offset that the producer takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<u64>,
}

impl Default for Offset {
    fn default() -> Self {
        Self { query: "offset".into(), ceiling: None }
    }
}

/// Parameters of `item_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemId {
    /// The query parameter that takes it.
    pub query: String,
    /// Of which item of the page.
    #[serde(default)]
    pub of: Of,
    /// Where it is in the item; by default the first path of `id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// When a walk ends, besides what always ends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Stop {
    /// A page with fewer items is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short_page: Option<usize>,
    /// A field of the page says that it is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flag: Option<Flag>,
    /// The bound of a walk.
    pub max_pages: u32,
}

impl Default for Stop {
    fn default() -> Self {
        Self { short_page: None, flag: None, max_pages: 1_000 }
    }
}

/// A field of a page that marks the last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flag {
    /// Where it is in the page.
    pub path: String,
    /// Its value on the last page.
    pub is: serde_json::Value,
}

/// What the first run takes: `now`, `earliest`, `24h`, or `{ cursor: "…" }`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Start {
    /// Nothing of what is there already.
    Now,
    /// Everything.
    #[default]
    Earliest,
    /// What is not older.
    Ago(Period),
    /// What comes after this value of the cursor.
    Cursor(String),
}

/// What happens when the producer does not know the cursor any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lost {
    /// The source fails until a cursor is set.
    #[default]
    Fail,
    /// As at a first run with `start: earliest`.
    Earliest,
    /// As at a first run with `start: now`.
    Latest,
    /// The whole list is read; what the edge knows is left out.
    FullWalk,
}

impl Lost {
    /// As it is configured.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Earliest => "earliest",
            Self::Latest => "latest",
            Self::FullWalk => "full_walk",
        }
    }
}

/// What is read again, for producers that publish late: `2m`, or `{ items: 100 }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Overlap {
    /// Items up to this much older than the cursor.
    Period(Period),
    /// The last items before the cursor.
    Items(Items),
}

/// A number of items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Items {
    /// How many.
    pub items: usize,
}

/// When an item is an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Emit {
    /// Once per id.
    #[default]
    Once,
    /// Once per id and content: the content's hash becomes part of the id.
    EveryChange,
}
