//! Publishing in batches of 1,000, durable and deduplicated.

use anyhow::Result;

use super::Bench;
use crate::{
    limits::Limit,
    measure::{Claim, Report, Series, Target, Watch},
    relay::{BATCH, Relay},
};

/// Publishers at once, so that a commit has more than one to carry.
pub(super) const CONNECTIONS: u64 = 4;

pub(super) async fn run(bench: &Bench) -> Result<Report> {
    let events = bench.size(500_000, 60_000);
    let (mut milkrun, mut raw) = (Series::new("milkrun"), Series::new("raw SQLite"));
    // What publishers at once may share.
    let mut grouped = Series::new("raw SQLite, 4,000 a transaction");
    for _ in 0..bench.repeats {
        let batch = BATCH as u64;
        raw.runs.push(Limit::Append { events, batch }.once().await?);
        grouped.runs.push(Limit::Append { events, batch: batch * CONNECTIONS }.once().await?);
        let relay = Relay::with_topic(&bench.milkrun).await?;
        relay.publish(20_000, CONNECTIONS).await?;
        let watch = Watch::start(relay.pid())?;
        relay.publish(events, CONNECTIONS).await?;
        milkrun.runs.push(watch.stop(events)?);
        anyhow::ensure!(relay.head().await? == events + 20_000, "not every event was kept");
    }
    let claims = vec![
        Claim::ratio("of raw SQLite", milkrun.share_of(&raw), Target::AtLeast(0.6), 0.25),
        Claim::figure(
            "of raw SQLite, 4,000 a transaction",
            milkrun.share_of(&grouped),
            Target::Told,
        ),
        Claim::figure("events/s", milkrun.rates(), Target::AtLeast(100_000.0)),
    ];
    Ok(Report {
        scenario: "append".into(),
        parameters: format!("{events} events, {BATCH} a publish, {CONNECTIONS} publishers"),
        series: vec![milkrun, raw, grouped],
        claims,
    })
}
