//! The rules of a source, in the shapes in which the file has them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::moment::Unit;
use crate::{period::Period, shape::or_text};

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

/// A text of an item: a path to it, `{ path: … }`, `{ const: "…" }`, or `{ expr: "…" }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum TextRule {
    /// A path to it.
    Path(String),
    /// Any way to have it.
    Made(Made),
}

/// How a text is had: exactly one of `path`, `const` and `expr`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Made {
    /// A path to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Always this.
    #[serde(rename = "const", skip_serializing_if = "Option::is_none")]
    pub constant: Option<String>,
    /// An expression over `item`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expr: Option<String>,
    /// What becomes of an item whose text cannot be read.
    #[serde(skip_serializing_if = "OnError::is_omit")]
    pub on_error: OnError,
}

/// What becomes of an item that has an attribute which cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The event is kept without it, which is counted.
    #[default]
    Omit,
    /// The item is rejected.
    Reject,
}

impl OnError {
    /// Whether it is the default.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
    fn is_omit(&self) -> bool {
        *self == Self::Omit
    }
}

/// An expression: `item` is the item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expression {
    /// As in `item.id ~ '/' ~ item.rev`.
    pub expr: String,
}

/// When an event happened: a path to a text, or how else it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum TimeRule {
    /// A path to a text in RFC 3339, or close to it.
    Path(String),
    /// A path, and how what it finds is written.
    Written(TimeWritten),
}

/// How a moment is written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeWritten {
    /// Where it is.
    pub path: String,
    /// Of a number: what it counts since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// The time zone of a text without one, as `Europe/Berlin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The form of a text, as `%d/%m/%Y %H:%M` (strftime).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// What becomes of an item whose time cannot be read.
    #[serde(default, skip_serializing_if = "OnError::is_omit")]
    pub on_error: OnError,
}

/// Where the items of a page are: a path, or `{ path, of, missing }`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(transform = or_text)]
pub struct ItemsRule {
    /// The path to them; empty: the whole body.
    #[serde(default)]
    pub path: String,
    /// In which form they are there.
    #[serde(default)]
    pub of: ItemsOf,
    /// What a page without them is.
    #[serde(default)]
    pub missing: Missing,
}

impl From<&str> for ItemsRule {
    fn from(path: &str) -> Self {
        Self { path: path.to_owned(), ..Self::default() }
    }
}

/// In which form items are on a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ItemsOf {
    /// An array.
    #[default]
    List,
    /// The values of an object, in its order.
    Values,
    /// One object, which is the only item.
    One,
    /// An array, or one object.
    Any,
}

impl ItemsOf {
    pub(super) const fn expected(self) -> &'static str {
        match self {
            Self::List => "an array",
            Self::Values => "an object whose values are the items",
            Self::One => "one object",
            Self::Any => "an array or one object",
        }
    }
}

/// What a page is that has nothing at the path of its items, or an empty text, object or `false`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// A page that cannot be read.
    #[default]
    Fail,
    /// A page without items.
    Empty,
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
    /// A parameter of a link says so, as Sentry's `results="false"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkStop>,
    /// A page behind the first that is answered so lies past the end, as 404 where page numbers end.
    #[schemars(range(min = 300, max = 599))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The bound of a walk.
    #[schemars(range(min = 1))]
    pub max_pages: u32,
    /// The most pages in a row that may be empty although another is to follow.
    pub empty_pages: u32,
}

/// A parameter of a `Link` header that marks the last page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkStop {
    /// The relation of the link.
    #[serde(default = "next_rel")]
    pub rel: String,
    /// The name of the parameter.
    pub param: String,
    /// Its value on the last page.
    pub is: String,
}

fn next_rel() -> String {
    "next".into()
}

impl Default for Stop {
    fn default() -> Self {
        Self {
            short_page: None,
            flag: None,
            link: None,
            status: None,
            max_pages: 1_000,
            empty_pages: 10,
        }
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
    /// Whenever the content of an id is another than it was last: its hash, and from the first
    /// change on the count of changes, become part of the id.
    EveryChange,
    /// Once per id and content, ever: a change back is no event.
    OncePerContent,
}

/// How conditional requests are made: `true`, `false`, or `{ max_age: 1h }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ValidatorsRule {
    /// Whether `ETag` and `Last-Modified` are used.
    Used(bool),
    /// They are used, for so long.
    Aged(ValidatorsAge),
}

/// How long validators are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ValidatorsAge {
    /// An unconditional request is made at least so often.
    pub max_age: Period,
}

impl Default for ValidatorsRule {
    fn default() -> Self {
        Self::Used(true)
    }
}

impl ValidatorsRule {
    /// For how long what was learnt is used; `None`: not at all.
    pub(super) fn max_age(self) -> Option<std::time::Duration> {
        match self {
            Self::Used(false) => None,
            Self::Used(true) => Some(std::time::Duration::from_hours(1)),
            Self::Aged(age) => Some(age.max_age.0),
        }
    }
}
