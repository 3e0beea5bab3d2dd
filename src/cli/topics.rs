//! `milkrun topics`: heads, what is kept, epochs.

use serde_json::{Value, json};

use super::{
    Failure, Options,
    client::{Client, ClientError},
    failure::chain,
    offline,
};
use crate::{
    clock::Clock,
    event::Topic,
    store::{Store, StoreError},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// All of them.
    List,
    /// One with its epochs and settings.
    Show { topic: String },
    /// Holes that were recorded in what producers showed.
    Gaps { topic: String },
    /// Say that history may have been cut, as after putting back a backup: cursors beyond the cut
    /// are refused from then on. Without a running relay the store file itself is opened.
    #[command(
        group(clap::ArgGroup::new("which").required(true).args(["topic", "all"])),
        override_usage = "milkrun topics new-epoch [OPTIONS] <TOPIC|--all>"
    )]
    NewEpoch {
        /// Which topic.
        topic: Option<Topic>,
        /// All topics.
        #[arg(long)]
        all: bool,
        /// Why, for those who look later.
        #[arg(long, default_value = "announced by an operator")]
        reason: String,
    },
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<(), Failure> {
    let (client, output) = (options.client()?, options.output);
    match args.action.unwrap_or(Action::List) {
        Action::List => output.list(
            &client.list(&["v1", "topics"], "topics").await?,
            "topics",
            &[
                ("TOPIC", "/topic"),
                ("HEAD", "/head"),
                ("OLDEST", "/oldest"),
                ("EVENTS", "/count"),
                ("BYTES", "/bytes"),
                ("RATE", "/rate"),
                ("GAPS", "/gaps"),
                ("EPOCH", "/epoch"),
            ],
        )?,
        Action::Show { topic } => output.one(&client.get(&["v1", "topics", &topic], &[]).await?)?,
        Action::Gaps { topic } => output.list(
            &client.get(&["v1", "topics", &topic, "gaps"], &[]).await?,
            "gaps",
            &[
                ("RECORDED", "/recorded"),
                ("SOURCE", "/source"),
                ("AFTER", "/version"),
                ("REASON", "/reason"),
                ("DETAIL", "/detail"),
            ],
        )?,
        Action::NewEpoch { topic, all: _, reason } => {
            let begun = match online(&client, topic.as_ref(), &reason).await {
                Err(ClientError::Unreachable { .. }) if options.server.is_none() => {
                    offline(options, topic.as_ref(), &reason).await?
                }
                other => other?,
            };
            let columns =
                [("TOPIC", "/topic"), ("EPOCH", "/epoch"), ("FIRST", "/first"), ("HEAD", "/head")];
            output.list(&json!({ "topics": begun }), "topics", &columns)?;
        }
    }
    Ok(())
}

/// Asks the running relay.
async fn online(
    client: &Client,
    topic: Option<&Topic>,
    reason: &str,
) -> Result<Vec<Value>, ClientError> {
    let names = match topic {
        Some(topic) => vec![topic.to_string()],
        None => names(client).await?,
    };
    let mut begun = Vec::new();
    for name in names {
        let path = ["v1", "topics", &name, "new-epoch"];
        let mut view = client.post(&path, json!({ "reason": reason })).await?;
        view["topic"] = name.into();
        begun.push(view);
    }
    Ok(begun)
}

/// The names of all topics.
async fn names(client: &Client) -> Result<Vec<String>, ClientError> {
    let all = client.list(&["v1", "topics"], "topics").await?;
    let all = all["topics"].as_array().into_iter().flatten();
    Ok(all.filter_map(|topic| topic["topic"].as_str().map(ToOwned::to_owned)).collect())
}

/// Opens the store file, which nobody else may hold.
async fn offline(
    options: &Options,
    topic: Option<&Topic>,
    reason: &str,
) -> Result<Vec<Value>, Failure> {
    let store = offline::open(options).await?;
    let begun = begin(&*store, topic, reason).await;
    store.close().await;
    begun.map_err(|error| Failure::new(chain(&error)))
}

async fn begin(
    store: &dyn Store,
    topic: Option<&Topic>,
    reason: &str,
) -> Result<Vec<Value>, StoreError> {
    let names = match topic {
        Some(topic) => vec![topic.clone()],
        None => store.topics().await?.iter().map(|state| state.topic.clone()).collect(),
    };
    let mut begun = Vec::new();
    for name in names {
        let cursor = store.new_epoch(&name, reason, Clock::system().now()).await?;
        let state = store.topic(&name).await?;
        let first = state.epochs.last().map_or(cursor.version, |epoch| epoch.first);
        let epoch = cursor.epoch.to_string();
        begun.push(json!({ "topic": name, "epoch": epoch, "first": first, "head": state.head }));
    }
    Ok(begun)
}
