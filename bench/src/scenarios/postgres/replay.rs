//! Reading from the first event on, beside a bare sqlx client with the same query.

use anyhow::Result;

use crate::{
    client::Client,
    limits::Limit,
    measure::{Claim, Report, Series, Target},
    relay::{Relay, TOPIC},
    scenarios::{
        Bench,
        replay::{JSON, NDJSON, PAGE, read},
    },
};

pub(super) async fn run(bench: &Bench) -> Result<Report> {
    let events = bench.size(1_000_000, 100_000);
    // Without a tail to speak of: what is read from memory says nothing of the database.
    let yaml = format!("limits: {{ tail_bytes: 1000000 }}\ntopics: {{ {TOPIC}: {{}} }}\n");
    let relay = Relay::start(&bench.milkrun, &yaml).await?;
    relay.publish(events, 4).await?;
    let served = Limit::Pages { url: relay.database()?.url() }.serve()?;
    let mut json = Series::new("milkrun, JSON");
    let mut ndjson = Series::new("milkrun, NDJSON");
    let mut bare = Series::new("bare sqlx client, to a socket");
    for _ in 0..bench.repeats {
        let client = Client::connect(served.address).await?;
        bare.runs.push(read(client, served.pid(), events, "").await?);
        json.runs.push(read(relay.client().await?, relay.pid(), events, JSON).await?);
        ndjson.runs.push(read(relay.client().await?, relay.pid(), events, NDJSON).await?);
    }
    let share = |what: &str, series: &Series| {
        Claim::ratio(what, series.share_of(&bare), Target::AtLeast(0.5), 0.2)
    };
    let claims = vec![
        share("JSON, of a bare sqlx client", &json),
        share("NDJSON, of a bare sqlx client", &ndjson),
        Claim::figure("JSON, events/s", json.rates(), Target::Told),
        Claim::figure("NDJSON, events/s", ndjson.rates(), Target::Told),
    ];
    Ok(Report {
        scenario: "replay".into(),
        parameters: format!("{events} events, {PAGE} a page, one reader, tail_bytes 1000000"),
        series: vec![json, ndjson, bare],
        claims,
    })
}
