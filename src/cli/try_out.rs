//! `milkrun try`: what a filter, a transform or a format makes of the newest events of a topic.

use serde_json::{Map, json};

use super::{
    Failure, Options,
    output::{Column, Output, say},
    subscriptions::{Setting, all},
};

const COLUMNS: [Column; 6] = [
    ("VERSION", "/version"),
    ("ID", "/id"),
    ("TYPE", "/type"),
    ("KEY", "/key"),
    ("RESULT", "/result"),
    ("ERROR", "/error"),
];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The topic.
    topic: String,
    /// A setting of a subscription: `filter='data.total > 100'`, `format=data`, `transform={…}`.
    #[arg(value_name = "SETTING=VALUE", value_parser = Setting::parse)]
    settings: Vec<Setting>,
    /// So many of the newest events, at most 100.
    #[arg(long, default_value_t = 20)]
    last: usize,
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<(), Failure> {
    let mut draft = Map::new();
    all(&mut draft, args.settings).map_err(Failure::usage)?;
    let body = json!({ "topic": args.topic, "last": args.last, "subscription": draft });
    let answer = options.client()?.post(&["v1", "trials"], body).await?;
    options.output.list(&answer, "trials", &COLUMNS)?;
    if matches!(options.output, Output::Table) {
        say(&format!(
            "milkrun: {} wanted, {} passed over, {} failed; -o json shows the bodies",
            answer["wanted"], answer["passed_over"], answer["failed"]
        ));
    }
    Ok(())
}
