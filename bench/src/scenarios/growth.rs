//! Whether the cost of an event grows with what is stored.

use anyhow::Result;
use serde_json::json;

use super::{
    Bench,
    push::CONCURRENCY,
    replay::{JSON, read},
};
use crate::{
    measure::{Claim, Report, Series, Spread, Target, Watch},
    receiver::Receiver,
    relay::{Relay, TOPIC},
};

pub(super) async fn run(bench: &Bench) -> Result<Report> {
    let sizes: &[u64] =
        if bench.quick { &[10_000, 100_000] } else { &[10_000, 100_000, 1_000_000, 10_000_000] };
    let some = bench.size(100_000, 10_000);
    let receiver = Receiver::single()?;
    // Without a tail to speak of: else the smallest store would be read from memory.
    let yaml = format!("limits: {{ tail_bytes: 1000000 }}\ntopics: {{ {TOPIC}: {{}} }}\n");
    let relay = Relay::start(&bench.milkrun, &yaml).await?;
    let mut series = Vec::new();
    for size in sizes {
        let missing = size - relay.head().await?.min(*size);
        relay.publish(missing, 4).await?;
        let names = ["append", "push", "replay"].map(|what| format!("{what} at {size} stored"));
        let [mut append, mut push, mut read_again] = names.map(|name| Series::new(&name));
        for _ in 0..bench.repeats {
            let watch = Watch::start(relay.pid())?;
            relay.publish(some, 4).await?;
            append.runs.push(watch.stop(some)?);
            let own = some.min(*size);
            read_again.runs.push(read(relay.client().await?, relay.pid(), own, JSON).await?);
            // The newest, of which the rest is not owed.
            let from = (relay.head().await? - own + 1).to_string();
            receiver.reset();
            let watch = Watch::start(relay.pid())?;
            let settings = json!({ "concurrency": CONCURRENCY, "from": from });
            relay.subscribe("bench", &receiver.url(), &settings).await?;
            receiver.until(own).await?;
            push.runs.push(watch.stop(own)?);
            relay.unsubscribe("bench").await?;
        }
        series.extend([append, push, read_again]);
    }
    let mut claims = Vec::new();
    for (index, what) in ["append", "push", "replay"].into_iter().enumerate() {
        let costs = series.iter().skip(index).step_by(3).map(|series| series.cpu_us().median);
        let first = series[index].cpu_us().median;
        let most = costs.map(|cost| cost / first).fold(0.0, f64::max);
        let what = format!("{what}: the dearest of the cheapest store's CPU an event");
        claims.push(Claim::ratio(&what, Spread::one(most), Target::AtMost(1.5), 4.0));
    }
    Ok(Report {
        scenario: "growth".into(),
        parameters: format!("{some} events more at each size of {sizes:?}, tail_bytes 1000000"),
        series,
        claims,
    })
}
