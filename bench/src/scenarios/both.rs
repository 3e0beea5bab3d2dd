//! Probing and pushing at once, sustained.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::{Bench, push::CONCURRENCY};
use crate::{
    measure::{Claim, Report, Series, Spread, Target, Watch, real},
    producer::{PAGE, Producer},
    receiver::Receiver,
    relay::{Relay, TOPIC},
};

/// How far the producer may be ahead of the consumer.
const AHEAD: u64 = 20 * PAGE;

pub(super) async fn run(bench: &Bench) -> Result<Report> {
    let seconds = bench.size(60, 4);
    let mut milkrun = Series::new("milkrun");
    let mut behind = Vec::new();
    for _ in 0..bench.repeats {
        let (producer, receiver) = (Producer::start(0, true)?, Receiver::single()?);
        let source = producer.source("bench", "1ms");
        let yaml = format!("topics: {{ {TOPIC}: {{}} }}\nsources:\n  {source}");
        let relay = Relay::start(&bench.milkrun, &yaml).await?;
        let settings = json!({ "concurrency": CONCURRENCY });
        relay.subscribe("bench", &receiver.url(), &settings).await?;
        let mut offered = 0;
        let mut feed = async |until: Duration| {
            let began = Instant::now();
            while began.elapsed() < until {
                let room = (receiver.events() + AHEAD).saturating_sub(offered) / PAGE * PAGE;
                if room > 0 {
                    offered += room;
                    producer.grow(offered);
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        feed(Duration::from_secs(1)).await;
        let before = (relay.head().await?, receiver.events());
        let watch = Watch::start(relay.pid())?;
        feed(Duration::from_secs(seconds)).await;
        let after = (relay.head().await?, receiver.events());
        let (taken, pushed) = (after.0 - before.0, after.1 - before.1);
        milkrun.runs.push(watch.stop(taken.min(pushed))?);
        behind.push(real(after.0 - after.1));
    }
    let claims = vec![
        Claim::figure("events/s in and out", milkrun.rates(), Target::AtLeast(45_000.0)),
        Claim::figure("µs of CPU an event", milkrun.cpu_us(), Target::AtMost(25.0)),
        Claim::figure("events behind at the end", Spread::of(behind.into_iter()), Target::Told),
    ];
    Ok(Report {
        scenario: "both".into(),
        parameters: format!(
            "{seconds} s, {PAGE} events a page, one POST each, {CONCURRENCY} in flight, \
             the producer at most {AHEAD} events ahead of the consumer"
        ),
        series: vec![milkrun],
        claims,
    })
}
