//! `milkrun sources`: when they were asked, and how to steer them.

use std::time::Duration;

use probes::{Probe as _, http::HttpProbe};
use serde_json::{Value, json};

use super::{
    Failure, Options,
    client::{Client, ClientError},
    environment,
    failure::chain,
    offline,
    output::{Output, print, text},
    source_story,
};
use crate::{
    clock::{self, Clock},
    config,
    event::Name,
    prober::{shown, start_at},
    store::Steer,
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
    /// One with its last poll.
    Show { name: String },
    /// Ask it now, and show what came of it.
    Poll { name: String },
    /// Do not ask it; its place stays.
    Pause { name: String },
    /// Ask it again.
    Resume { name: String },
    /// Start the next walk elsewhere, and print the cursor that was there. A source whose URL or
    /// cursor rule changed stands still until this is done. A running relay applies the file first,
    /// as by SIGHUP; without one the store file itself is opened.
    #[command(
        group(clap::ArgGroup::new("place").required(true).args(["cursor", "reset", "keep"])),
        override_usage = "milkrun sources cursor [OPTIONS] <NAME> <CURSOR|--reset|--keep>"
    )]
    Cursor {
        name: String,
        /// A cursor as `show` has it (JSON).
        cursor: Option<String>,
        /// Start as at the first run; events that are known are not repeated.
        #[arg(long)]
        reset: bool,
        /// Go on with the stored cursor, for the changed URL or rule.
        #[arg(long)]
        keep: bool,
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
            &with_reasons(client.list(&["v1", "sources"], "sources").await?, output),
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
                ("WHY", "/why"),
                ("STANDS STILL, RUN ONE OF", "/stuck/help"),
            ],
        )?,
        Action::Show { name } => show(&client, &name, output).await?,
        Action::Poll { name } => poll(&client, &name, output).await?,
        Action::Pause { name } => output.one(&post(&name, "pause", json!({})).await?)?,
        Action::Resume { name } => output.one(&post(&name, "resume", json!({})).await?)?,
        Action::Cursor { name, cursor, reset: _, keep } => {
            let cursor = match cursor {
                None => (!keep).then_some(Value::Null),
                Some(text) => Some(serde_json::from_str(&text).map_err(|error| {
                    Failure::usage(format!(
                        "the cursor is no JSON ({error}): a text needs quotes of its own, as \
                         '\"2026-01-31\"'; a cursor stands in `sources show {name} -o json`"
                    ))
                })?),
            };
            let answer = set_cursor(&client, options, &name, cursor).await?;
            match output {
                Output::Json => output.one(&answer)?,
                Output::Table => output.one(&short(&answer))?,
            }
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

/// How long a walk that was asked for is waited for.
const POLL_WAIT: Duration = Duration::from_mins(1);

/// Asks a source now, and shows it when the walk has ended, or as it is after a minute.
pub(super) async fn poll(client: &Client, name: &str, output: Output) -> Result<(), Failure> {
    let ended = |view: &Value| view["report"]["at"].clone();
    let mut view = client.post(&["v1", "sources", name, "poll"], json!({})).await?;
    if let Some(why) = not_asked(&view, name) {
        return Err(Failure::new(why));
    }
    let (before, asked) = (ended(&view), clock::instant());
    let is_asked = |view: &Value| view["status"] == "active" && view["stuck"].is_null();
    while is_asked(&view) && ended(&view) == before && asked.elapsed() < POLL_WAIT {
        tokio::time::sleep(Duration::from_millis(100)).await;
        view = client.get(&["v1", "sources", name], &[]).await?;
    }
    let is_before = ended(&view) == before;
    if is_asked(&view) && is_before {
        tracing::warn!(
            event = "command.walk_unfinished",
            "the walk is still under way: this is the one before"
        );
    }
    tell(client, &view, output).await?;
    let failed = if is_before { not_asked(&view, name) } else { failed(&view, name) };
    failed.map_or(Ok(()), |why| Err(Failure::new(why)))
}

/// Why a source is not asked, and what helps; `None` when it is.
fn not_asked(view: &Value, name: &str) -> Option<String> {
    let helps = match view["status"].as_str() {
        Some("paused") => format!("`milkrun sources resume {name}` has it asked again"),
        Some("removed") => "it is not in the configuration file any more".into(),
        _ => {
            let why = view["stuck"]["message"].as_str()?;
            let help = view["stuck"]["help"].as_array().into_iter().flatten();
            let help: Vec<String> = help.map(|help| format!("\n  {}", text(help))).collect();
            return Some(format!("not asked: {why}; run one of{}", help.concat()));
        }
    };
    let status = view["status"].as_str().unwrap_or_default();
    Some(format!("not asked: source `{name}` is {status}; {helps}"))
}

/// What came of the last poll, if it brought no page.
fn failed(view: &Value, name: &str) -> Option<String> {
    let report = &view["report"];
    let result = report["result"].as_str().filter(|word| !matches!(*word, "ok" | "unchanged"))?;
    let told = match report["message"].as_str() {
        Some(message) => format!("{result}: {message}"),
        None => result.to_owned(),
    };
    Some(format!("the poll of source `{name}` brought nothing: {told}"))
}

/// One source: for a program as the API has it, for a person what it means.
async fn show(client: &Client, name: &str, output: Output) -> Result<(), Failure> {
    tell(client, &client.get(&["v1", "sources", name], &[]).await?, output).await
}

async fn tell(client: &Client, view: &Value, output: Output) -> Result<(), Failure> {
    if output == Output::Json || view["name"].is_null() {
        return Ok(output.one(view)?);
    }
    let gaps = match view["topic"].as_str() {
        Some(topic) => client.get(&["v1", "topics", topic, "gaps"], &[]).await?,
        None => Value::Null,
    };
    let gaps = gaps["gaps"].as_array().map_or(&[][..], Vec::as_slice);
    Ok(print(&source_story::story(view, gaps, Clock::system().now()))?)
}

/// The list with what a person wants to know of each first; a program finds it in the report.
fn with_reasons(mut answer: Value, output: Output) -> Value {
    let sources = answer["sources"].as_array_mut().filter(|_| output == Output::Table);
    for source in sources.into_iter().flatten() {
        source["why"] = source_story::reason(source).into();
    }
    answer
}

/// Asks the running relay, or opens the store file when there is none. Without a cursor the stored
/// one is kept.
async fn set_cursor(
    client: &Client,
    options: &Options,
    name: &str,
    cursor: Option<Value>,
) -> Result<Value, Failure> {
    let body = match &cursor {
        Some(cursor) => json!({ "cursor": cursor, "apply": true }),
        None => json!({ "keep": true, "apply": true }),
    };
    match client.post(&["v1", "sources", name, "cursor"], body).await {
        Err(ClientError::Unreachable { .. }) if options.server.is_none() => {}
        answer => return Ok(answer?),
    }
    let name: Name = name.parse().map_err(|error| Failure::usage(format!("{error}")))?;
    let steer = match &cursor {
        Some(cursor) => start_at(cursor).map_err(Failure::usage)?,
        None => Steer::KeepCursor,
    };
    if let Some(cursor) = cursor.filter(|cursor| !cursor.is_null()) {
        goes_with_rule(options, &name, &cursor)?;
    }
    let store = offline::open(options).await?;
    let state = store.steer_source(&name, steer, Clock::system().now()).await;
    store.close().await;
    let state = state.map_err(|error| Failure::new(chain(&error)))?;
    Ok(json!({
        "name": state.name,
        "topic": state.topic,
        "status": state.status,
        "old_cursor": shown(state.old_cursor.as_deref()),
        "cursor": shown(state.cursor.as_deref()),
        "next_poll": state.next_poll.to_string(),
    }))
}

/// Whether the rule of the source, as the file has it, takes a cursor.
fn goes_with_rule(options: &Options, name: &Name, cursor: &Value) -> Result<(), Failure> {
    let config = config::load(options.file(), environment)?;
    let Some(source) = config.sources.into_iter().find(|source| source.name == *name) else {
        return Ok(());
    };
    let probe = HttpProbe::new(source.http).map_err(|error| Failure::new(error.to_string()))?;
    probe.check_cursor(cursor).map_err(|problem| Failure::usage(format!("the cursor: {problem}")))
}

/// What a person wants to see of a source that was given a cursor; cursors as they are given back.
fn short(answer: &Value) -> Value {
    json!({
        "name": answer["name"],
        "status": answer["status"],
        "old_cursor": answer["old_cursor"].to_string(),
        "cursor": answer["cursor"].to_string(),
    })
}
