//! `milkrun topics`: heads, what is kept, epochs.

use serde_json::{Value, json};

use super::{
    Failure, Options,
    client::{Client, ClientError},
    environment,
};
use crate::{clock::Clock, event::Topic, store};

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
    NewEpoch {
        /// Which topic.
        #[arg(required_unless_present = "all")]
        topic: Option<Topic>,
        /// All topics.
        #[arg(long, conflicts_with = "topic")]
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
            &client.get(&["v1", "topics"], &[]).await?,
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
    let names: Vec<String> = if let Some(topic) = topic {
        vec![topic.to_string()]
    } else {
        let answer = client.get(&["v1", "topics"], &[("limit", "1000".into())]).await?;
        let all = answer["topics"].as_array().into_iter().flatten();
        all.filter_map(|topic| topic["topic"].as_str().map(ToOwned::to_owned)).collect()
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

/// Opens the store file, which nobody else may hold.
async fn offline(
    options: &Options,
    topic: Option<&Topic>,
    reason: &str,
) -> Result<Vec<Value>, Failure> {
    let config = crate::config::load(&options.config, environment)?;
    let failed = |error: store::StoreError| Failure {
        message: format!("{}: {}", config.store, super::failure::chain(&error)),
        code: 78,
    };
    let store = store::open(&config.store, &store::Options::default()).await.map_err(failed)?;
    let mut begun = Vec::new();
    let names = if let Some(topic) = topic {
        vec![topic.clone()]
    } else {
        let all = store.topics().await.map_err(failed)?;
        all.iter().map(|state| state.topic.clone()).collect()
    };
    for name in names {
        let cursor = store
            .new_epoch(&name, reason, Clock::System.now())
            .await
            .map_err(|error| Failure::new(super::failure::chain(&error)))?;
        let (epoch, head) = (cursor.epoch.to_string(), cursor.version.0);
        let state = store.topic(&name).await.map_err(failed)?;
        let first = state.epochs.last().map_or(head, |epoch| epoch.first.0);
        begun.push(json!({ "topic": name, "epoch": epoch, "first": first, "head": state.head }));
    }
    store.close().await;
    Ok(begun)
}
