//! Very many subscriptions and sources of which none has anything to do.

use std::{fmt::Write as _, time::Duration};

use anyhow::Result;

use super::Bench;
use crate::{
    measure::{Claim, Report, Run, Spread, Target, Watch, real, resident_bytes},
    producer::Producer,
    receiver::Receiver,
    relay::{Relay, SECRET_ENV, TOPIC},
};

pub(super) async fn run(bench: &Bench) -> Result<Report> {
    let subscriptions = bench.size(10_000, 1_000);
    let sources = bench.size(1_000, 100);
    let seconds = bench.size(30, 4);
    let (producer, receiver) = (Producer::start(0, false)?, Receiver::single()?);
    let mut yaml = format!("topics: {{ {TOPIC}: {{}} }}\nsources:\n");
    for number in 0..sources {
        write!(yaml, "  {}", producer.source(&format!("source-{number}"), "60s"))?;
    }
    yaml.push_str("subscriptions:\n");
    for number in 0..subscriptions {
        let url = receiver.url();
        writeln!(
            yaml,
            "  - {{ name: hook-{number}, topic: {TOPIC}, webhook: {{ url: \"{url}\", secret: {{ env: {SECRET_ENV} }} }} }}"
        )?;
    }
    let (mut busy, mut memory, mut requests) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.repeats.min(3) {
        let relay = Relay::start(&bench.milkrun, &yaml).await?;
        let asked = producer.requests();
        while producer.requests() < asked + sources {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let asked = producer.requests();
        let run = rest(&relay, seconds).await?;
        busy.push(run.cpu_seconds / run.seconds * 100.0);
        memory.push(real(resident_bytes(relay.pid())?) / real(1_u64 << 20));
        requests.push(real(producer.requests() - asked) / run.seconds);
    }
    let of = |values: Vec<f64>| Spread::of(values.into_iter());
    let claims = vec![
        Claim::figure(
            "% of one core, the sources' own requests among it",
            of(busy),
            Target::AtMost(if bench.milkrun.postgres.is_some() { 2.0 } else { 5.0 }),
        ),
        Claim::figure("MiB resident", of(memory), Target::AtMost(300.0)),
        Claim::figure("requests/s of the sources", of(requests), Target::Told),
    ];
    Ok(Report {
        scenario: "idle".into(),
        parameters: format!(
            "{subscriptions} subscriptions, {sources} sources every 60 s, {seconds} s"
        ),
        series: Vec::new(),
        claims,
    })
}

/// Leaves a relay alone for a while.
pub(super) async fn rest(relay: &Relay, seconds: u64) -> Result<Run> {
    let watch = Watch::start(relay.pid())?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    watch.stop(1)
}
