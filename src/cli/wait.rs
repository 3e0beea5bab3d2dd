//! `milkrun wait`: until a subscription has what it is owed, for scripts.

use std::time::Duration;

use probes::period::Period;
use serde_json::{Value, json};

use super::{
    Failure, Options,
    client::ClientError,
    output::{Output, print, say, text},
};
use crate::clock;

const EXAMPLES: &str = "\
Examples:
  milkrun wait billing --timeout 60s && ./check-what-arrived
  milkrun wait billing --owed 100 --timeout 5m -o json

Exit codes: 0: no more than that is owed; 1: the relay refuses to say, as when there is no such
subscription; 2: the command line is wrong; 4: the time is up.";

/// The exit code when the time is up.
const LATE: u8 = 4;
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The subscription.
    name: String,
    /// Until it is owed no more events than these.
    #[arg(long, visible_alias = "lag", value_name = "EVENTS", default_value_t = 0)]
    owed: u64,
    /// The longest to wait.
    #[arg(long, value_name = "TIME", default_value = "60s")]
    timeout: Period,
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<(), Failure> {
    let client = options.client()?;
    let began = clock::instant();
    let mut told = String::new();
    loop {
        let why = match client.get(&["v1", "subscriptions", &args.name], &[]).await {
            Ok(view) => match view["owed"].as_u64() {
                Some(owed) if owed <= args.owed => {
                    return reached(options.output, &view, began.elapsed());
                }
                _ => waits(&args.name, &view),
            },
            // It may be about to start.
            Err(error @ ClientError::Unreachable { .. }) => error.to_string(),
            Err(error) => return Err(error.into()),
        };
        let (_, kind) = split(&why);
        if kind != split(&told).1 && !kind.is_empty() {
            say(&format!("milkrun: {why}"));
        }
        told = why;
        if began.elapsed() >= args.timeout.0 {
            let message = format!("not within {}: {told}", args.timeout);
            return Err(Failure { message, code: LATE });
        }
        tokio::time::sleep(LOOK_EVERY.min(args.timeout.0)).await;
    }
}

fn reached(output: Output, view: &Value, took: Duration) -> Result<(), Failure> {
    let (name, owed) = (text(&view["name"]), &view["owed"]);
    let dead = view["positions"].as_array().into_iter().flatten();
    let dead: u64 = dead.filter_map(|one| one["dead_letters"].as_u64()).sum();
    match output {
        Output::Json => output
            .one(&json!({ "subscription": name, "owed": owed, "dead_letters": dead,
            "waited_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX) }))?,
        Output::Table => print(&format!("{name} is owed {owed} events; {dead} dead letters"))?,
    }
    Ok(())
}

/// How many are owed, and why they may stay so: behind the semicolon.
fn waits(name: &str, view: &Value) -> String {
    let told = format!("{name} is owed {} events", view["owed"]);
    let state = view["health"]["state"].as_str();
    let why = match view["status"].as_str() {
        Some(status @ ("paused" | "disabled")) => format!("it is {status}"),
        _ if state == Some("holding") => "its endpoint is on hold".into(),
        _ if view["exceptions_full"] == true => "it has as many exceptions as it may".into(),
        _ => return told,
    };
    format!("{told}; {why}: `milkrun subscriptions show {name}`")
}

fn split(told: &str) -> (&str, &str) {
    told.split_once("; ").unwrap_or((told, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_it_may_last_is_told() {
        let view = |status: &str, state: &str| {
            waits("b", &json!({ "owed": 3, "status": status, "health": { "state": state } }))
        };
        assert_eq!(view("active", "open"), "b is owed 3 events");
        assert!(view("paused", "open").contains("it is paused"));
        assert!(view("active", "holding").contains("on hold"));
    }
}
