//! Publishing in batches of 1,000: beside a bare sqlx client, alone and beside a second node, and what
//! it writes ahead.

use std::sync::Arc;

use anyhow::{Result, ensure};

use crate::{
    limits::Limit,
    measure::{Claim, Report, Run, Series, Spread, Target, Watch, real},
    postgres::Server,
    relay::{BATCH, Relay},
    scenarios::{Bench, append::CONNECTIONS},
};

/// Events that are appended before anything is measured.
const BEFORE: u64 = 20_000;
/// What may be written ahead for an event: so many times its data, and so much beside.
const WAL_OF_DATA: f64 = 1.25;
const WAL_BESIDE_BYTES: f64 = 250.0;

pub(super) async fn run(bench: &Bench, server: &Arc<Server>) -> Result<Report> {
    let events = bench.size(500_000, 60_000);
    let (mut milkrun, mut bare) = (Series::new("milkrun"), Series::new("bare sqlx client"));
    let mut two = Series::new("milkrun, with a second node");
    let (mut wal, mut data, mut database) = (Vec::new(), 0.0, Vec::new());
    for _ in 0..bench.repeats {
        let empty = server.database()?;
        let limit = Limit::Insert { url: empty.url(), events, batch: BATCH as u64 };
        bare.runs.push(limit.once().await?);
        drop(empty);
        let relay = Relay::with_topic(&bench.milkrun).await?;
        relay.publish(BEFORE, CONNECTIONS).await?;
        let (written, busy) = (relay.database()?.number(WRITTEN).await?, server.cpu_seconds()?);
        milkrun.runs.push(append(&relay, events).await?);
        database.push((server.cpu_seconds()? - busy) * 1e6 / real(events));
        wal.push((relay.database()?.number(WRITTEN).await? - written) / real(events));
        data = relay.database()?.number(DATA).await?;
        let mut second = relay.second().await?;
        two.runs.push(append(&relay, events).await?);
        second.stop()?;
        ensure!(relay.head().await? == 2 * events + BEFORE, "not every event was kept");
    }
    let slower = milkrun.runs.iter().zip(&two.runs);
    let slower = slower.map(|(alone, beside)| (1.0 - beside.rate() / alone.rate()) * 100.0);
    let claims = vec![
        Claim::ratio("of a bare sqlx client", milkrun.share_of(&bare), Target::AtLeast(0.5), 0.2),
        Claim::figure(
            "% slower with a second node, which is notified",
            Spread::of(slower),
            Target::AtMost(5.0),
        ),
        Claim::figure(
            "bytes written ahead (WAL) an event",
            Spread::of(wal.into_iter()),
            Target::AtMost(WAL_OF_DATA * data + WAL_BESIDE_BYTES),
        ),
        Claim::figure("bytes of data an event", Spread::one(data), Target::Told),
        Claim::figure(
            "µs of PostgreSQL's CPU an event",
            Spread::of(database.into_iter()),
            Target::Told,
        ),
        Claim::figure("events/s", milkrun.rates(), Target::Told),
    ];
    Ok(Report {
        scenario: "append".into(),
        parameters: format!(
            "{events} events, {BATCH} a publish, {CONNECTIONS} publishers; one connection to the \
             database carries them, as in the bare client"
        ),
        series: vec![milkrun, bare, two],
        claims,
    })
}

/// How much was written ahead since the server was made.
const WRITTEN: &str = "SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::float8";
/// Data of an event, without what it has for an envelope.
const DATA: &str = "SELECT avg(octet_length(data))::float8 FROM events WHERE version <= 1000";

async fn append(relay: &Relay, events: u64) -> Result<Run> {
    let watch = Watch::start(relay.pid())?;
    relay.publish(events, CONNECTIONS).await?;
    watch.stop(events)
}
