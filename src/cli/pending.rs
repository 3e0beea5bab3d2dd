//! `milkrun pending`: events that are not in the log yet.

use serde_json::json;

use super::{Failure, Options};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The topic.
    topic: String,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// By their ids.
    List {
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// Those with a higher id.
        #[arg(long)]
        after: Option<i64>,
    },
    /// One with its event.
    Show { id: i64 },
    /// Forget it: it is never delivered.
    Cancel { id: i64 },
    /// Deliver it at another time.
    Change {
        id: i64,
        /// When, as 2026-01-31T12:00:00Z.
        deliverat: String,
    },
    /// Let a prepared event go.
    Commit { id: i64 },
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<(), Failure> {
    let (client, output) = (options.client()?, options.output);
    let path = ["v1", "topics", &args.topic, "pending"];
    let of = |id: i64| id.to_string();
    match args.action.unwrap_or(Action::List { limit: 100, after: None }) {
        Action::List { limit, after } => {
            let mut query = vec![("limit", limit.to_string())];
            query.extend(after.map(|after| ("after", after.to_string())));
            output.part(
                &client.page(&path, &query).await?,
                "pending",
                &[
                    ("ID", "/id"),
                    ("DUE", "/due"),
                    ("SINCE", "/since"),
                    ("EVENT", "/event/id"),
                    ("SOURCE", "/event/source"),
                    ("TYPE", "/event/type"),
                ],
            )?;
        }
        Action::Show { id } => {
            let path = [path[0], path[1], path[2], path[3], &of(id)];
            output.one(&client.get(&path, &[]).await?)?;
        }
        Action::Cancel { id } => {
            client.delete(&[path[0], path[1], path[2], path[3], &of(id)], None).await?;
        }
        Action::Change { id, deliverat } => {
            let path = [path[0], path[1], path[2], path[3], &of(id)];
            output.one(&client.patch(&path, json!({ "deliverat": deliverat })).await?)?;
        }
        Action::Commit { id } => {
            let path = [path[0], path[1], path[2], path[3], &of(id), "commit"];
            output.one(&client.post(&path, json!({})).await?)?;
        }
    }
    Ok(())
}
