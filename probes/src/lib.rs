//! Milkrun's way to producers: what is new at an endpoint, as drafts.
//!
//! This crate knows nothing of versions, stores, consumers or clocks. It is handed the network and
//! the present moment, makes **one** request per call, and answers with a page. Everything it has
//! to remember between two pages of a walk is in the [`Mark`]; everything it has to remember
//! between two walks is in the [`Cursor`]. Both are plain JSON, kept by whoever calls.

mod budget;
mod extract;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod http;
pub mod moment;
pub mod number;
pub mod period;
pub mod schema;
mod shape;

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::{
    budget::{Budget, Held},
    extract::{deeper_than, lenient},
};

/// The network as it is handed in: guarded, without redirects. Its errors are told apart by
/// [`std::io::ErrorKind`]: `PermissionDenied` (a forbidden address), `HostUnreachable` (no such
/// name), `ConnectionRefused`, `ConnectionReset`, `InvalidData` (TLS), `TimedOut`, `Other`.
pub type Network = tower::util::BoxCloneSyncService<
    ::http::Request<Bytes>,
    ::http::Response<http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error>>,
    std::io::Error,
>;

/// What a producer said of one event; it has no version yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// CloudEvents `id`.
    pub id: String,
    /// CloudEvents `source`.
    pub source: String,
    /// CloudEvents `type`.
    pub kind: String,
    /// CloudEvents `time`, RFC 3339.
    pub time: Option<String>,
    /// CloudEvents `subject`.
    pub subject: Option<String>,
    /// CloudEvents `partitionkey`.
    pub key: Option<String>,
    /// Media type of `data`; `None` means JSON.
    pub content_type: Option<String>,
    /// The item as the producer sent it: a slice of the page, never serialised again.
    pub data: Bytes,
}

/// Where the next walk starts: JSON text, opaque to whoever keeps it.
pub type Cursor = String;

/// Where a walk is: JSON text, opaque to whoever keeps it.
pub type Mark = String;

/// An item that was no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// What was wrong, naming the field.
    pub reason: String,
    /// The item as sent, cut at 64 KiB.
    pub item: Bytes,
}

/// A hole in what the producer showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// `bound_reached` or `cursor_lost`.
    pub reason: &'static str,
    /// For a person.
    pub detail: String,
}

/// One page of a walk.
#[derive(Debug)]
pub struct Page {
    /// What is new on it, in listed order (without what the cursor's edge knows).
    pub drafts: Vec<Draft>,
    /// What was no event.
    pub rejected: Vec<Rejected>,
    /// Attributes of the drafts that could not be read, and so were left out.
    pub field_errors: FieldErrors,
    /// How many items it had, known and rejected ones included.
    pub items: usize,
    /// Whether the walk goes on or is complete.
    pub next: Next,
    /// The cursor with what the drafts of a page that is not the last add to it, to be kept with
    /// them: they are known then even if the walk is never complete.
    pub learnt: Option<Cursor>,
    /// What the producer said about being asked.
    pub pace: Pace,
    /// The other fields of the page, name and value, if the walk was to be explained.
    pub others: Vec<(String, String)>,
    /// How the request and its answer looked.
    pub exchange: Option<Exchange>,
    /// The page's share of the memory of all pages: to be kept as long as its drafts.
    pub held: Option<Held>,
}

/// Attributes that could not be read: by field (`time`, `key`, `subject`, `type`, or `cursor` for
/// the field of `max_field`) how often, and why the first time.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct FieldErrors(pub BTreeMap<String, FieldError>);

/// What could not be read of one field.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct FieldError {
    /// How often.
    pub count: u64,
    /// Why, the first time.
    pub reason: String,
}

impl FieldErrors {
    /// Whether everything could be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts one.
    pub fn add(&mut self, field: &str, reason: String) {
        let first = || FieldError { count: 0, reason };
        self.0.entry(field.to_owned()).or_insert_with(first).count += 1;
    }

    /// One line a field, for a person.
    pub fn told(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(|(field, FieldError { count, reason })| {
            format!("`{field}` could not be read of {count} items: {reason}")
        })
    }

    /// Adds those of another page.
    pub fn join(&mut self, other: Self) {
        for (field, error) in other.0 {
            let first = || FieldError { count: 0, reason: error.reason };
            self.0.entry(field).or_insert_with(first).count += error.count;
        }
    }
}

/// A request and its answer as they may be shown: secrets are `***`.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Exchange {
    /// `GET`
    pub method: String,
    /// With its query.
    pub url: String,
    /// Request headers.
    pub headers: Vec<(String, String)>,
    /// The JSON body of the request, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The status, if there was an answer.
    pub status: Option<u16>,
    /// The media type of the answer.
    pub content_type: String,
    /// Bytes of the body, decoded.
    pub bytes: usize,
    /// The first 200 bytes of the answer's body, control characters escaped.
    pub first: String,
    /// Items on the page.
    pub items: usize,
}

/// What follows a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Ask again with this mark.
    Page(Mark),
    /// The walk is complete.
    Done(Walk),
}

/// A complete walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// Where the next one starts.
    pub cursor: Cursor,
    /// Whether a hole is to be recorded.
    pub gap: Option<Gap>,
    /// Whether the producer said that nothing changed (304).
    pub unchanged: bool,
    /// Why it ended: `empty_page`, `short_page`, `known_id`, `flag`, `no_token`, …
    pub stopped_by: &'static str,
    /// Things an operator should know, such as an edge set that is too large.
    pub warnings: Vec<String>,
}

/// What the producer said about being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    /// Not before so many seconds (`Retry-After`).
    pub retry_after_s: Option<u64>,
    /// Not more often than every so many seconds (`X-Poll-Interval`).
    pub poll_interval_s: Option<u64>,
}

/// How a newest-first list is to be treated: numbered only when the walk is complete.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Listed {
    /// Each page is appended at once.
    #[default]
    OldestFirst,
    /// Pages wait in the journal until the walk is complete.
    NewestFirst,
    /// Each page is appended at once.
    Unordered,
}

/// Why a request gave no page. The cursor stays; the walk may be tried again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Which kind.
    pub kind: FailureKind,
    /// For a person: names the URL (without secrets), the field and what was expected.
    pub message: String,
    /// The one setting or command that helps; `NAME` stands for the source's name.
    pub help: Option<Box<str>>,
    /// What the producer said about being asked.
    pub pace: Pace,
    /// The cursor with what this failure adds to it (a suspicion that it is lost), to be kept
    /// without counting a walk.
    pub cursor: Option<Cursor>,
    /// Whether the mark is of no use any more: the next poll starts anew from the cursor.
    pub restart: bool,
    /// A hole to be recorded although no walk is complete.
    pub gap: Option<Box<Gap>>,
    /// How the request looked, if one was sent.
    pub exchange: Option<Box<Exchange>>,
}

impl Failure {
    /// What helps, for the source of this name.
    #[must_use]
    pub fn help_for(&self, name: &str) -> Option<String> {
        Some(self.help.as_deref()?.replace(" NAME ", &format!(" {name} ")))
    }
}

/// Kinds of failure: the `reason` of logs, metrics and reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// No answer: name, connection, TLS.
    Unreachable,
    /// The address is forbidden.
    Forbidden,
    /// This machine has no file, port or memory left to ask with: nothing of the producer.
    Machine,
    /// No whole answer in time.
    Timeout,
    /// A status that is no success.
    Status(u16),
    /// The answer cannot be read as configured.
    Malformed,
    /// The answer is over a limit.
    TooLarge,
    /// A link leads to another origin.
    ForeignLink,
    /// A page that is an error by the rules of the source.
    ErrorPage,
    /// The producer is not ready yet: asked again soon, and no failure.
    Waiting,
    /// The producer refused the cursor twice, and answers without it: whether that is the cursor's
    /// fault is seen by asking with it once more.
    CursorDoubted,
    /// The cursor is not known to the producer any more.
    CursorLost,
}

impl FailureKind {
    /// The kind as a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Forbidden => "forbidden_address",
            Self::Machine => "machine",
            Self::Timeout => "timeout",
            Self::Status(_) => "status",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::ForeignLink => "foreign_link",
            Self::ErrorPage => "error_page",
            Self::Waiting => "waiting",
            Self::CursorDoubted => "cursor_doubted",
            Self::CursorLost => "cursor_lost",
        }
    }
}

/// One producer, asked one page at a time.
#[async_trait]
pub trait Probe: Send + Sync {
    /// How the producer lists.
    fn listed(&self) -> Listed;

    /// Makes one request: the page that `ask` wants.
    ///
    /// # Errors
    /// A [`Failure`] when there is no page; nothing of it may be kept but `Failure::cursor`.
    async fn page(&self, network: &Network, budget: &Budget, ask: Ask<'_>)
    -> Result<Page, Failure>;

    /// Whether a walk can start at what somebody gives as a cursor.
    ///
    /// # Errors
    /// What is expected instead.
    fn check_cursor(&self, _cursor: &serde_json::Value) -> Result<(), String> {
        Ok(())
    }
}

/// Which page is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Where the walk starts; `None`: the first walk ever.
    pub cursor: Option<&'a Cursor>,
    /// Where the walk is; `None`: at its beginning.
    pub mark: Option<&'a Mark>,
    /// The present moment: for `start`, for times in the future and for what the producer asks for.
    pub now: jiff::Timestamp,
    /// What the producer said before this moment makes no request conditional: an operator, or a
    /// start, wants to see for itself.
    pub validators_since: jiff::Timestamp,
    /// Whether the page is to be shown to a person, with its other fields.
    pub explain: bool,
}

impl<'a> Ask<'a> {
    /// For the page at `mark`, or the first after `cursor`.
    #[must_use]
    pub fn new(cursor: Option<&'a Cursor>, mark: Option<&'a Mark>, now: jiff::Timestamp) -> Self {
        let validators_since = jiff::Timestamp::UNIX_EPOCH;
        Self { cursor, mark, now, validators_since, explain: false }
    }
}
