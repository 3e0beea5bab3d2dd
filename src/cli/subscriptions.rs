//! `milkrun subscriptions`: where they stand, and how to steer them.

use serde_json::{Map, Value, json};

use super::{
    Failure, Options, attempts,
    output::{self, Output, print},
    place::Place,
};
use crate::clock::Clock;

mod create;
mod set;
mod story;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// All of them.
    List,
    /// One with its positions, health and last answers.
    Show { name: String },
    /// Make one; its signing secret is shown once.
    Create(Box<create::Create>),
    /// Change settings; its place and what is in flight stay.
    Update {
        name: String,
        /// A setting and what it becomes, as in the file: `order=key`, `retry.max_attempts=3`,
        /// `webhook.url=https://…`, `batch=null`, or several as JSON: `hold={"after":3}`.
        #[arg(required = true, value_name = "SETTING=VALUE", value_parser = set::Setting::parse)]
        settings: Vec<set::Setting>,
    },
    /// Push nothing; its place stays.
    Pause { name: String },
    /// Push again, from where it stands or from another event on.
    Resume {
        name: String,
        #[command(flatten)]
        place: Place,
        /// Only in this topic.
        #[arg(long, requires = "place")]
        topic: Option<String>,
    },
    /// Push again from an earlier event on, or leave events out.
    Rewind {
        name: String,
        /// The former way to name the place.
        #[arg(hide = true, conflicts_with = "place", required_unless_present = "place")]
        former: Option<String>,
        #[command(flatten)]
        place: Place,
        /// Only in this topic.
        #[arg(long)]
        topic: Option<String>,
    },
    /// The attempts made, newest first.
    Attempts {
        name: String,
        #[command(flatten)]
        which: attempts::Which,
    },
    /// Sign with another secret; the ones before it go on signing for a while. It is shown once.
    RotateSecret {
        name: String,
        /// How long the ones before it go on signing, as 24h; 0s: not at all.
        #[arg(long, value_name = "TIME")]
        overlap: Option<String>,
        /// The new secret; else one of the newest one's kind is made.
        #[arg(long, env = "MILKRUN_WEBHOOK_SECRET", hide_env_values = true)]
        secret: Option<String>,
    },
    /// Show the request that it would get for an event, or send it once.
    #[command(disable_version_flag = true)]
    Test {
        name: String,
        /// The event: a version or a cursor; by default the newest.
        #[arg(long)]
        version: Option<String>,
        /// The topic, where there are several.
        #[arg(long)]
        topic: Option<String>,
        /// Send it too: no retry, nothing is counted.
        #[arg(long)]
        send: bool,
    },
    /// Delete it with its place and its dead letters.
    Delete { name: String },
}

const COLUMNS: [(&str, &str); 7] = [
    ("SUBSCRIPTION", "/name"),
    ("TOPICS", "/topics"),
    ("STATUS", "/status"),
    ("ENDPOINT", "/health/state"),
    ("OWED", "/owed"),
    ("ORIGIN", "/origin"),
    ("URL", "/webhook/url"),
];

pub(crate) async fn run(args: Args, options: &Options) -> Result<(), Failure> {
    let (client, output) = (options.client()?, options.output);
    let post = async |name: &str, what: &str, body: Value| {
        client.post(&["v1", "subscriptions", name, what], body).await
    };
    match args.action.unwrap_or(Action::List) {
        Action::List => {
            let all = client.list(&["v1", "subscriptions"], "subscriptions").await?;
            output.list(&all, "subscriptions", &COLUMNS)?;
        }
        Action::Show { name } => {
            tell(output, &client.get(&["v1", "subscriptions", &name], &[]).await?)?;
        }
        Action::Create(create) => {
            let body = create.body().map_err(Failure::usage)?;
            output.one(&client.post(&["v1", "subscriptions"], body).await?)?;
        }
        Action::Update { name, settings } => {
            let mut body = Map::new();
            set::all(&mut body, settings).map_err(Failure::usage)?;
            let path = ["v1", "subscriptions", &name];
            output.one(&client.patch(&path, body.into()).await?)?;
        }
        Action::Pause { name } => tell(output, &post(&name, "pause", json!({})).await?)?,
        Action::Resume { name, place, topic } => {
            let from = place.first(&client, &name, topic.as_deref()).await?;
            let body = said([("from", from.map(Into::into)), ("topic", topic.map(Into::into))]);
            tell(output, &post(&name, "resume", body).await?)?;
        }
        Action::Rewind { name, former, place, topic } => {
            let place = place.or_from(former);
            let from = place.first(&client, &name, topic.as_deref()).await?;
            let body = said([("from", from.map(Into::into)), ("topic", topic.map(Into::into))]);
            output.one(&post(&name, "rewind", body).await?)?;
        }
        Action::RotateSecret { name, overlap, secret } => {
            let body =
                said([("overlap", overlap.map(Into::into)), ("secret", secret.map(Into::into))]);
            let path = ["v1", "subscriptions", &name, "secrets", "rotate"];
            output.one(&client.post(&path, body).await?)?;
        }
        Action::Test { name, version, topic, send } => {
            let body = said([
                ("version", version.map(Into::into)),
                ("topic", topic.map(Into::into)),
                ("send", send.then(|| true.into())),
            ]);
            output.one(&post(&name, "test", body).await?)?;
        }
        Action::Attempts { name, which } => which.list(Some(&name), options).await?,
        Action::Delete { name } => {
            client.delete(&["v1", "subscriptions", &name], None).await?;
            output::say(&format!("deleted `{name}`"));
        }
    }
    Ok(())
}

/// A subscription: for a program as the API has it, for a person what is needed first.
fn tell(output: Output, view: &Value) -> std::io::Result<()> {
    match output {
        Output::Table if view["positions"].is_array() => {
            print(&story::story(view, Clock::system().now()))
        }
        _ => output.one(view),
    }
}

/// An object of the fields that were said.
fn said<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}
