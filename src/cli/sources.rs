//! `milkrun sources`: when they were asked, and how to steer them.

use serde_json::{Value, json};

use super::{
    Failure, Options,
    client::{Client, ClientError},
    failure::chain,
    offline,
};
use crate::{clock::Clock, event::Name, store::Steer};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// All of them.
    List,
    /// One with its last poll.
    Show { name: String },
    /// Ask it now.
    Poll { name: String },
    /// Do not ask it; its place stays.
    Pause { name: String },
    /// Ask it again.
    Resume { name: String },
    /// Start the next walk elsewhere. Without a running relay the store file itself is opened: a
    /// source whose URL or cursor rule changed keeps the relay from starting until this is done.
    Cursor {
        name: String,
        /// A cursor as `show` has it (JSON).
        #[arg(required_unless_present = "reset")]
        cursor: Option<String>,
        /// Start as at the first run.
        #[arg(long, conflicts_with = "cursor")]
        reset: bool,
    },
    /// The items that were no events, and why.
    Rejected {
        name: String,
        /// At most so many.
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<(), Failure> {
    let (client, output) = (options.client()?, options.output);
    let post = async |name: &str, what: &str, body: Value| {
        client.post(&["v1", "sources", name, what], body).await
    };
    match args.action.unwrap_or(Action::List) {
        Action::List => output.list(
            &client.get(&["v1", "sources"], &[]).await?,
            "sources",
            &[
                ("SOURCE", "/name"),
                ("TOPIC", "/topic"),
                ("STATUS", "/status"),
                ("LAST", "/report/result"),
                ("NEXT POLL", "/next_poll"),
                ("EVENTS", "/appended"),
                ("KNOWN", "/duplicates"),
                ("REJECTED", "/rejected"),
            ],
        )?,
        Action::Show { name } => output.one(&client.get(&["v1", "sources", &name], &[]).await?)?,
        Action::Poll { name } => output.one(&post(&name, "poll", json!({})).await?)?,
        Action::Pause { name } => output.one(&post(&name, "pause", json!({})).await?)?,
        Action::Resume { name } => output.one(&post(&name, "resume", json!({})).await?)?,
        Action::Cursor { name, cursor, reset: _ } => {
            let cursor: Value = match cursor {
                None => Value::Null,
                Some(text) => serde_json::from_str(&text).map_err(|error| {
                    Failure::usage(format!("the cursor is no JSON ({error}): give one as `sources show {name} -o json` has it"))
                })?,
            };
            output.one(&set_cursor(&client, options, &name, &cursor).await?)?;
        }
        Action::Rejected { name, limit } => output.list(
            &client
                .get(&["v1", "sources", &name, "rejected"], &[("limit", limit.to_string())])
                .await?,
            "rejected",
            &[("AT", "/at"), ("REASON", "/reason"), ("ITEM", "/item")],
        )?,
    }
    Ok(())
}

/// Asks the running relay, or opens the store file when there is none.
async fn set_cursor(
    client: &Client,
    options: &Options,
    name: &str,
    cursor: &Value,
) -> Result<Value, Failure> {
    match client.post(&["v1", "sources", name, "cursor"], json!({ "cursor": cursor })).await {
        Err(ClientError::Unreachable { .. }) if options.server.is_none() => {}
        answer => return Ok(answer?),
    }
    let name: Name = name.parse().map_err(|error| Failure::usage(format!("{error}")))?;
    let store = offline::open(options).await?;
    let steer = Steer::Cursor((!cursor.is_null()).then(|| cursor.to_string()));
    let state = store.steer_source(&name, steer, Clock::System.now()).await;
    store.close().await;
    let state = state.map_err(|error| Failure::new(chain(&error)))?;
    Ok(json!({
        "name": state.name,
        "topic": state.topic,
        "status": state.status,
        "cursor": cursor,
        "next_poll": state.next_poll.to_string(),
    }))
}
