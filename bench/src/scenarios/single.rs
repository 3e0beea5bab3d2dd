//! 64 publishers, one event a request.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::task::JoinSet;

use super::Bench;
use crate::{
    client::Client,
    event::{Ids, Sheet},
    limits::Limit,
    measure::{Claim, Report, Run, Series, Target, Watch},
    relay::{PUBLISH_ONE, Relay},
};

const CLIENTS: u64 = 64;

pub(super) async fn run(bench: &Bench) -> Result<Report> {
    let events = bench.size(200_000, 20_000);
    let (mut milkrun, mut route) =
        (Series::new("milkrun"), Series::new("a route that stores nothing"));
    for _ in 0..bench.repeats {
        let served = Limit::Route.serve()?;
        route.runs.push(publish(served.address, served.pid(), events).await?);
        drop(served);
        let relay = Relay::with_topic(&bench.milkrun).await?;
        let run = publish(relay.address(), relay.pid(), events).await?;
        anyhow::ensure!(relay.head().await? == run.events, "not every event was kept");
        milkrun.runs.push(run);
    }
    let claims = vec![
        Claim::ratio(
            "of a route that stores nothing",
            milkrun.share_of(&route),
            Target::AtLeast(0.5),
            0.1,
        ),
        Claim::figure("events/s", milkrun.rates(), Target::Told),
    ];
    Ok(Report {
        scenario: "append-single".into(),
        parameters: format!("{events} events, one a request, {CLIENTS} publishers"),
        series: vec![milkrun, route],
        claims,
    })
}

async fn publish(address: SocketAddr, pid: u32, events: u64) -> Result<Run> {
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Client::connect(address).await?);
    }
    let watch = Watch::start(pid)?;
    let mut tasks = JoinSet::new();
    for mut client in clients {
        tasks.spawn_local(async move {
            let (mut sheet, mut ids) = (Sheet::publish_one(), Ids::fresh());
            for _ in 0..events / CLIENTS {
                client.ask(PUBLISH_ONE, sheet.fill(&mut ids)).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    watch.stop(events / CLIENTS * CLIENTS)
}
