//! `milkrun dead-letters`: what a subscription did not get.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{
    Failure, Options,
    output::{Column, text},
    when,
};
use crate::clock::Clock;

/// The first one is left out where all are of one subscription.
const COLUMNS: [Column; 10] = [
    ("SUBSCRIPTION", "/subscription"),
    ("ID", "/id"),
    ("TOPIC", "/topic"),
    ("FROM", "/from"),
    ("TO", "/to"),
    ("REASON", "/reason"),
    ("ATTEMPTS", "/attempts"),
    ("STATUS", "/last/status"),
    ("ERROR", "/last/error"),
    ("AT", "/at"),
];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The subscription; without one those of all are listed.
    name: Option<String>,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// The oldest first.
    List {
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// Those with a higher id.
        #[arg(long)]
        after: Option<i64>,
        /// All of them, however many.
        #[arg(long = "all", conflicts_with = "limit")]
        every: bool,
        #[command(flatten)]
        filter: Filter,
    },
    /// Try them again, with no attempt counted.
    Redrive {
        #[command(flatten)]
        which: Which,
        /// So many in a time, as 10/s.
        #[arg(long)]
        rate: Option<String>,
        /// Tell how many, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Forget them.
    Delete {
        #[command(flatten)]
        which: Which,
        /// Tell how many, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, clap::Args)]
#[group(
    id = "which",
    required = true,
    multiple = true,
    args = ["ids", "all", "topic", "reason", "from", "to", "since", "status"]
)]
struct Which {
    /// Their ids.
    #[arg(conflicts_with = "filter")]
    ids: Vec<i64>,
    /// All of the subscription.
    #[arg(long, conflicts_with_all = ["ids", "filter"])]
    all: bool,
    #[command(flatten)]
    filter: Filter,
}

/// Every option narrows.
#[derive(Debug, Default, clap::Args)]
#[group(id = "filter", multiple = true)]
struct Filter {
    /// Those of this topic.
    #[arg(long)]
    topic: Option<String>,
    /// Those given up because of this: `attempts`, `age`, `refused`, `expression`, `too_large`,
    /// `damaged` or `expired`.
    #[arg(long)]
    reason: Option<String>,
    /// Those of this version or a later one.
    #[arg(long, value_name = "VERSION")]
    from: Option<u64>,
    /// Those of this version or an earlier one.
    #[arg(long, value_name = "VERSION")]
    to: Option<u64>,
    /// Those given up since: 10m ago, or a time.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Those whose last attempt was answered with this status.
    #[arg(long)]
    status: Option<u16>,
}

impl Filter {
    /// What is given, by the names that the API has.
    fn fields(&self) -> Vec<(&'static str, Value)> {
        let now = Clock::system().now();
        let text = |value: &Option<String>| value.as_ref().map(|text| json!(text));
        let fields = [
            ("topic", text(&self.topic)),
            ("reason", text(&self.reason)),
            ("from", self.from.map(|version| json!(version))),
            ("to", self.to.map(|version| json!(version))),
            ("since", self.since.as_ref().map(|since| json!(when::past(since, now)))),
            ("status", self.status.map(|status| json!(status))),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

impl Which {
    fn body(&self) -> Value {
        if self.all {
            json!({ "all": true })
        } else if self.ids.is_empty() {
            let fields = self.filter.fields().into_iter();
            fields.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>().into()
        } else {
            json!({ "ids": self.ids })
        }
    }
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<(), Failure> {
    let (client, output) = (options.client()?, options.output);
    let all = Action::List { limit: 100, after: None, every: false, filter: Filter::default() };
    let action = args.action.unwrap_or(all);
    let name = match (&args.name, &action) {
        (Some(name), _) => name.as_str(),
        (None, Action::List { .. }) => "",
        (None, Action::Redrive { .. } | Action::Delete { .. }) => {
            let message =
                "of which subscription? `milkrun dead-letters NAME redrive …`, or `delete`";
            return Err(Failure::usage(message.to_owned()));
        }
    };
    let path = ["v1", "subscriptions", name, "dead-letters"];
    match action {
        Action::List { limit, after, every, filter } => {
            let mut query = vec![("limit", limit.to_string())];
            query.extend(after.map(|after| ("after", after.to_string())));
            query.extend(filter.fields().into_iter().map(|(name, value)| (name, text(&value))));
            let (path, columns): (&[&str], &[Column]) = match &args.name {
                Some(_) => (&path, &COLUMNS[1..]),
                None => (&["v1", "dead-letters"], &COLUMNS),
            };
            let part = client.part(path, &query, "dead_letters", every).await?;
            output.part(&part, "dead_letters", columns)?;
        }
        Action::Redrive { which, rate, dry_run } => {
            let path = ["v1", "subscriptions", name, "dead-letters", "redrive"];
            let mut body = which.body();
            if let Some(rate) = rate {
                body["rate"] = rate.into();
            }
            let answer = client.change((Method::POST, &path), Some(body), dry_run).await?;
            output.one(&answer)?;
            all_found(&which.ids, &answer["redriven"], name)?;
        }
        Action::Delete { which, dry_run } => {
            let call = (Method::DELETE, &path[..]);
            let answer = client.change(call, Some(which.body()), dry_run).await?;
            output.one(&answer)?;
            all_found(&which.ids, &answer["deleted"], name)?;
        }
    }
    Ok(())
}

/// Whether as many were found as were named.
fn all_found(ids: &[i64], done: &Value, name: &str) -> Result<(), Failure> {
    let named = ids.iter().collect::<BTreeSet<_>>().len() as u64;
    match done.as_u64() {
        Some(done) if done < named => Err(Failure::new(format!(
            "{done} of {named} were found: the others are no dead letters of `{name}`, or not any \
             more; `milkrun dead-letters {name}` lists those there are"
        ))),
        _ => Ok(()),
    }
}
