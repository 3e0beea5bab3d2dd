//! `milkrun subscriptions`: where they stand, and how to steer them.

use serde_json::{Map, Value, json};

use super::{Failure, Options};

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
    Create {
        name: String,
        /// The webhook.
        #[arg(long)]
        url: String,
        /// A topic; may be given several times.
        #[arg(long = "topic", required = true)]
        topics: Vec<String>,
        /// Where it begins: latest, earliest, a version, a cursor, or a time.
        #[arg(long, default_value = "latest")]
        from: String,
    },
    /// Push nothing; its place stays.
    Pause { name: String },
    /// Push again, from where it stands.
    Resume { name: String },
    /// Push again from an earlier event on, or leave events out.
    Rewind {
        name: String,
        /// The first event wanted: earliest, latest, a version, a cursor, or a time.
        from: String,
        /// Only in this topic.
        #[arg(long)]
        topic: Option<String>,
    },
    /// The attempts made, newest first.
    Attempts {
        name: String,
        /// Only those that failed.
        #[arg(long)]
        failed: bool,
        /// At most so many.
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Delete it with its place and its dead letters.
    Delete { name: String },
}

const COLUMNS: [(&str, &str); 6] = [
    ("SUBSCRIPTION", "/name"),
    ("TOPICS", "/topics"),
    ("STATUS", "/status"),
    ("LAG", "/lag"),
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
            let all = client.get(&["v1", "subscriptions"], &[("limit", "1000".into())]).await?;
            output.list(&all, "subscriptions", &COLUMNS)?;
        }
        Action::Show { name } => {
            output.one(&client.get(&["v1", "subscriptions", &name], &[]).await?)?;
        }
        Action::Create { name, url, topics, from } => {
            let body =
                json!({ "name": name, "topics": topics, "from": from, "webhook": { "url": url } });
            output.one(&client.post(&["v1", "subscriptions"], body).await?)?;
        }
        Action::Pause { name } => output.one(&post(&name, "pause", json!({})).await?)?,
        Action::Resume { name } => output.one(&post(&name, "resume", json!({})).await?)?,
        Action::Rewind { name, from, topic } => {
            let mut body = Map::from_iter([("from".to_owned(), json!(from))]);
            body.extend(topic.map(|topic| ("topic".to_owned(), json!(topic))));
            output.one(&post(&name, "rewind", body.into()).await?)?;
        }
        Action::Attempts { name, failed, limit } => {
            let mut query = vec![("limit", limit.to_string())];
            query.extend(failed.then(|| ("failed", "true".to_owned())));
            output.list(
                &client.get(&["v1", "subscriptions", &name, "attempts"], &query).await?,
                "attempts",
                &[
                    ("STARTED", "/started"),
                    ("TOPIC", "/topic"),
                    ("VERSION", "/version"),
                    ("ATTEMPT", "/attempt"),
                    ("VERDICT", "/verdict"),
                    ("STATUS", "/status"),
                    ("MS", "/duration_ms"),
                    ("ERROR", "/error"),
                ],
            )?;
        }
        Action::Delete { name } => {
            client.delete(&["v1", "subscriptions", &name], None).await?;
            eprintln!("deleted `{name}`");
        }
    }
    Ok(())
}
