//! `/v1/series`: how metrics went in the last hour and day, on the node that answers.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    Json,
    extract::State,
    routing::{self, MethodRouter},
};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::{
    ApiState,
    gate::Caller,
    metrics,
    problem::Problem,
    query::{Query, cut},
};
use crate::{
    event::{Name, TopicPattern},
    key::Scope,
    nearest::nearest,
    series::{self, Labels, Wanted, Window},
};

/// Since when, where it is not said.
const SINCE: Duration = Duration::from_hours(1);
/// What a value may come to in an answer.
const VALUE_BYTES: usize = 24;
/// The most labels that are asked for.
const LABELS_MAX: usize = 10;

/// How one metric went.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeriesAnswer {
    /// The metric, as `/metrics` names it.
    pub(crate) name: String,
    /// What a value is: `per_second` (of a counter), `value` (of a gauge), `quantile` (of a
    /// histogram, in its own unit).
    pub(crate) values_are: &'static str,
    /// Where the first value begins.
    pub(crate) since: String,
    /// From one value to the next.
    pub(crate) step_seconds: i64,
    /// By their labels.
    pub(crate) series: Vec<SeriesView>,
    /// Series that are left out of this answer for `limit`; name labels to see them.
    pub(crate) left_out: usize,
    /// Series of all metrics that the node has no room for at present: it keeps 2,000.
    pub(crate) missing: usize,
}

/// One series.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeriesView {
    /// As `/metrics` has them; of a histogram `quantile` besides.
    pub(crate) labels: BTreeMap<String, String>,
    /// From `since` on; null: not known, as from before the relay started.
    pub(crate) values: Vec<Option<f32>>,
}

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<ApiState>)> {
    vec![("/v1/series", routing::get(show))]
}

/// Looks at the metrics every 10 s until `stop`.
pub async fn record(api: ApiState, stop: CancellationToken) {
    let work = async {
        loop {
            let began = api.clock.steady();
            let text = metrics::exposition(&api).await;
            let now = api.clock.read();
            api.series.lock().step(now, &text);
            api.clock.pause(series::pause(now.wall, now.steady.since(began))).await;
        }
    };
    stop.run_until_cancelled(work).await;
}

/// How a metric of `/metrics` went, on the node that answers: every 10 s of the last hour and every
/// minute of the last day. A counter is shown as its rate a second, a histogram as its quantiles.
#[utoipa::path(get, path = "/v1/series", tag = "health",
    params(("name" = String, Query, description = "A metric, as `milkrun_events_appended_total`"),
        ("label" = Option<String>, Query, description = "`label=value`, as `subscription=billing`; it may be given several times"),
        ("since" = Option<String>, Query, description = "By default an hour ago"),
        ("step" = Option<String>, Query, description = "`10s` or a multiple up to `1h`; what is older than an hour is kept by the minute"),
        ("limit" = Option<usize>, Query)),
    responses((status = 200, body = SeriesAnswer)))]
pub(super) async fn show(
    State(api): State<ApiState>,
    caller: Caller,
    query: Query,
) -> Result<Json<SeriesAnswer>, Problem> {
    query.allow_repeated(&["name", "label", "since", "step", "limit"], Some("label"))?;
    let metric = metric(&query)?;
    let wanted = Wanted { metric, labels: labels(&query, metric.labels)?, limit: query.limit()? };
    let now = api.clock.now();
    let since = query.moment("since")?.unwrap_or_else(|| now.minus(SINCE));
    let step = query.duration("step", Duration::from_hours(1))?;
    let window = Window::of(since, step, now)
        .map_err(|wrong| Problem::parameter("step", format!("`step`: {wrong}")))?;
    let _room = api.budget.take(wanted.limit * window.length() * VALUE_BYTES)?;
    let own = Own::of(&api, caller).await?;
    let recorder = api.series.lock();
    let (found, left_out) = recorder.shown(&wanted, window, |labels| own.has(labels));
    let series = found
        .into_iter()
        .map(|one| SeriesView { labels: one.labels.into_iter().collect(), values: one.values });
    Ok(Json(SeriesAnswer {
        name: series::exposed(metric),
        values_are: series::values_are(metric),
        since: window.begins().to_string(),
        step_seconds: window.step_seconds(),
        series: series.collect(),
        left_out,
        missing: recorder.missing(),
    }))
}

fn metric(query: &Query) -> Result<&'static crate::telemetry::list::Described, Problem> {
    let given = query.get("name").ok_or_else(|| {
        Problem::parameter("name", "`name` is missing: expected a metric, as `milkrun_topic_head`")
    })?;
    series::metric(given).ok_or_else(|| {
        let names: Vec<String> = series::names().collect();
        let hint = match nearest(&cut(given), names.iter().map(String::as_str)) {
            Some(name) => format!("did you mean `{name}`?"),
            None => "docs/metrics.md lists the metrics; times and states are not kept".to_owned(),
        };
        let detail = format!("`name={}`: no series of this name is kept; {hint}", cut(given));
        Problem::parameter("name", detail)
    })
}

/// The labels that are asked for, which the metric must have.
fn labels(query: &Query, known: &[&str]) -> Result<Labels, Problem> {
    let mut labels = Labels::new();
    for given in query.all("label") {
        let wrong = |what: String| {
            Err(Problem::parameter("label", format!("`label={}`: {what}", cut(given))))
        };
        let Some((label, value)) = given.split_once('=') else {
            return wrong("expected `label=value`, as `subscription=billing`".to_owned());
        };
        if label != "quantile" && !known.contains(&label) {
            return wrong(format!("the metric has the labels `{}`", known.join("`, `")));
        }
        labels.push((label.to_owned(), value.to_owned()));
    }
    if labels.len() > LABELS_MAX {
        return Err(Problem::parameter("label", format!("`label`: at most {LABELS_MAX}")));
    }
    Ok(labels)
}

/// What a caller may see: what is of its subscriptions, of its topics and of sources into them.
struct Own {
    everything: bool,
    subscriptions: Vec<String>,
    sources: Vec<String>,
    caller: Caller,
}

impl Own {
    async fn of(api: &ApiState, caller: Caller) -> Result<Self, Problem> {
        let scoped = |scope| caller.grant().is_none_or(|grant| grant.has(scope));
        let of_all = caller.covers_all(&TopicPattern::any());
        if caller.is_admin() || (scoped(Scope::Read) && of_all) {
            let (subscriptions, sources) = (Vec::new(), Vec::new());
            return Ok(Self { everything: true, subscriptions, sources, caller });
        }
        let mut own =
            Self { everything: false, subscriptions: Vec::new(), sources: Vec::new(), caller };
        let reads = own.caller.grant().is_some_and(|grant| grant.has(Scope::Read));
        if own.caller.grant().is_some_and(|grant| grant.has(Scope::Subscribe)) {
            let all = api.directory.look().await?;
            let owned = all.by_name().filter(|subscription| own.caller.owns(subscription));
            own.subscriptions = owned.map(|subscription| subscription.name.to_string()).collect();
        }
        if reads {
            let all = api.store.sources().await?;
            let covered = all.iter().filter(|source| own.caller.covers(&source.topic));
            own.sources = covered.map(|source| source.name.to_string()).collect();
        }
        Ok(own)
    }

    fn has(&self, labels: &Labels) -> bool {
        self.everything
            || labels.iter().any(|(label, value)| match label.as_str() {
                "subscription" => self.subscriptions.contains(value),
                "source" => self.sources.contains(value),
                "topic" => {
                    let reads = self.caller.grant().is_some_and(|grant| grant.has(Scope::Read));
                    reads && value.parse::<Name>().is_ok_and(|topic| self.caller.covers(&topic))
                }
                _ => false,
            })
    }
}
