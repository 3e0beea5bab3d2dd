//! What one of each kind takes in memory: so many of them, and how much more is resident then.

use std::{fmt::Write as _, net::TcpListener, thread, time::Duration};

use anyhow::{Result, ensure};
use serde_json::json;

use super::Bench;
use crate::{
    client::Client,
    event::Ids,
    measure::{Claim, Report, Spread, Target, real, resident_bytes},
    producer::Producer,
    receiver::Receiver,
    relay::{PUBLISH_BATCH, Relay, SECRET, TOPIC},
};

/// A tail that holds next to nothing.
const NO_TAIL: &str = "limits: { tail_bytes: 1000000 }\n";

pub(super) async fn run(bench: &Bench) -> Result<Report> {
    let told = |what: &str, each: f64| Claim::figure(what, Spread::one(each), Target::Told);
    let empty = Relay::with_topic(&bench.milkrun).await?;
    let empty_mib = real(resident_bytes(empty.pid())? >> 20);
    drop(empty);
    let claims = vec![
        told("MiB of a relay with nothing to do", empty_mib),
        told("bytes of an event of 1 KB in the tail", tail(bench).await?),
        told("bytes of a dedupe key", keys(bench).await?),
        told("bytes of a subscription", subscriptions(bench).await?),
        told("bytes of a source", sources(bench).await?),
        told("bytes of an event parked behind its key", parked(bench).await?),
        told("bytes of an open connection to the API", connections(bench).await?),
    ];
    Ok(Report {
        scenario: "memory".into(),
        parameters: "resident memory with many of a kind, less that without, for each".into(),
        series: Vec::new(),
        claims,
    })
}

/// What `work` adds to the memory of a relay, for each of `count`.
async fn each(relay: &Relay, count: u64, work: impl Future<Output = Result<()>>) -> Result<f64> {
    let before = resident_bytes(relay.pid())?;
    work.await?;
    // What was only passing through is given back after a while.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = resident_bytes(relay.pid())?;
    Ok((real(after) - real(before)) / real(count))
}

async fn tail(bench: &Bench) -> Result<f64> {
    let relay = Relay::with_topic(&bench.milkrun).await?;
    let events = bench.size(50_000, 20_000);
    let all = each(&relay, events, relay.publish(events, 1)).await?;
    Ok(all - keys(bench).await?)
}

async fn keys(bench: &Bench) -> Result<f64> {
    let yaml = format!("{NO_TAIL}topics: {{ {TOPIC}: {{}} }}\n");
    let relay = Relay::start(&bench.milkrun, &yaml).await?;
    // The pages of SQLite and the buffers of the first requests are not the keys'.
    relay.publish(100_000, 1).await?;
    let events = bench.size(800_000, 100_000);
    each(&relay, events, relay.publish(events, 1)).await
}

async fn subscriptions(bench: &Bench) -> Result<f64> {
    let (relay, receiver) = (Relay::with_topic(&bench.milkrun).await?, Receiver::single()?);
    let count = bench.size(5_000, 500);
    let settings = json!({ "from": "latest" });
    let made = async {
        for number in 0..count {
            relay.subscribe(&format!("hook-{number}"), &receiver.url(), &settings).await?;
        }
        Ok(())
    };
    each(&relay, count, made).await
}

async fn sources(bench: &Bench) -> Result<f64> {
    let count = bench.size(1_000, 200);
    let producer = Producer::start(0, false)?;
    let resident = async |sources: u64| {
        let mut yaml = format!("topics: {{ {TOPIC}: {{}} }}\n");
        for number in 0..sources {
            let head = if number == 0 { "sources:\n" } else { "" };
            let source = producer.source(&format!("source-{number}"), "60s");
            write!(yaml, "{head}  {source}")?;
        }
        let relay = Relay::start(&bench.milkrun, &yaml).await?;
        let asked = producer.requests();
        while producer.requests() < asked + sources {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        anyhow::Ok(real(resident_bytes(relay.pid())?))
    };
    Ok((resident(count).await? - resident(1).await?) / real(count - 1))
}

async fn parked(bench: &Bench) -> Result<f64> {
    let yaml = format!("{NO_TAIL}topics: {{ {TOPIC}: {{}} }}\n");
    let relay = Relay::start(&bench.milkrun, &yaml).await?;
    relay.publish(100_000, 1).await?;
    let settings = json!({
        "from": "latest",
        "order": "key",
        "webhook": { "url": silent()?, "secret": SECRET, "timeout": "60s" },
    });
    relay.subscribe("parked", "", &settings).await?;
    let events = bench.size(90_000, 20_000);
    let published = async {
        let (mut client, mut ids) = (relay.client().await?, Ids::fresh());
        for _ in 0..events / 1_000 {
            client.ask(PUBLISH_BATCH, keyed(&mut ids).as_bytes()).await?;
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        let path = "/v1/subscriptions/parked";
        let shown = client.json("GET", path, &serde_json::Value::Null).await?;
        let parked = shown["positions"][0]["exceptions"].as_u64().unwrap_or(0);
        ensure!(parked > events * 9 / 10, "only {parked} are parked: {shown}");
        Ok(())
    };
    let all = each(&relay, events, published).await?;
    Ok(all - keys(bench).await?)
}

/// A thousand events of eight keys: fewer than may be sent at once, so that the others are parked.
fn keyed(ids: &mut Ids) -> String {
    let events: Vec<String> = (0..1_000)
        .map(|number| {
            format!(
                r#"{{"specversion":"1.0","id":"{}","source":"/bench","type":"t","partitionkey":"k{}"}}"#,
                ids.text(),
                number % 8
            )
        })
        .collect();
    format!("[{}]", events.join(","))
}

/// A consumer that never answers, as long as the process lives.
fn silent() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/hook", listener.local_addr()?);
    thread::spawn(move || {
        let mut held = Vec::new();
        held.extend(listener.incoming().map_while(Result::ok));
    });
    Ok(url)
}

async fn connections(bench: &Bench) -> Result<f64> {
    let relay = Relay::with_topic(&bench.milkrun).await?;
    let count = bench.size(2_000, 500);
    let mut open: Vec<Client> = Vec::new();
    let opened = async {
        for _ in 0..count {
            let mut client = relay.client().await?;
            client.ask("GET /healthz HTTP/1.1\r\n", &[]).await?;
            open.push(client);
        }
        Ok(())
    };
    each(&relay, count, opened).await
}
