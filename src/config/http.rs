//! `http`: how a producer is asked; the file's form of [`probes::http::Spec`].

use probes::{
    Listed,
    http::{
        Auth, Credential, CursorRule, Emit, IdRule, ItemsRule, Lost, Overlap, Pages, Param, Secret,
        Spec, Start, Stop, Target, TextRule, TimeRule, ValidatorsRule,
    },
    period::{Period, Positive},
    schema::exactly_one,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_saphyr::{Location, Spanned};

use super::{
    error::Problems,
    secret::{Env, SecretRef, Value, resolve, resolve_value},
    table::Table,
    variables,
    written::Json,
};
use crate::event::Topic;

/// How a producer is asked over HTTP, and what of its answer is an event.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpFile {
    /// The list, `http` or `https`.
    #[schemars(with = "String", regex(pattern = r"^\s*[hH][tT][tT][pP][sS]?://"))]
    pub url: Spanned<String>,
    /// Query parameters of the first request.
    #[serde(default)]
    #[schemars(with = "Table<Value>")]
    pub query: Table<Spanned<Value>>,
    /// Request headers.
    #[serde(default)]
    #[schemars(with = "Table<Value>")]
    pub headers: Table<Spanned<Value>>,
    /// Credentials.
    #[serde(default)]
    pub auth: Option<AuthFile>,
    /// The JSON body of every request, which is then a POST. A number that JSON writes otherwise,
    /// as `007`, is a text.
    #[serde(default)]
    #[schemars(with = "Option<serde_json::Value>")]
    pub body: Option<Json>,
    /// Where the items are, and in which form; an empty path is the whole body.
    #[serde(default)]
    pub items: ItemsRule,
    /// An expression over `status`, `headers` and `page` by which an answer is a failure, as
    /// `page.error or page.ok == false`.
    #[serde(default)]
    pub fail_when: Option<String>,
    /// Such an expression, by which the list is not ready yet; by default status 202 is.
    #[serde(default)]
    pub wait_when: Option<String>,
    /// The character encoding of the body, whatever the answer says, as `windows-1252`.
    #[serde(default)]
    pub charset: Option<String>,
    /// What makes an item known.
    pub id: IdRule,
    /// CloudEvents `source`; by default the URL that it had first, without what looks like a secret.
    /// Two sources of one topic must not have the same.
    #[serde(default)]
    pub source: Option<String>,
    /// CloudEvents `type`; by default `TOPIC.event`.
    #[serde(default, rename = "type")]
    pub kind: Option<TextRule>,
    /// CloudEvents `time`.
    #[serde(default)]
    pub time: Option<TimeRule>,
    /// CloudEvents `partitionkey`.
    #[serde(default)]
    pub key: Option<TextRule>,
    /// CloudEvents `subject`.
    #[serde(default)]
    pub subject: Option<TextRule>,
    /// In which order the producer lists.
    #[serde(default)]
    pub listed: Listed,
    /// Where the next walk starts.
    #[serde(default)]
    pub cursor: CursorRule,
    /// How the next page is found.
    #[serde(default)]
    pub pages: Pages,
    /// When a walk ends, besides what always ends it.
    #[serde(default)]
    pub stop: Stop,
    /// What the first run takes.
    #[serde(default)]
    pub start: Start,
    /// What happens when the producer does not know the cursor any more.
    #[serde(default)]
    pub lost: Lost,
    /// What is read again, for producers that publish late.
    #[serde(default)]
    pub overlap: Option<Overlap>,
    /// When an item is an event.
    #[serde(default)]
    pub emit: Emit,
    /// Whether and for how long `ETag` and `Last-Modified` are used: `true`, `false`, or
    /// `{ max_age: 1h }`.
    #[serde(default)]
    pub validators: ValidatorsRule,
    /// Bounds of one page.
    #[serde(default)]
    pub limits: PageLimitsFile,
    /// One deadline over connecting, sending and the whole answer.
    #[serde(default = "timeout")]
    #[schemars(with = "Positive")]
    pub timeout: Period,
}

fn timeout() -> Period {
    Period(std::time::Duration::from_secs(30))
}

/// Bounds of one page; what is over one of an item is rejected alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PageLimitsFile {
    /// Items of a page; 10,000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub page_items: Option<usize>,
    /// Bytes as they come over the wire; 16 MiB.
    #[schemars(range(min = 1, max = 1_073_741_824))]
    pub wire_bytes: Option<usize>,
    /// Bytes of a page when decompressed; 32 MiB, and at most `limits.walk_bytes_max`.
    #[schemars(range(min = 1, max = 1_073_741_824))]
    pub page_bytes: Option<usize>,
    /// Bytes of one item; 1 MiB.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub event_bytes: Option<usize>,
    /// Nesting of one item; 64.
    #[schemars(range(min = 1, max = 128))]
    pub depth: Option<usize>,
}

impl PageLimitsFile {
    /// Those that are set of what a page takes of the process's memory.
    pub(super) fn bytes(self) -> impl Iterator<Item = (&'static str, usize)> {
        let bytes = [("wire_bytes", self.wire_bytes), ("page_bytes", self.page_bytes)];
        bytes.into_iter().filter_map(|(name, set)| Some((name, set?)))
    }

    fn build(self) -> probes::http::Limits {
        let default = probes::http::Limits::default();
        probes::http::Limits {
            items_max: self.page_items.unwrap_or(default.items_max),
            wire_bytes_max: self.wire_bytes.unwrap_or(default.wire_bytes_max),
            decoded_bytes_max: self.page_bytes.unwrap_or(default.decoded_bytes_max),
            item_bytes_max: self.event_bytes.unwrap_or(default.item_bytes_max),
            depth_max: self.depth.unwrap_or(default.depth_max),
        }
    }
}

/// How the producer is shown who asks.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthFile {
    /// `Authorization: Bearer …`
    #[schemars(with = "SecretRef")]
    Bearer(Spanned<SecretRef>),
    /// `Authorization: Basic …`
    Basic(BasicFile),
    /// A key in a header or a query parameter.
    ApiKey(ApiKeyFile),
}

/// A user and a password.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicFile {
    /// The user.
    #[schemars(with = "Value")]
    pub user: Spanned<Value>,
    /// The password.
    #[schemars(with = "SecretRef")]
    pub password: Spanned<SecretRef>,
}

/// A key, and where it goes: one of `header` and `query`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = exactly_one(&["header", "query"]))]
pub struct ApiKeyFile {
    /// The header that takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The query parameter that takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// A word before it, set apart by a space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The key.
    #[schemars(with = "SecretRef")]
    pub value: Spanned<SecretRef>,
}

impl HttpFile {
    /// Takes the texts of numbers from the file.
    pub(super) fn as_written(&mut self, file: &str) {
        let params = self.query.0.iter_mut().chain(&mut self.headers.0);
        params.for_each(|(_, value)| Value::as_written(value, file));
        if let Some(AuthFile::Basic(basic)) = &mut self.auth {
            Value::as_written(&mut basic.user, file);
        }
        if let Some(body) = &mut self.body {
            body.as_written(file);
        }
    }

    /// The runtime form; `None` and a problem without a URL.
    pub(crate) fn build(
        &self,
        topic: Option<&Topic>,
        env: Env<'_>,
        problems: &mut Problems<'_>,
    ) -> Option<Spec> {
        let query = params(&self.query, env, problems);
        let headers = params(&self.headers, env, problems);
        for (name, value) in &self.headers.0 {
            let sendable = http::HeaderName::try_from(&name.value).is_ok();
            let valued = match &value.value {
                Value::Plain(text) => http::HeaderValue::try_from(text).is_ok(),
                Value::Secret(_) | Value::Unread => true,
            };
            if !sendable || !valued {
                problems.add(
                    name.referenced,
                    format!("`headers.{}` cannot be sent as an HTTP header", name.value),
                );
            }
        }
        let auth = self.auth.as_ref().map_or(Auth::None, |auth| auth.build(env, problems));
        let url = match Target::parse(&self.url.value) {
            Ok(url) => url,
            Err(error) => {
                problems.add(
                    self.url.referenced,
                    format!("`url`: expected a URL as https://api.example.com/events: {error}"),
                );
                return None;
            }
        };
        let mut spec = Spec::new(url);
        spec.query = query;
        spec.headers = headers;
        spec.auth = auth;
        spec.body = self.body.as_ref().map(|body| body.value.clone());
        spec.items.clone_from(&self.items);
        spec.fail_when.clone_from(&self.fail_when);
        spec.wait_when.clone_from(&self.wait_when);
        spec.charset.clone_from(&self.charset);
        spec.limits = self.limits.build();
        spec.id = self.id.clone();
        spec.source.clone_from(&self.source);
        spec.kind.clone_from(&self.kind);
        spec.default_kind = topic.map_or_else(|| "event".into(), |topic| format!("{topic}.event"));
        spec.time.clone_from(&self.time);
        spec.key.clone_from(&self.key);
        spec.subject.clone_from(&self.subject);
        spec.listed = self.listed;
        spec.cursor = self.cursor.clone();
        spec.pages = self.pages.clone();
        spec.stop = self.stop.clone();
        spec.start = self.start.clone();
        spec.lost = self.lost;
        spec.overlap.clone_from(&self.overlap);
        spec.emit = self.emit;
        spec.validators = self.validators;
        spec.timeout = self.timeout.0;
        Some(spec)
    }

    /// Hides what came from variables in the mapping at a place, of which `spec` was made.
    pub(super) fn hide(at: Location, env: Env<'_>, problems: &Problems<'_>, spec: &mut Spec) {
        for (path, template) in problems.outline().templates_below((at.line(), at.column())) {
            let template = &*template.text;
            let mut values = variables::values(template, env.variables);
            if path == "url" {
                // Who is asked may be told.
                let host = spec.url.base().host_str().unwrap_or_default().to_owned();
                values.retain(|value| !host.contains(value.as_str()));
                let shown = variables::shown_url(template, env.variables);
                spec.shown_url = shown.and_then(|url| Target::parse(&url).ok());
            } else if let Some(name) = path.strip_prefix("query.") {
                spec.shown_query.push((name.to_owned(), variables::shown(template, env.variables)));
            }
            spec.hidden.extend(values.into_iter().map(Secret));
        }
    }
}

fn params(table: &Table<Spanned<Value>>, env: Env<'_>, problems: &mut Problems<'_>) -> Vec<Param> {
    let param = |(name, value): &(Spanned<String>, Spanned<Value>)| {
        let (value, secret) = resolve_value(value, env, problems);
        Param { name: name.value.clone(), value, secret }
    };
    table.0.iter().map(param).collect()
}

impl AuthFile {
    fn build(&self, env: Env<'_>, problems: &mut Problems<'_>) -> Auth {
        match self {
            Self::Bearer(token) => Auth::Bearer(Secret(resolve(token, env, problems))),
            Self::Basic(basic) => Auth::Basic {
                user: resolve_value(&basic.user, env, problems).0,
                password: Secret(resolve(&basic.password, env, problems)),
            },
            Self::ApiKey(key) => Auth::ApiKey {
                into: match (&key.header, &key.query) {
                    (Some(header), None) => Credential::Header(header.clone()),
                    (None, Some(query)) => Credential::Query(query.clone()),
                    _ => {
                        problems.add(
                            key.value.referenced,
                            "`api_key`: expected one of `header` and `query`",
                        );
                        Credential::Header("x-api-key".into())
                    }
                },
                prefix: key.prefix.clone(),
                value: Secret(resolve(&key.value, env, problems)),
            },
        }
    }
}
