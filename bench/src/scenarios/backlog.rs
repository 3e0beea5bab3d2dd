//! Ten million events stored: appending to them, starting on them, reading among them.

use std::time::Instant;

use anyhow::Result;

use super::{Bench, latency::percentile};
use crate::{
    measure::{Claim, Report, Series, Spread, Target, Watch, real, resident_bytes},
    relay::{Relay, TOPIC},
};

/// Pages read at random versions.
const PAGES: usize = 1_000;
/// Events of such a page: the default.
const PAGE: u64 = 100;

pub(super) async fn run(bench: &Bench) -> Result<Report> {
    let events = if bench.large { 100_000_000 } else { bench.size(10_000_000, 200_000) };
    let tenth = events / 10;
    let mut relay = Relay::with_topic(&bench.milkrun).await?;
    let mut append = Series::new("append, a tenth each");
    for _ in 0..10 {
        let watch = Watch::start(relay.pid())?;
        relay.publish(tenth, 4).await?;
        append.runs.push(watch.stop(tenth)?);
    }
    let filled = resident_bytes(relay.pid())?;
    let start = relay.restart().await?;
    let mut client = relay.client().await?;
    let mut took = Vec::new();
    for _ in 0..PAGES {
        let after = fastrand::u64(0..events - PAGE);
        let head = format!("GET /v1/topics/{TOPIC}/events?after={after}&limit={PAGE} HTTP/1.1\r\n");
        let began = Instant::now();
        client.ask(&head, &[]).await?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let started = resident_bytes(relay.pid())?;
    let slowest = append.runs[9].rate() / append.runs[0].rate();
    let mib = |bytes: u64| Spread::one(real(bytes) / real(1_u64 << 20));
    let claims = vec![
        Claim::ratio(
            "append, last tenth of the first",
            Spread::one(slowest),
            Target::AtLeast(0.7),
            0.3,
        ),
        Claim::figure("start to ready, s", Spread::one(start.as_secs_f64()), Target::AtMost(2.0)),
        Claim::figure("MiB resident after filling", mib(filled), Target::AtMost(256.0)),
        Claim::figure("MiB resident after start and reads", mib(started), Target::AtMost(256.0)),
        Claim::figure(
            "a page of 100 at a random version, 99th percentile, ms",
            Spread::one(percentile(took, 99)),
            Target::AtMost(10.0),
        ),
    ];
    Ok(Report {
        scenario: "backlog".into(),
        parameters: format!("{events} events, {PAGES} pages"),
        series: vec![append],
        claims,
    })
}
