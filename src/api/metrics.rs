//! The metrics, in the text format of OpenMetrics: what this node counts, and how what it holds is
//! doing. Each piece of work is shown by the node that holds it, so that nothing is shown twice.

use std::{cmp::Reverse, sync::Arc, time::Duration};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::{self, MethodRouter},
};
use http::header;

use super::ApiState;
use crate::{
    clock,
    event::Micros,
    health::Health,
    prober::Report,
    store::{SourceState, SourceStatus, Standing, StoreError, SubscriptionStatus, TopicState},
    telemetry::{Metrics, PerSubscription, RouteLabel, Sample, process},
};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// How many subscriptions are shown when only those that stand out are: these, and all that are not
/// open or have keys that stand still.
const TOP: usize = 50;
/// What a subscription can be doing.
const STATES: [&str; 5] = ["open", "holding", "reopening", "paused", "disabled"];

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<ApiState>)> {
    vec![("/metrics", routing::get(show))]
}

/// Measures the time until an answer begins, by route and status.
pub(super) async fn timed(
    State(metrics): State<Arc<Metrics>>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let begun = clock::instant();
    let answer = next.run(request).await;
    let route = path.map_or_else(String::new, |path| path.as_str().to_owned());
    let label = RouteLabel { route, status: answer.status().as_u16() };
    let seconds = begun.elapsed().as_secs_f64();
    metrics.request_seconds.get_or_create(&label).observe(seconds);
    answer
}

/// Every metric of this node.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
pub(super) async fn show(State(api): State<ApiState>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPENMETRICS)], exposition(&api).await)
}

/// The text of it.
pub(super) async fn exposition(api: &ApiState) -> String {
    let gauges = api.store.gauges().await.into_iter().chain(api.gauges());
    let mut samples: Vec<Sample> = gauges.map(|(name, value)| Sample::plain(name, value)).collect();
    samples.extend(process::samples(api.started));
    samples.push(Sample::of("build_info", "version", env!("CARGO_PKG_VERSION"), 1.0));
    for work in [subscriptions(api).await, sources(api).await, topics(api).await] {
        match work {
            Ok(more) => samples.extend(more),
            Err(error) => tracing::warn!(
                event = "api.metrics_unread", %error,
                "a part of the metrics could not be read"
            ),
        }
    }
    api.metrics.encode(&samples)
}

/// Those of the subscriptions that this node serves.
async fn subscriptions(api: &ApiState) -> Result<Vec<Sample>, StoreError> {
    let shown = api.metrics.per_subscription();
    if shown == PerSubscription::Off {
        return Ok(Vec::new());
    }
    let now = api.clock.now();
    let mut standings = api.store.standings(&api.held.subscriptions.share()).await?;
    if shown == PerSubscription::Top {
        standings = outstanding(standings, now);
    }
    Ok(standings.iter().flat_map(|standing| of_subscription(standing, now)).collect())
}

/// Those that have waited longest or are owed most, and those that somebody has to look at.
fn outstanding(mut standings: Vec<Standing>, now: Micros) -> Vec<Standing> {
    standings.sort_by_key(|standing| Reverse((standing.waited(now), standing.owed)));
    let mut rank = 0;
    standings.retain(|standing| {
        rank += 1;
        rank <= TOP || standing.stopped_keys > 0 || state(standing) != "open"
    });
    standings
}

/// What a subscription is doing: as its status says, or its endpoint's health.
fn state(standing: &Standing) -> &'static str {
    match standing.status {
        SubscriptionStatus::Active => Health::read(standing.health.as_deref()).word(),
        status => status.into(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and 2^53 is enough")]
fn of_subscription(standing: &Standing, now: Micros) -> Vec<Sample> {
    let name = standing.name.as_str();
    let plain = [
        ("subscription_owed", standing.owed as f64),
        ("subscription_oldest_seconds", standing.waited(now).as_secs_f64()),
        ("subscription_exceptions", standing.exceptions as f64),
        ("subscription_stopped_keys", standing.stopped_keys as f64),
        ("subscription_dead_letters", standing.dead_letters as f64),
    ];
    let present = state(standing);
    let states = STATES.into_iter().map(|state| Sample {
        name: "subscription_state",
        labels: vec![("subscription", name.to_owned()), ("state", state.to_owned())],
        value: if state == present { 1.0 } else { 0.0 },
    });
    let plain =
        plain.into_iter().map(|(metric, value)| Sample::of(metric, "subscription", name, value));
    plain.chain(states).collect()
}

/// Those of the sources that this node asks.
async fn sources(api: &ApiState) -> Result<Vec<Sample>, StoreError> {
    let share = api.held.sources.share();
    let sources = api.store.sources().await?;
    let held = sources.iter().filter(|source| share.has(source.id));
    let asked = held.filter(|source| source.status != SourceStatus::Removed);
    Ok(asked.flat_map(of_source).collect())
}

fn of_source(source: &SourceState) -> Vec<Sample> {
    let report = Report::last(source);
    let report = report.as_ref();
    let success = report.and_then(|report| report.last_success.as_deref()?.parse::<Micros>().ok());
    let last_event = report.and_then(Report::last_event);
    let told = |is: fn(&Report) -> bool| if report.is_some_and(is) { 1.0 } else { 0.0 };
    let of = |metric, value| Sample::of(metric, "source", source.name.as_str(), value);
    vec![
        of("source_last_success_timestamp_seconds", success.map_or(0.0, seconds)),
        of("source_last_event_timestamp_seconds", last_event.map_or(0.0, seconds)),
        of("source_next_poll_timestamp_seconds", seconds(source.next_poll)),
        of("source_failing", told(Report::is_failing)),
        of("source_silent", told(Report::is_silent)),
    ]
}

/// Those of the topics that this node keeps within their bounds.
async fn topics(api: &ApiState) -> Result<Vec<Sample>, StoreError> {
    let share = api.held.topics.share();
    let topics = api.store.topics().await?;
    let held = topics.iter().filter(|topic| share.has(topic.id));
    Ok(held.flat_map(|topic| of_topic(topic)).collect())
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and 2^53 is enough")]
fn of_topic(topic: &TopicState) -> Vec<Sample> {
    let of = |metric, value| Sample::of(metric, "topic", topic.topic.as_str(), value);
    let bytes_max = topic.settings.max_bytes.map(|bytes| of("topic_bytes_max", bytes as f64));
    let always = [of("topic_head", topic.head.0 as f64), of("topic_bytes", topic.bytes as f64)];
    always.into_iter().chain(bytes_max).collect()
}

/// Seconds since 1970.
fn seconds(moment: Micros) -> f64 {
    Duration::from_micros(moment.0.max(0).unsigned_abs()).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(name: &str, owed: u64, due: i64, health: Option<&str>) -> Standing {
        Standing {
            exceptions_most: 0,
            delivered: 0,
            id: 1,
            name: name.parse().unwrap(),
            status: SubscriptionStatus::Active,
            health: health.map(ToOwned::to_owned),
            owed,
            due: Some(Micros(due)),
            exceptions: 0,
            stopped_keys: 0,
            dead_letters: 0,
        }
    }

    #[test]
    fn those_that_wait_and_those_that_are_not_open_stand_out() {
        let mut all: Vec<_> =
            (1..=60).map(|count| standing(&format!("a{count}"), count, 5, None)).collect();
        let paused = SubscriptionStatus::Paused;
        all.push(Standing { status: paused, due: None, owed: 0, ..all[0].clone() });
        let kept = outstanding(all, Micros(9));
        assert_eq!(kept.len(), 51);
        assert_eq!((kept[0].owed, kept[49].owed), (60, 11));
        assert_eq!(state(&kept[50]), "paused");
    }

    #[test]
    fn what_is_due_later_has_not_waited() {
        assert_eq!(standing("a", 1, 9, None).waited(Micros(5)), Duration::ZERO);
        assert_eq!(standing("a", 1, 5, None).waited(Micros(9)), Duration::from_micros(4));
    }

    #[test]
    fn an_endpoint_on_hold_is_shown_as_holding() {
        let health = r#"{"state":"holding"}"#;
        let samples = of_subscription(&standing("a", 1, 9, Some(health)), Micros(5));
        let states: Vec<_> = samples
            .iter()
            .filter(|sample| sample.name == "subscription_state")
            .map(|sample| (sample.labels[1].1.as_str(), sample.value))
            .collect();
        let holding = [("open", 0.0), ("holding", 1.0), ("reopening", 0.0)];
        assert_eq!(states[..3], holding);
    }
}
