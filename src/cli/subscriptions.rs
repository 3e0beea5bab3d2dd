//! `milkrun subscriptions`: where they stand, and how to steer them.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{
    Failure, Options, attempts,
    client::Client,
    output::{self, Column, Output, print},
    place::Place,
};
use crate::clock::Clock;

mod create;
mod set;
mod story;

pub(super) use self::set::{Setting, all};

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
        /// Tell what would be sent, and do nothing.
        #[arg(long)]
        dry_run: bool,
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
        /// Tell what would be sent, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// What waits for another attempt: why, and when it is tried next.
    Waiting {
        name: String,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// Only those behind this place in the list, as the page before said.
        #[arg(long, value_name = "PLACE")]
        after: Option<String>,
        /// All of them, however many.
        #[arg(long, conflicts_with = "limit")]
        all: bool,
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
    Delete {
        name: String,
        /// Tell what would be lost, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

/// What a place that is moved comes to.
const MOVES: [Column; 6] = [
    ("TOPIC", "/topic"),
    ("FROM", "/from"),
    ("TO", "/to"),
    ("EVENTS", "/events"),
    ("AGAIN", "/again"),
    ("LEFT OUT", "/left_out"),
];

const WAITING: [Column; 8] = [
    ("TOPIC", "/topic"),
    ("VERSION", "/version"),
    ("REPLAY", "/replay"),
    ("STATE", "/state"),
    ("NEXT TRY", "/due"),
    ("ATTEMPTS", "/attempts"),
    ("STATUS", "/last/status"),
    ("ERROR", "/last/error"),
];

const COLUMNS: [Column; 7] = [
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
        Action::Resume { name, place, topic, dry_run } => {
            let moved = move_to(&client, "resume", &name, (place, topic), dry_run).await?;
            if dry_run {
                output.list(&moved, "moves", &MOVES)?;
            } else {
                tell(output, &moved)?;
            }
        }
        Action::Rewind { name, former, place, topic, dry_run } => {
            let place = (place.or_from(former), topic);
            let moved = move_to(&client, "rewind", &name, place, dry_run).await?;
            if dry_run {
                output.list(&moved, "moves", &MOVES)?;
            } else {
                output.one(&moved)?;
            }
        }
        Action::Waiting { name, limit, after, all } => {
            let mut query = vec![("limit", limit.to_string())];
            query.extend(after.map(|after| ("after", after)));
            let path = ["v1", "subscriptions", &name, "waiting"];
            let part = client.part(&path, &query, "waiting", all).await?;
            output.part(&part, "waiting", &WAITING)?;
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
        Action::Delete { name, dry_run } => {
            let path = ["v1", "subscriptions", &name];
            let answer = client.change((Method::DELETE, &path), None, dry_run).await?;
            if dry_run {
                output.one(&answer)?;
            } else {
                output::say(&format!("deleted `{name}`"));
            }
        }
    }
    Ok(())
}

/// Resumes or rewinds, and answers the subscription.
async fn move_to(
    client: &Client,
    what: &str,
    name: &str,
    (place, topic): (Place, Option<String>),
    dry_run: bool,
) -> Result<Value, Failure> {
    let from = place.first(client, name, topic.as_deref()).await?;
    let body = said([("from", from.map(Into::into)), ("topic", topic.map(Into::into))]);
    let path = ["v1", "subscriptions", name, what];
    Ok(client.change((Method::POST, &path), Some(body), dry_run).await?)
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
