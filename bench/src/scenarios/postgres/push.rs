//! A backlog to one healthy consumer, beside the same relay on a file.

use anyhow::Result;
use serde_json::json;

use crate::{
    limits::Limit,
    measure::{Claim, Report, Series, Spread, Target, real},
    postgres::Server,
    receiver::Receiver,
    relay::Relay,
    scenarios::{
        Bench,
        push::{CONCURRENCY, push},
    },
};

pub(super) async fn run(bench: &Bench, server: &Server) -> Result<Report> {
    let events = bench.size(1_000_000, 60_000);
    let receiver = Receiver::single()?;
    let (mut milkrun, mut file) = (Series::new("milkrun"), Series::new("milkrun on SQLite"));
    let (mut bare, mut database) = (Series::new("bare hyper connections"), Vec::new());
    let relay = Relay::with_topic(&bench.milkrun).await?;
    let other = Relay::with_topic(&bench.milkrun.on_sqlite()).await?;
    relay.publish(events, 4).await?;
    other.publish(events, 4).await?;
    let settings = json!({ "concurrency": CONCURRENCY });
    for _ in 0..bench.repeats {
        let (address, connections) = (receiver.address(), CONCURRENCY);
        bare.runs.push(Limit::Post { address, events, batch: 1, connections }.once().await?);
        let busy = server.cpu_seconds()?;
        milkrun.runs.push(push(&relay, &receiver, events, &settings).await?);
        database.push((server.cpu_seconds()? - busy) * 1e6 / real(events));
        file.runs.push(push(&other, &receiver, events, &settings).await?);
    }
    let claims = vec![
        Claim::ratio(
            "CPU a delivery, of SQLite's",
            milkrun.cpu_share_of(&file),
            Target::AtMost(1.25),
            2.5,
        ),
        Claim::figure("µs of CPU a delivery", milkrun.cpu_us(), Target::Told),
        // SQLite's is the relay's own.
        Claim::figure(
            "µs of PostgreSQL's CPU a delivery",
            Spread::of(database.into_iter()),
            Target::Told,
        ),
        Claim::figure("of the rate on SQLite", milkrun.share_of(&file), Target::Told),
        Claim::figure("of bare hyper connections", milkrun.share_of(&bare), Target::Told),
        Claim::figure("events/s", milkrun.rates(), Target::Told),
    ];
    Ok(Report {
        scenario: "push".into(),
        parameters: format!("{events} events of backlog, 1 a POST, {CONCURRENCY} in flight"),
        series: vec![milkrun, file, bare],
        claims,
    })
}
