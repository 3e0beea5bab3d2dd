//! A producer with 1,000 events a page, from the first to the last.

use std::time::Duration;

use anyhow::Result;

use super::Bench;
use crate::{
    limits::Limit,
    measure::{Claim, Report, Series, Target, Watch, reached},
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
        let relay = Relay::start(&bench.milkrun, &yaml).await?;
        // It goes round with nothing to fetch.
        while producer.requests() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let watch = Watch::start(relay.pid())?;
        producer.grow(events);
        reached(events, Duration::from_millis(10), async || relay.head().await).await?;
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
