//! A node on PostgreSQL that has nothing to do: with very much of it, and with one topic alone.

use anyhow::Result;

use crate::{
    measure::{Claim, Report, Spread, Target},
    postgres::Server,
    relay::Relay,
    scenarios::{
        Bench,
        idle::{self, rest},
    },
};

pub(super) async fn run(bench: &Bench, server: &Server) -> Result<Report> {
    let mut report = idle::run(bench).await?;
    let seconds = bench.size(30, 4);
    let (mut node, mut database) = (Vec::new(), Vec::new());
    for _ in 0..bench.repeats.min(3) {
        let relay = Relay::with_topic(&bench.milkrun).await?;
        rest(&relay, 2).await?;
        let busy = server.cpu_seconds()?;
        let run = rest(&relay, seconds).await?;
        node.push(run.cpu_seconds / run.seconds * 100.0);
        database.push((server.cpu_seconds()? - busy) / run.seconds * 100.0);
    }
    report.claims.extend([
        Claim::figure(
            "% of one core, a node with one topic",
            Spread::of(node.into_iter()),
            Target::AtMost(2.0),
        ),
        Claim::figure(
            "% of one core, PostgreSQL for that node",
            Spread::of(database.into_iter()),
            Target::Told,
        ),
    ]);
    Ok(report)
}
