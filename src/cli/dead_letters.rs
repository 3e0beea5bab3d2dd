//! `milkrun dead-letters`: what a subscription did not get.

use serde_json::{Value, json};

use super::{Failure, Options};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The subscription.
    name: String,
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
    },
    /// Try them again, with no attempt counted.
    Redrive(Which),
    /// Forget them.
    Delete(Which),
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Their ids.
    ids: Vec<i64>,
    /// All of the subscription.
    #[arg(long)]
    all: bool,
}

impl Which {
    fn body(&self) -> Value {
        if self.all { json!({ "all": true }) } else { json!({ "ids": self.ids }) }
    }
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<(), Failure> {
    let (client, output) = (options.client()?, options.output);
    let path = ["v1", "subscriptions", &args.name, "dead-letters"];
    match args.action.unwrap_or(Action::List { limit: 100, after: None }) {
        Action::List { limit, after } => {
            let mut query = vec![("limit", limit.to_string())];
            query.extend(after.map(|after| ("after", after.to_string())));
            output.list(
                &client.get(&path, &query).await?,
                "dead_letters",
                &[
                    ("ID", "/id"),
                    ("TOPIC", "/topic"),
                    ("FROM", "/from"),
                    ("TO", "/to"),
                    ("REASON", "/reason"),
                    ("ATTEMPTS", "/attempts"),
                    ("STATUS", "/last/status"),
                    ("ERROR", "/last/error"),
                    ("AT", "/at"),
                ],
            )?;
        }
        Action::Redrive(which) => {
            let path = ["v1", "subscriptions", &args.name, "dead-letters", "redrive"];
            output.one(&client.post(&path, which.body()).await?)?;
        }
        Action::Delete(which) => output.one(&client.delete(&path, Some(which.body())).await?)?,
    }
    Ok(())
}
