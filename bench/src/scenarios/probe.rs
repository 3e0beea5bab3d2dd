//! A producer with 1,000 events a page, from the first to the last.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Bench;
use crate::{
    limits::Limit,
    measure::{Claim, Report, Series, Target, Watch},
    producer::{PAGE, Producer},
    relay::{Relay, TOPIC},
};

pub(super) async fn run(bench: &Bench) -> Result<Report> {
    let events = bench.size(1_000_000, 60_000);
    let (mut milkrun, mut fetch) = (Series::new("milkrun"), Series::new("reqwest and raw SQLite"));
    for _ in 0..bench.repeats {
        let producer = Producer::start(events, false)?;
        fetch.runs.push(Limit::Fetch { url: producer.url() }.once().await?);
        let producer = Producer::start(0, false)?;
        let source = producer.source("bench", "100ms");
        let yaml = format!("topics: {{ {TOPIC}: {{}} }}\nsources:\n  {source}");
        let relay = Relay::start(&bench.binary, &yaml).await?;
        // It goes round with nothing to fetch.
        while producer.requests() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let watch = Watch::start(relay.pid())?;
        producer.grow(events);
        until(&relay, events).await?;
        milkrun.runs.push(watch.stop(events)?);
    }
    let claims = vec![
        Claim::ratio(
            "of reqwest and raw SQLite",
            milkrun.share_of(&fetch),
            Target::AtLeast(0.5),
            0.25,
        ),
        Claim::figure("events/s", milkrun.rates(), Target::AtLeast(100_000.0)),
    ];
    Ok(Report {
        scenario: "probe".into(),
        parameters: format!("{events} events, {PAGE} a page"),
        series: vec![milkrun, fetch],
        claims,
    })
}

/// Waits until so many events are in the log.
async fn until(relay: &Relay, events: u64) -> Result<()> {
    let (mut before, mut since) = (0, Instant::now());
    loop {
        let head = relay.head().await?;
        ensure!(head <= events, "{head} events were kept in the place of {events}");
        if head == events {
            return Ok(());
        }
        if head > before {
            (before, since) = (head, Instant::now());
        }
        ensure!(since.elapsed() < Duration::from_secs(30), "after {head} of {events} none came");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
