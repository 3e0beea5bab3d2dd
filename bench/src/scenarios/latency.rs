//! From the producer's commit to the POST at the consumer, 1,000 events a second.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::Bench;
use crate::{
    limits::Limit,
    measure::{Claim, Report, Series, Spread, Target, Watch},
    producer::Producer,
    receiver::Receiver,
    relay::{Relay, TOPIC},
};

const RATE: u64 = 1_000;

pub(super) async fn run(bench: &Bench) -> Result<Report> {
    let events = RATE * bench.size(20, 3);
    let mut milkrun = Series::new("milkrun");
    let (mut above, mut late, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.repeats {
        let receiver = Receiver::timing()?;
        let pace = Limit::Pace { address: receiver.address(), events: events / 4, rate: RATE };
        let trips: Vec<f64> = pace.measure().await?;
        let trip = percentile(trips, 50);
        drop(receiver.arrivals());
        receiver.reset();

        let producer = Producer::start(0, true)?;
        let source = producer.source("bench", "1ms");
        let yaml = format!("topics: {{ {TOPIC}: {{}} }}\nsources:\n  {source}");
        let relay = Relay::start(&bench.milkrun, &yaml).await?;
        relay.subscribe("bench", &receiver.url(), &json!({ "concurrency": 16 })).await?;
        let mut beat = tokio::time::interval(Duration::from_secs(1) / u32::try_from(RATE)?);
        let mut committed: Vec<Instant> = Vec::new();
        // The first of them open the connections.
        let warm = RATE;
        let mut watch = None;
        for number in 1..=warm + events {
            beat.tick().await;
            if number == warm {
                watch = Some(Watch::start(relay.pid())?);
            }
            committed.push(producer.grow(number));
        }
        receiver.until(warm + events).await?;
        milkrun.runs.push(watch.context("it was begun")?.stop(events)?);
        let took = receiver.arrivals().into_iter().filter(|(number, _)| *number > warm);
        let took = took.map(|(number, at)| {
            let index = usize::try_from(number - 1).unwrap_or_default();
            at.saturating_duration_since(committed[index]).as_secs_f64()
        });
        let took: Vec<f64> = took.collect();
        above.push((percentile(took.clone(), 50) - trip) * 1e3);
        late.push(percentile(took, 99) * 1e3);
        bare.push(trip * 1e3);
    }
    let of = |values: Vec<f64>| Spread::of(values.into_iter());
    let claims = vec![
        Claim::figure("median, ms above a bare POST", of(above), Target::AtMost(5.0)),
        Claim::figure("99th percentile, ms", of(late), Target::AtMost(25.0)),
        Claim::figure("a bare POST's round trip, ms", of(bare), Target::Told),
    ];
    Ok(Report {
        scenario: "latency".into(),
        parameters: format!("{events} events, {RATE}/s, a producer that is long-polled"),
        series: vec![milkrun],
        claims,
    })
}

pub(super) fn percentile(mut values: Vec<f64>, percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() * percent / 100).min(values.len().saturating_sub(1));
    values.get(at).copied().unwrap_or(0.0)
}
