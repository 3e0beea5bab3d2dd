//! `milkrun attempts`: what was sent, when, and what came back.

use super::{Failure, Options, output::Column, when};
use crate::clock::Clock;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The subscription; without one those of all are listed.
    name: Option<String>,
    #[command(flatten)]
    which: Which,
}

/// Every option narrows.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// Only those that failed.
    #[arg(long)]
    failed: bool,
    /// Only those begun since: 10m ago, or a time as 2026-01-31T12:00:00Z.
    #[arg(long)]
    since: Option<String>,
    /// Only those with this answer.
    #[arg(long)]
    status: Option<u16>,
    /// At most so many.
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// Only those behind this one in the list.
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    /// All of them, however many.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// The first one is left out where all are of one subscription.
const COLUMNS: [Column; 9] = [
    ("SUBSCRIPTION", "/subscription"),
    ("STARTED", "/started"),
    ("TOPIC", "/topic"),
    ("VERSION", "/version"),
    ("ATTEMPT", "/attempt"),
    ("VERDICT", "/verdict"),
    ("STATUS", "/status"),
    ("MS", "/duration_ms"),
    ("ERROR", "/error"),
];

impl Which {
    /// Lists the attempts of a subscription, or of all.
    pub(crate) async fn list(self, name: Option<&str>, options: &Options) -> Result<(), Failure> {
        let now = Clock::system().now();
        let mut query = vec![("limit", self.limit.to_string())];
        query.extend(self.after.map(|after| ("after", after)));
        query.extend(self.failed.then(|| ("failed", "true".to_owned())));
        query.extend(self.since.map(|since| ("since", when::past(&since, now))));
        query.extend(self.status.map(|status| ("status", status.to_string())));
        let one = name.map(|name| ["v1", "subscriptions", name, "attempts"]);
        let (path, columns): (&[&str], &[Column]) = match &one {
            Some(path) => (path, &COLUMNS[1..]),
            None => (&["v1", "attempts"], &COLUMNS),
        };
        let part = options.client()?.part(path, &query, "attempts", self.all).await?;
        Ok(options.output.part(&part, "attempts", columns)?)
    }
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<(), Failure> {
    args.which.list(args.name.as_deref(), options).await
}
