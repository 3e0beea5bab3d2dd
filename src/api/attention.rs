//! `/v1/attention`: what somebody has to look at, and the command that helps. Computed of the state as
//! it is, by the words and thresholds of `ops/prometheus/milkrun.rules.yml`.

use std::cmp::Reverse;

use axum::{
    Json,
    extract::State,
    routing::{self, MethodRouter},
};
use serde::Serialize;
use strum::IntoStaticStr;
use utoipa::ToSchema;

use super::{ApiState, gate::Caller, problem::Problem, query::Query};

mod flow;
mod relay;

/// What needs attention, in a word: that of the alert, where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, IntoStaticStr, ToSchema)]
#[schema(as = AttentionCode)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Code {
    /// A subscription's oldest event that could be sent has waited for 10 minutes.
    Behind,
    /// A subscription's endpoint fails, and gets nothing but trials.
    OnHold,
    /// A subscription is disabled.
    Disabled,
    /// As many events as `max_exceptions` allows wait for another attempt.
    ExceptionsFull,
    /// Keys of a subscription stand still behind a dead letter.
    KeyStopped,
    /// A subscription gave events up within the hour.
    DeadLettersAdded,
    /// Retention removed what a subscription was owed, within the hour.
    ExpiredWhileOwed,
    /// A source stands still until somebody sets its cursor.
    SourceStuck,
    /// No walk of a source has been complete for some time.
    SourceFailing,
    /// A source has had nothing new for longer than its `silent_after`.
    SourceSilent,
    /// A gap was recorded within the hour.
    GapRecorded,
    /// A topic holds more than 80 % of its `max_bytes`.
    TopicNearCap,
    /// The configuration file that was last asked for was refused.
    ReloadRefused,
    /// Notices were dropped since the relay started.
    NoticesDropped,
    /// The disk of the store has less than 1 GiB left, or is full.
    DiskLow,
    /// Something keeps the store from working as it should.
    StoreDegraded,
}

/// How soon somebody has to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[schema(as = AttentionSeverity)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// Within a working day.
    Ticket,
    /// Now: events are lost or stand still, and waiting makes it worse.
    Page,
}

impl Code {
    /// As the alert of that name has it.
    const fn severity(self) -> Severity {
        match self {
            Self::ExceptionsFull | Self::ExpiredWhileOwed | Self::DiskLow | Self::StoreDegraded => {
                Severity::Page
            }
            _ => Severity::Ticket,
        }
    }
}

/// What a line is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AttentionSubject)]
pub(crate) struct Subject {
    /// `subscription`, `source`, `topic` or `relay`.
    pub(crate) kind: &'static str,
    /// Null: the relay itself.
    pub(crate) name: Option<String>,
}

/// One thing that needs attention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct AttentionView {
    /// A stable word for a program.
    pub(crate) code: Code,
    pub(crate) severity: Severity,
    pub(crate) subject: Subject,
    /// What it is, for a person.
    pub(crate) sentence: String,
    /// The command that helps, or that shows more.
    pub(crate) remedy: String,
    /// Since when; null where that is not known.
    pub(crate) since: Option<String>,
}

/// What needs attention, the most urgent first; empty when all is well.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AttentionList {
    pub(crate) attention: Vec<AttentionView>,
    /// How many there are; above the length of the list, the rest is left out.
    pub(crate) total: usize,
    /// What was looked at; null where the key is not good for it.
    pub(crate) subscriptions: Option<Looked>,
}

/// How all subscriptions that the key may see do, together.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = AttentionSubscriptions)]
pub(crate) struct Looked {
    /// How many there are that are not removed.
    pub(crate) count: u64,
    /// Events that they still have to get.
    pub(crate) owed: u64,
    /// Dead letters that are kept.
    pub(crate) dead_letters: u64,
    /// Deliveries that succeeded, ever.
    pub(crate) delivered: u64,
}

impl AttentionView {
    fn new(code: Code, subject: Subject, sentence: String, remedy: String) -> Self {
        Self { code, severity: code.severity(), subject, sentence, remedy, since: None }
    }

    fn since(self, since: Option<String>) -> Self {
        Self { since, ..self }
    }
}

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<ApiState>)> {
    vec![("/v1/attention", routing::get(show))]
}

/// What needs attention, of what the key may see: the most urgent first, and empty when all is well.
#[utoipa::path(get, path = "/v1/attention", tag = "health",
    params(("limit" = Option<usize>, Query)),
    responses((status = 200, body = AttentionList)))]
pub(super) async fn show(
    State(api): State<ApiState>,
    caller: Caller,
    query: Query,
) -> Result<Json<AttentionList>, Problem> {
    query.allow(&["limit"])?;
    let limit = query.limit()?;
    let mut list = whole(&api, &caller).await?;
    list.attention.truncate(limit);
    Ok(Json(list))
}

/// All of it that a caller may see.
pub(crate) async fn whole(api: &ApiState, caller: &Caller) -> Result<AttentionList, Problem> {
    let mut attention = relay::attention(api, caller).await?;
    let subscriptions = flow::subscriptions(api, caller, &mut attention).await?;
    attention.extend(flow::sources(api, caller).await?);
    // Within a severity, in the order in which they are found: the relay, then by name.
    attention.sort_by_key(|line| Reverse(line.severity));
    Ok(AttentionList { total: attention.len(), attention, subscriptions })
}
