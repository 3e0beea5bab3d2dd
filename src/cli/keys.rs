//! `milkrun keys`: who may use the API.

use std::str::FromStr;

use serde_json::{Value, json};

use super::{
    Failure, Options,
    client::{Client, ClientError},
    environment,
    failure::chain,
    offline,
    output::{print, say},
    when::When,
};
use crate::{
    api::KeyView,
    clock::Clock,
    config,
    event::{Micros, Name, TopicPattern},
    key::{self, AccessKey, Grant, KeyId, Scope},
    settings::Rate,
    store::{self, Store},
};

const EXAMPLE: &str = "\
The first key needs the scope `admin`; from then on nobody is let in without a key:

  milkrun keys create --owner ops --scope admin
  export MILKRUN_KEY=mk_…
  milkrun keys create --owner billing --scope read,subscribe --topic orders --topic 'billing.*'

Without a running relay the store itself is opened, and made if it is not there. With --for-file
nothing is stored: the key goes to stdout, the lines for the configuration file to stderr.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// All of them, by id; never the keys themselves.
    List,
    /// Make one. The key goes to stdout, once.
    Create(Create),
    /// From now on it is good for nothing.
    Revoke {
        /// Which: its public part, between `mk_` and the next `_`.
        id: KeyId,
    },
}

#[derive(Debug, clap::Args)]
struct Create {
    /// Whose it is: a person, a team or a program.
    #[arg(long)]
    owner: Name,
    /// What it is good for.
    #[arg(long = "scope", value_enum, value_delimiter = ',', required = true)]
    scopes: Vec<Scope>,
    /// In which topics, as `orders` or `billing.*`; by default all but those of the relay.
    #[arg(long = "topic", value_name = "TOPIC")]
    topics: Vec<TopicPattern>,
    /// From when on it is good for nothing, as `90d` or 2027-01-01T00:00:00Z; by default never.
    #[arg(long, value_name = "TIME")]
    expires: Option<Expiry>,
    /// The most requests in a time on each node, as `100/s`.
    #[arg(long)]
    rate: Option<Rate>,
    /// Its public part; by default at random.
    #[arg(long)]
    id: Option<KeyId>,
    /// Store nothing: print the key to stdout, and the lines for the configuration file, which have
    /// only its hash, to stderr.
    #[arg(long)]
    for_file: bool,
}

/// From when on a key is good for nothing.
#[derive(Debug, Clone, Copy)]
struct Expiry(When);

impl FromStr for Expiry {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "expected how long from now, as `90d`, or a time, as 2027-01-01T00:00:00Z";
        When::read(text).map(Self).ok_or(expected)
    }
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<(), Failure> {
    if let Action::Create(create) = &args.action
        && create.for_file
    {
        return for_file(create);
    }
    let client = options.client()?;
    match online(&client, &args.action, options).await {
        // A relay that is named is not the one of the file.
        Err(ClientError::Unreachable { .. }) if options.server.is_none() => {
            let store = open(options).await?;
            let done = offline(&*store, args.action, options).await;
            store.close().await;
            done
        }
        done => done?,
    }
}

/// Asks the running relay.
async fn online(
    client: &Client,
    action: &Action,
    options: &Options,
) -> Result<Result<(), Failure>, ClientError> {
    Ok(match action {
        Action::List => list(&client.list(&["v1", "keys"], "keys").await?, options),
        Action::Create(create) => {
            made(&client.post(&["v1", "keys"], create.body()).await?, options)
        }
        Action::Revoke { id } => {
            client.delete(&["v1", "keys", id.as_str()], None).await?;
            say(&format!("key `{id}` is revoked"));
            Ok(())
        }
    })
}

/// Works on the store itself, which no relay uses.
async fn offline(store: &dyn Store, action: Action, options: &Options) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| Failure::new(chain(error));
    let now = Clock::system().now();
    let known = store.keys().await.map_err(|error| failed(&error))?;
    match action {
        Action::List => {
            let keys: Vec<KeyView> = known.iter().map(|key| KeyView::new(key, now)).collect();
            list(&json!({ "keys": keys }), options)
        }
        Action::Create(create) => {
            let (key, text) = create.key(now)?;
            key::check_first(&known, &key.grant, now).map_err(|error| failed(&error))?;
            store.put_key(&key).await.map_err(|error| failed(&error))?;
            made(&json!(KeyView::new(&key, now).with_text(&text)), options)
        }
        Action::Revoke { id } => {
            store.remove_key(&id).await.map_err(|error| failed(&error))?;
            say(&format!("key `{id}` is revoked"));
            Ok(())
        }
    }
}

/// The store of the configured file, which is made if it is not there.
async fn open(options: &Options) -> Result<std::sync::Arc<dyn Store>, Failure> {
    let config = config::load(options.file(), environment)?;
    let options = store::Options { makes_tables: true, ..offline::untouched(&config) };
    offline::open_as(&config, &options).await
}

fn list(answer: &Value, options: &Options) -> Result<(), Failure> {
    let columns = [
        ("ID", "/id"),
        ("OWNER", "/owner"),
        ("SCOPES", "/scopes"),
        ("TOPICS", "/topics"),
        ("RATE", "/rate"),
        ("EXPIRES", "/expires"),
        ("EXPIRED", "/expired"),
        ("CREATED", "/created"),
        ("ORIGIN", "/origin"),
    ];
    Ok(options.output.list(answer, "keys", &columns)?)
}

/// Prints the key alone, so that it can be piped to where it is to be kept.
fn made(answer: &Value, options: &Options) -> Result<(), Failure> {
    if options.output == super::output::Output::Json {
        return Ok(options.output.one(answer)?);
    }
    let of = |field: &str| super::output::text(&answer[field]);
    print(&of("key"))?;
    say(&format!(
        "This is shown once. It is key `{}` of {}, with the scopes {} in {}.",
        of("id"),
        of("owner"),
        of("scopes"),
        of("topics")
    ));
    Ok(())
}

/// Prints what stands for the key in the file; nothing is stored.
fn for_file(create: &Create) -> Result<(), Failure> {
    let (key, text) = create.key(Clock::system().now())?;
    let mut lines = vec![
        format!("  - id: {}", key.id),
        format!("    sha256: {}", key.hash),
        format!("    owner: {}", key.grant.owner),
        format!("    scopes: [{}]", joined(&key.grant.scopes)),
    ];
    if !create.topics.is_empty() {
        let topics: Vec<String> =
            create.topics.iter().map(|topic| format!("\"{topic}\"")).collect();
        lines.push(format!("    topics: [{}]", topics.join(", ")));
    }
    lines.extend(key.expires.map(|expires| format!("    expires: {expires}")));
    lines.extend(key.grant.rate.map(|rate| format!("    rate: {rate}")));
    say("This is shown once. What stands for it in the configuration file:\n\nkeys:");
    say(&lines.join("\n"));
    say("");
    print(text.reveal())?;
    Ok(())
}

fn joined<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

impl Create {
    /// What is sent to a relay.
    fn body(&self) -> Value {
        let mut body = json!({ "owner": self.owner, "scopes": self.scopes });
        if !self.topics.is_empty() {
            body["topics"] = json!(self.topics);
        }
        if let Some(id) = &self.id {
            body["id"] = json!(id);
        }
        if let Some(expires) = self.expires(Clock::system().now()) {
            body["expires"] = json!(expires.to_string());
        }
        if let Some(rate) = &self.rate {
            body["rate"] = json!(rate);
        }
        body
    }

    fn expires(&self, now: Micros) -> Option<Micros> {
        self.expires.map(|Expiry(when)| when.from(now))
    }

    /// A new key as it is asked for.
    fn key(&self, now: Micros) -> Result<(AccessKey, key::KeyText), Failure> {
        let expires = self.expires(now);
        if expires.is_some_and(|expires| expires <= now) {
            return Err(Failure::usage("`--expires`: expected a time to come"));
        }
        let grant = Grant {
            owner: self.owner.clone(),
            scopes: self.scopes.iter().copied().collect(),
            topics: if self.topics.is_empty() { Grant::all_topics() } else { self.topics.clone() },
            rate: self.rate,
        };
        AccessKey::fresh(self.id.clone(), grant, expires, now)
            .map_err(|error| Failure::usage(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_from_now_or_as_it_is() {
        let now: Micros = "2026-01-31T12:00:00Z".parse().unwrap();
        let create = |expires: &str| Create {
            owner: "ops".parse().unwrap(),
            scopes: vec![Scope::Admin],
            topics: Vec::new(),
            expires: Some(expires.parse().unwrap()),
            rate: None,
            id: None,
            for_file: false,
        };
        assert_eq!(create("1d").expires(now).unwrap().to_string(), "2026-02-01T12:00:00.000000Z");
        let at = "2027-01-01T00:00:00.000000Z";
        assert_eq!(create(at).expires(now).unwrap().to_string(), at);
        assert!("soon".parse::<Expiry>().is_err());
        let past = create("2025-01-01T00:00:00Z").key(now).unwrap_err();
        assert_eq!((past.code, past.message.contains("--expires")), (2, true));
    }
}
