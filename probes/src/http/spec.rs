//! All that one HTTP source is told, with its secrets resolved.

use std::{fmt, time::Duration};

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{
    carrier::{self, Carrier, has_place},
    cursor::CursorRule,
    error::SpecError,
    limits::Limits,
    order::FieldKind,
    pages::Pages,
    rules::{
        Emit, IdRule, ItemsRule, Lost, Overlap, Start, Stop, TextRule, TimeRule, ValidatorsRule,
    },
    target::Target,
};
use crate::Listed;

/// One HTTP source. Its `Debug` text shows no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Spec {
    /// What is asked, `http` or `https`, without userinfo. `{cursor}` and `{page}` in it, and in
    /// the values of `query`, `headers` and `body`, are the values of those rules.
    pub url: Target,
    /// Query parameters of the first request.
    pub query: Vec<Param>,
    /// Request headers.
    pub headers: Vec<Param>,
    /// The JSON body of every request, which is then a POST.
    pub body: Option<Value>,
    /// Credentials.
    pub auth: Auth,
    /// Where the items are, and in which form.
    pub items: ItemsRule,
    /// An expression over `status`, `headers` and `page`: the answer is a failure.
    pub fail_when: Option<String>,
    /// Such an expression: the answer is not ready yet. By default that is status 202.
    pub wait_when: Option<String>,
    /// The character encoding of the body, whatever the answer says.
    pub charset: Option<String>,
    /// What makes an item known.
    pub id: IdRule,
    /// CloudEvents `source`; by default [`Spec::default_source`].
    pub source: Option<String>,
    /// CloudEvents `type`; by default [`Spec::default_kind`].
    pub kind: Option<TextRule>,
    /// The `type` of an item that has none by its rule, `TOPIC.event`.
    pub default_kind: String,
    /// CloudEvents `time`.
    pub time: Option<TimeRule>,
    /// CloudEvents `partitionkey`.
    pub key: Option<TextRule>,
    /// CloudEvents `subject`.
    pub subject: Option<TextRule>,
    /// In which order the producer lists.
    pub listed: Listed,
    /// Where the next walk starts.
    pub cursor: CursorRule,
    /// How the next page is found.
    pub pages: Pages,
    /// When a walk ends.
    pub stop: Stop,
    /// What the first run takes.
    pub start: Start,
    /// What happens when the cursor is lost.
    pub lost: Lost,
    /// What is read again.
    pub overlap: Option<Overlap>,
    /// When an item is an event.
    pub emit: Emit,
    /// Whether and for how long `ETag` and `Last-Modified` are used.
    pub validators: ValidatorsRule,
    /// One deadline over connecting, sending and the whole answer.
    pub timeout: Duration,
    /// Bounds of one page.
    pub limits: Limits,
    /// The URL without what must not be shown of it, for the default of `source`.
    #[serde(skip)]
    pub shown_url: Option<Target>,
    /// Values of `query` that must not be shown, and what is shown for them there.
    #[serde(skip)]
    pub shown_query: Vec<(String, String)>,
    /// Further texts that are hidden in whatever is shown.
    #[serde(skip)]
    pub hidden: Vec<Secret>,
}

/// A query parameter or header.
#[derive(Clone, PartialEq, Eq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Whether the value must not be shown.
    pub secret: bool,
}

impl Param {
    /// One that may be shown.
    pub fn plain(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into(), secret: false }
    }

    /// One whose value must not be shown.
    pub fn secret(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into(), secret: true }
    }
}

impl Serialize for Param {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = if self.secret { "***" } else { self.value.as_str() };
        (&self.name, value).serialize(serializer)
    }
}

impl fmt::Debug for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if self.secret { "***" } else { self.value.as_str() };
        write!(f, "{}={value:?}", self.name)
    }
}

/// A text that must not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How the producer is shown who asks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// `Authorization: Bearer …`
    Bearer(Secret),
    /// `Authorization: Basic …` (RFC 7617)
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A key in a header or a query parameter.
    ApiKey {
        /// Where it goes.
        into: Credential,
        /// A word before it, set apart by a space.
        prefix: Option<String>,
        /// The key.
        value: Secret,
    },
}

/// Where an API key goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// Into this header.
    Header(String),
    /// Into this query parameter.
    Query(String),
}

impl Spec {
    /// The defaults, for a list at `url` whose items have their id at the path `id`.
    #[must_use]
    pub fn new(url: impl Into<Target>) -> Self {
        Self {
            url: url.into(),
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            auth: Auth::None,
            items: ItemsRule::default(),
            fail_when: None,
            wait_when: None,
            charset: None,
            id: IdRule::Path("id".into()),
            source: None,
            kind: None,
            default_kind: "event".into(),
            time: None,
            key: None,
            subject: None,
            listed: Listed::OldestFirst,
            cursor: CursorRule::None,
            pages: Pages::None,
            stop: Stop::default(),
            start: Start::Earliest,
            lost: Lost::Fail,
            overlap: None,
            emit: Emit::Once,
            validators: ValidatorsRule::default(),
            timeout: Duration::from_secs(30),
            limits: Limits::default(),
            shown_url: None,
            shown_query: Vec::new(),
            hidden: Vec::new(),
        }
    }

    /// Checks what the types do not say.
    ///
    /// # Errors
    /// Names the first field that does not go with the others.
    pub fn check(&self) -> Result<(), SpecError> {
        let wrong = |field, problem: &str| Err(SpecError { field, problem: problem.into() });
        let url = self.url.base();
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return wrong("url", "expected an http or https URL with a host");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return wrong("url", "has a user or password: expected them in `auth`");
        }
        if self.timeout.is_zero() {
            return wrong("timeout", "expected more than zero");
        }
        if self.stop.max_pages == 0 {
            return wrong("stop.max_pages", "expected at least 1");
        }
        if self.stop.status.is_some_and(|status| !(300..=599).contains(&status)) {
            return wrong("stop.status", "expected a status from 300 to 599");
        }
        if matches!(&self.id, IdRule::Paths(paths) if paths.is_empty()) {
            return wrong("id", "expected at least one path");
        }
        if let Some(source) = &self.source
            && (source.is_empty() || source.chars().any(char::is_control))
        {
            return wrong(
                "source",
                "expected a URI reference that is not empty, without control characters",
            );
        }
        self.limits.check()?;
        self.check_walk()?;
        self.check_carriers()
    }

    /// The rules of a walk: where it starts, what it reads again.
    fn check_walk(&self) -> Result<(), SpecError> {
        let wrong = |field, problem: &str| Err(SpecError { field, problem: problem.into() });
        let timed = self.cursor.max_field().is_some_and(|field| field.kind == FieldKind::Time);
        if matches!(self.overlap, Some(Overlap::Period(_))) && !timed {
            return wrong(
                "overlap",
                "a length of time needs `cursor: { max_field: { kind: time } }`",
            );
        }
        if matches!(self.start, Start::Ago(_)) && !timed && self.time.is_none() {
            return wrong(
                "start",
                "a length of time needs `time`, or `cursor: { max_field: { kind: time } }`",
            );
        }
        let counted = matches!(&self.cursor, CursorRule::MaxField(_))
            || (matches!(&self.cursor, CursorRule::None) && self.listed == Listed::NewestFirst);
        if matches!(self.overlap, Some(Overlap::Items(_))) && !counted {
            return wrong(
                "overlap",
                "a number of items needs `cursor: max_field`, or `listed: newest_first`",
            );
        }
        let sent = !matches!(&self.cursor, CursorRule::None);
        if matches!(self.start, Start::Cursor(_)) && !sent {
            return wrong("start.cursor", "needs a `cursor` other than `none`");
        }
        Ok(())
    }

    /// How values are sent, and to whom.
    fn check_carriers(&self) -> Result<(), SpecError> {
        let cursor = self.cursor.kind();
        cursor.check()?;
        let has_place = self.has_place("cursor");
        if let Some(carriers) = cursor.carriers() {
            // A list can be read up to the largest value of a field without sending it.
            let needed = self.cursor.max_field().is_none() && !has_place;
            carrier::check("cursor", carriers, needed, "cursor")?;
        } else if has_place {
            let problem = "`{cursor}` stands in the request: expected a `cursor` with a value";
            return Err(SpecError { field: "cursor", problem: problem.into() });
        }
        let needs_path =
            |path: &Option<String>| path.is_none() && matches!(self.id, IdRule::Expr(_));
        let nameless = "`id` is an expression: expected `path`, where in the item the value is";
        if matches!(&self.cursor, CursorRule::LastId(rule) if needs_path(&rule.path)) {
            return Err(SpecError { field: "cursor.last_id", problem: nameless.into() });
        }
        if matches!(&self.pages, Pages::ItemId(rule) if needs_path(&rule.path)) {
            return Err(SpecError { field: "pages.item_id", problem: nameless.into() });
        }
        let pages = self.pages.kind();
        if let Some(carriers) = pages.carriers() {
            let needed = pages.default_query().is_none() && !self.has_place("page");
            carrier::check("pages", carriers, needed, "page")?;
        } else if self.has_place("page") {
            let problem = "`{page}` stands in the request: expected `pages` with a value";
            return Err(SpecError { field: "pages", problem: problem.into() });
        }
        let in_body = [cursor.carriers(), pages.carriers()].into_iter().flatten();
        let in_body = in_body.filter_map(Carrier::of).any(|into| matches!(into, Carrier::Body(_)));
        if in_body && self.body.as_ref().is_some_and(|body| !body.is_object()) {
            let problem = "expected a mapping, for a value is set in it".into();
            return Err(SpecError { field: "body", problem });
        }
        let plain = |origin: &&String| origin.trim().to_ascii_lowercase().starts_with("http:");
        if self.url.base().scheme() == "https"
            && let Some(origin) = pages.origins().iter().chain(cursor.origins()).find(plain)
        {
            let problem = format!(
                "`{origin}`: expected https, for credentials of an https source never go out \
                 unencrypted; `rebase: true` asks such links at the source's own origin"
            );
            return Err(SpecError { field: "pages.origins", problem });
        }
        Ok(())
    }

    /// Whether `{name}` stands anywhere in the request.
    pub(super) fn has_place(&self, name: &str) -> bool {
        let params = self.query.iter().chain(&self.headers);
        self.url.has_place(name)
            || params.into_iter().any(|param| has_place(&param.value, name))
            || self.body.as_ref().is_some_and(|body| has_place(&body.to_string(), name))
    }
}
