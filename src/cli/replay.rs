//! `milkrun replay`: a part of a topic once more, beside live delivery.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{Failure, Options, client::Client, output, place::Place, when};
use crate::clock::Clock;

/// How often a job that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_precedence_over_arg = true)]
pub(crate) struct Args {
    #[command(flatten)]
    start: Start,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Args)]
struct Start {
    /// The subscription.
    #[arg(required = true)]
    name: Option<String>,
    /// The topic, when the subscription has several.
    #[arg(long)]
    topic: Option<String>,
    #[command(flatten)]
    place: Place,
    /// The last event wanted: a version or cursor, or a time that it is before [default: the
    /// newest].
    #[arg(long)]
    to: Option<String>,
    /// The most events started in a time, as 100/s.
    #[arg(long)]
    rate: Option<String>,
    /// Wait until it is done.
    #[arg(long)]
    wait: bool,
    /// Tell what would be sent, and do nothing.
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// The replays of a subscription.
    List { name: String },
    /// End one before its time.
    Cancel { name: String, id: i64 },
    /// Wait until one is done.
    Wait { name: String, id: i64 },
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<(), Failure> {
    let (client, output) = (options.client()?, options.output);
    match args.action {
        None => {
            let Start { name, topic, place, to, rate, wait, dry_run } = args.start;
            let name = name.unwrap_or_default();
            let from = place.first(&client, &name, topic.as_deref()).await?;
            if from.is_none() {
                return Err(Failure::usage(
                    "expected where it begins: --after N, --at N or --since TIME",
                ));
            }
            let to = to.map(|to| when::past(&to, Clock::system().now()));
            let fields = [("topic", topic), ("from", from), ("to", to), ("rate", rate)];
            let given = fields
                .into_iter()
                .filter_map(|(field, value)| value.map(|value| (field.to_owned(), json!(value))));
            let body = Value::Object(given.collect::<Map<_, _>>());
            let path = ["v1", "subscriptions", &name, "replays"];
            let mut job = client.change((Method::POST, &path), Some(body), dry_run).await?;
            if wait {
                job = follow(&client, &name, job).await?;
            }
            output.one(&job)?;
        }
        Some(Action::List { name }) => output.list(
            &client.get(&["v1", "subscriptions", &name, "replays"], &[]).await?,
            "replays",
            &[
                ("ID", "/id"),
                ("TOPIC", "/topic"),
                ("FROM", "/from"),
                ("TO", "/to"),
                ("RATE", "/rate"),
                ("STATUS", "/status"),
                ("WHY", "/waits"),
                ("DONE %", "/done_percent"),
                ("UNSETTLED", "/unsettled"),
                ("DELIVERED", "/delivered"),
                ("STARTED", "/started"),
            ],
        )?,
        Some(Action::Cancel { name, id }) => {
            let path = ["v1", "subscriptions", &name, "replays", &id.to_string()];
            output.one(&client.delete(&path, None).await?)?;
        }
        Some(Action::Wait { name, id }) => {
            let path = ["v1", "subscriptions", &name, "replays", &id.to_string()];
            let job = client.get(&path, &[]).await?;
            output.one(&follow(&client, &name, job).await?)?;
        }
    }
    Ok(())
}

/// Looks at a job until it has ended, with a bar on a terminal.
async fn follow(client: &Client, name: &str, mut job: Value) -> Result<Value, Failure> {
    let number = |job: &Value, field: &str| job[field].as_u64().unwrap_or_default();
    let first = number(&job, "from");
    let all = (number(&job, "to") + 1).saturating_sub(first);
    let bar = output::seen(ProgressBar::new(all).with_style(style()));
    let id = job["id"].to_string();
    let mut told = Value::Null;
    while matches!(job["status"].as_str(), Some("running" | "waiting")) {
        if job["waits"] != told {
            told = job["waits"].clone();
            if let Some(why) = told.as_str() {
                bar.suspend(|| output::say(&format!("replay {id} waits: {why}")));
            }
        }
        let looked = (number(&job, "reach") + 1).saturating_sub(first);
        bar.set_position(looked.saturating_sub(number(&job, "unsettled")));
        tokio::time::sleep(LOOK_EVERY).await;
        job = client.get(&["v1", "subscriptions", name, "replays", &id], &[]).await?;
    }
    bar.finish_and_clear();
    if job["status"] == "done" {
        Ok(job)
    } else {
        Err(Failure::new(format!("replay {id} was {}", job["status"].as_str().unwrap_or("ended"))))
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{wide_bar} {pos}/{len} {per_sec} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
