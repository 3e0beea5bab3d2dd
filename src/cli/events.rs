//! `milkrun events`: the events of a topic in version order.

use std::{
    collections::BTreeMap,
    io::{Write as _, stderr},
};

use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Failure, Options,
    client::Client,
    output::{Output, print, say, text},
    when,
};
use crate::clock::Clock;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    topic: String,
    /// Those after this version or cursor; by default from the oldest on.
    #[arg(long, value_name = "N")]
    after: Option<String>,
    /// Those recorded since: 10m ago, or a time.
    #[arg(long, value_name = "TIME", conflicts_with = "after")]
    since: Option<String>,
    /// At most so many; by default 100, with --follow without end.
    #[arg(long)]
    limit: Option<usize>,
    /// Only of this type.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only those that a subscription with this filter would get: a CloudEvents filter in JSON, as
    /// `{"prefix":{"type":"Push"}}`, or an expression.
    #[arg(long)]
    filter: Option<String>,
    /// Go on with what comes.
    #[arg(short, long)]
    follow: bool,
}

#[derive(Deserialize)]
struct Page {
    next: String,
    /// Only on a page that is not full.
    head: Option<u64>,
    events: Vec<Box<RawValue>>,
    #[serde(default)]
    skipped: Vec<Skipped>,
}

/// An event that the filter fails on.
#[derive(Deserialize)]
struct Skipped {
    version: u64,
    reason: String,
}

/// Whether there is nothing behind a page with this cursor and head. A short one may lie before the head,
/// for one request looks at so many events only.
pub(super) fn is_last(next: &str, head: Option<u64>) -> bool {
    let next = next.rsplit('-').next().and_then(|version| version.parse::<u64>().ok());
    head.is_some_and(|head| next.is_none_or(|next| next >= head))
}

/// How long the relay is asked to wait for more.
const WAIT: &str = "30s";

pub(crate) async fn run(mut args: Args, options: &Options) -> Result<(), Failure> {
    let client = options.client()?;
    let mut left = args.limit.unwrap_or(if args.follow { usize::MAX } else { 100 });
    let now = Clock::system().now();
    let since = args.since.take();
    args.since = since.map(|since| when::past(&since, now));
    let mut after = args.after.clone();
    let mut printed = false;
    while left > 0 {
        let page = page(&client, &args, after.as_deref(), left.min(1_000)).await?;
        for event in &page.events {
            if !printed && options.output == Output::Table {
                print(&line(["VERSION", "TIME", "TYPE", "ID", "DATA"].map(ToOwned::to_owned)))?;
            }
            printed = true;
            show(event, options.output)?;
        }
        for Skipped { version, reason } in &page.skipped {
            // Beside the data; where nobody reads it, it is not missed.
            let _ = writeln!(stderr(), "milkrun: `--filter` fails on version {version}: {reason}");
        }
        left = left.saturating_sub(page.events.len());
        if args.follow {
            after = Some(page.next);
            continue;
        }
        if is_last(&page.next, page.head) {
            break;
        }
        if left == 0 && has_more(&client, &args, &page.next).await? {
            let next = &page.next;
            say(&format!("milkrun: there are more: raise --limit, or go on with --after {next}"));
        }
        after = Some(page.next);
    }
    Ok(())
}

/// Whether the topic goes on behind a full page, which does not say so.
async fn has_more(client: &Client, args: &Args, next: &str) -> Result<bool, Failure> {
    let view = client.get(&["v1", "topics", &args.topic], &[]).await?;
    Ok(!is_last(next, view["head"].as_u64()))
}

async fn page(
    client: &Client,
    args: &Args,
    after: Option<&str>,
    limit: usize,
) -> Result<Page, Failure> {
    let mut query = vec![("limit", limit.to_string())];
    query.extend(after.map(|after| ("after", after.to_owned())));
    query.extend(args.kind.clone().map(|kind| ("type", kind)));
    query.extend(args.filter.clone().map(|filter| ("filter", filter)));
    if after.is_none() {
        query.extend(args.since.clone().map(|since| ("since", since)));
    }
    query.extend(args.follow.then(|| ("wait", WAIT.to_owned())));
    let path = ["v1", "topics", &args.topic, "events"];
    let text = client.text(Method::GET, &path, &query, None).await?;
    serde_json::from_str(&text).map_err(|error| Failure::new(error.to_string()))
}

/// An event on one line: in JSON as it came, its line breaks aside.
fn show(event: &RawValue, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return Ok(print(&event.get().replace(['\n', '\r'], " "))?);
    }
    let fields: BTreeMap<String, &RawValue> =
        serde_json::from_str(event.get()).map_err(|error| Failure::new(error.to_string()))?;
    let field = |name: &str| fields.get(name).map(|raw| cell(raw)).unwrap_or_default();
    let mut data = field(if fields.contains_key("data") { "data" } else { "data_base64" });
    if data.chars().count() > 100 {
        data = data.chars().take(99).chain(['…']).collect();
    }
    let [version, time, kind, id] = ["version", "time", "type", "id"].map(field);
    Ok(print(&line([version, time, kind, id, data]))?)
}

/// A value in a cell; as it came where reading it would round it or fails, as of half an emoji.
fn cell(raw: &RawValue) -> String {
    match serde_json::from_str(raw.get()) {
        Err(_) | Ok(serde_json::Value::Number(_)) => raw.get().replace(['\n', '\r'], " "),
        Ok(value) => text(&value),
    }
}

fn line([version, time, kind, id, data]: [String; 5]) -> String {
    format!("{version:>9}  {time:<20}  {kind:<24}  {id:<24}  {data}")
}
