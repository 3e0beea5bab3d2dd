//! One topic, 100 subscriptions, against the same number of deliveries to one.

use anyhow::Result;
use serde_json::json;

use super::{
    Bench,
    push::{CONCURRENCY, push},
};
use crate::{
    measure::{Claim, Report, Series, Target, Watch},
    receiver::Receiver,
    relay::Relay,
};

const SUBSCRIPTIONS: usize = 100;

pub(super) async fn run(bench: &Bench) -> Result<Report> {
    let deliveries = bench.size(1_000_000, 100_000);
    let events = deliveries / SUBSCRIPTIONS as u64;
    let receiver = Receiver::many(SUBSCRIPTIONS)?;
    let (mut many, mut one) = (Series::new("100 subscriptions"), Series::new("one subscription"));
    let full = Relay::with_topic(&bench.milkrun).await?;
    full.publish(deliveries, 4).await?;
    let short = Relay::with_topic(&bench.milkrun).await?;
    short.publish(events, 1).await?;
    // The default in flight for each; together as many as one subscription has.
    let settings = json!({ "concurrency": 16 });
    for _ in 0..bench.repeats {
        let alone = json!({ "concurrency": CONCURRENCY });
        one.runs.push(push(&full, &receiver, deliveries, &alone).await?);
        receiver.reset();
        let watch = Watch::start(short.pid())?;
        for number in 0..SUBSCRIPTIONS {
            short
                .subscribe(&format!("bench-{number}"), &receiver.url_of(number), &settings)
                .await?;
        }
        receiver.until(deliveries).await?;
        many.runs.push(watch.stop(deliveries)?);
        for number in 0..SUBSCRIPTIONS {
            short.unsubscribe(&format!("bench-{number}")).await?;
        }
    }
    let claims = vec![
        Claim::ratio("of one subscription", many.share_of(&one), Target::AtLeast(0.9), 0.25),
        Claim::figure("deliveries/s", many.rates(), Target::Told),
        Claim::figure("µs of CPU a delivery", many.cpu_us(), Target::Told),
    ];
    Ok(Report {
        scenario: "fan-out".into(),
        parameters: format!(
            "{events} events to each of {SUBSCRIPTIONS} subscriptions, each a host of its own, 16 in flight each"
        ),
        series: vec![many, one],
        claims,
    })
}
