//! Reading from the first event on, 1,000 a page, as JSON and as NDJSON.

use anyhow::{Result, ensure};

use super::Bench;
use crate::{
    client::Client,
    limits::Limit,
    measure::{Claim, Report, Run, Series, Target, Watch},
    relay::{Relay, TOPIC},
};

/// Events of a page.
pub(super) const PAGE: u64 = 1_000;
pub(super) const JSON: &str = "application/json";
pub(super) const NDJSON: &str = "application/x-ndjson";

pub(super) async fn run(bench: &Bench) -> Result<Report> {
    let events = bench.size(1_000_000, 100_000);
    let relay = Relay::with_topic(&bench.milkrun).await?;
    relay.publish(events, 4).await?;
    let served = Limit::Serve { path: relay.store() }.serve()?;
    let mut json = Series::new("milkrun, JSON");
    let mut ndjson = Series::new("milkrun, NDJSON");
    let mut sqlx = Series::new("sqlx to a socket");
    let mut cursor = Series::new("raw SQLite cursor");
    for _ in 0..bench.repeats {
        sqlx.runs
            .push(read(Client::connect(served.address).await?, served.pid(), events, "").await?);
        json.runs.push(read(relay.client().await?, relay.pid(), events, JSON).await?);
        ndjson.runs.push(read(relay.client().await?, relay.pid(), events, NDJSON).await?);
        cursor.runs.push(Limit::Cursor { path: relay.store() }.once().await?);
    }
    let claims = vec![
        Claim::ratio("JSON, of sqlx to a socket", json.share_of(&sqlx), Target::AtLeast(0.6), 0.3),
        Claim::ratio(
            "NDJSON, of sqlx to a socket",
            ndjson.share_of(&sqlx),
            Target::AtLeast(0.6),
            0.3,
        ),
        Claim::figure("JSON, events/s", json.rates(), Target::AtLeast(200_000.0)),
        Claim::figure("NDJSON, events/s", ndjson.rates(), Target::AtLeast(200_000.0)),
        Claim::figure("JSON, of a raw SQLite cursor", json.share_of(&cursor), Target::Told),
    ];
    Ok(Report {
        scenario: "replay".into(),
        parameters: format!("{events} events, {PAGE} a page, one reader"),
        series: vec![json, ndjson, sqlx, cursor],
        claims,
    })
}

/// Reads the whole log, page by page.
pub(super) async fn read(mut client: Client, pid: u32, events: u64, accept: &str) -> Result<Run> {
    let watch = Watch::start(pid)?;
    for after in (0..events).step_by(1_000) {
        let head = format!(
            "GET /v1/topics/{TOPIC}/events?after={after}&limit={PAGE} HTTP/1.1\r\naccept: {accept}\r\n"
        );
        let body = client.ask(&head, &[]).await?;
        // A page of 1,000 events of 1 KB.
        ensure!(body.len() > 900_000, "a short page: {} bytes after {after}", body.len());
    }
    watch.stop(events)
}
