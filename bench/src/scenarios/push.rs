//! A backlog to one healthy consumer, one or 50 events in a signed POST.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::Bench;
use crate::{
    limits::Limit,
    measure::{Claim, Report, Run, Series, Spread, Target, Watch, real},
    receiver::Receiver,
    relay::Relay,
};

/// Events of one request in `push-batch`.
pub(super) const BATCH: u64 = 50;
/// Requests in flight.
pub(super) const CONCURRENCY: u64 = 64;
/// At which every attempt must be in the trace.
const TRACED_RATE: u64 = 10_000;

pub(super) async fn run(bench: &Bench, batch: u64) -> Result<Report> {
    let is_single = batch == 1;
    let events =
        if is_single { bench.size(1_000_000, 60_000) } else { bench.size(1_000_000, 150_000) };
    let receiver = if is_single { Receiver::single()? } else { Receiver::batches()? };
    let (mut milkrun, mut bare) = (Series::new("milkrun"), Series::new("bare hyper connections"));
    let relay = Relay::with_topic(&bench.milkrun).await?;
    relay.publish(events, 4).await?;
    let before = relay.metric("milkrun_trace_dropped_records").await?;
    for _ in 0..bench.repeats {
        let (address, connections) = (receiver.address(), CONCURRENCY);
        bare.runs.push(Limit::Post { address, events, batch, connections }.once().await?);
        milkrun.runs.push(push(&relay, &receiver, events, &settings(batch)).await?);
    }
    let dropped = relay.metric("milkrun_trace_dropped_records").await? - before;
    let share = dropped / real(events * bench.repeats as u64);
    let mut claims = vec![
        Claim::ratio(
            "of bare hyper connections",
            milkrun.share_of(&bare),
            Target::AtLeast(if is_single { 0.7 } else { 0.5 }),
            if is_single { 0.3 } else { 0.08 },
        ),
        Claim::figure(
            "events/s",
            milkrun.rates(),
            Target::AtLeast(if is_single { 50_000.0 } else { 120_000.0 }),
        ),
        Claim::figure(
            "share of attempts not in the trace at full speed",
            Spread::one(share),
            Target::Told,
        ),
    ];
    if is_single {
        claims.push(Claim::figure("µs of CPU a delivery", milkrun.cpu_us(), Target::AtMost(20.0)));
        let untraced = untraced(bench, &relay, &receiver).await?;
        let what = "attempts not in the trace at 10,000/s";
        claims.push(Claim::figure(what, Spread::one(untraced), Target::AtMost(0.0)));
    }
    Ok(Report {
        scenario: if is_single { "push" } else { "push-batch" }.into(),
        parameters: format!("{events} events of backlog, {batch} a POST, {CONCURRENCY} in flight"),
        series: vec![milkrun, bare],
        claims,
    })
}

fn settings(batch: u64) -> Value {
    if batch == 1 {
        return json!({ "concurrency": CONCURRENCY });
    }
    json!({
        "concurrency": CONCURRENCY,
        "format": "batch",
        "batch": { "max_events": batch, "max_wait": "1s" },
    })
}

/// Pushes the backlog to a new subscription.
pub(super) async fn push(
    relay: &Relay,
    receiver: &Receiver,
    events: u64,
    settings: &Value,
) -> Result<Run> {
    receiver.reset();
    let watch = Watch::start(relay.pid())?;
    relay.subscribe("bench", &receiver.url(), settings).await?;
    receiver.until(events).await?;
    let run = watch.stop(events)?;
    relay.unsubscribe("bench").await?;
    Ok(run)
}

/// How many attempts are missing in the trace at a rate that it must bear.
async fn untraced(bench: &Bench, relay: &Relay, receiver: &Receiver) -> Result<f64> {
    // What the runs before left is written first.
    while relay.metric("milkrun_trace_queue_records").await? > 0.0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let before = relay.metric("milkrun_trace_dropped_records").await?;
    let rate = format!("{TRACED_RATE}/s");
    let settings = json!({ "concurrency": CONCURRENCY, "rate": rate });
    receiver.reset();
    relay.subscribe("traced", &receiver.url(), &settings).await?;
    tokio::time::sleep(Duration::from_secs(bench.size(10, 2))).await;
    relay.unsubscribe("traced").await?;
    Ok(relay.metric("milkrun_trace_dropped_records").await? - before)
}
