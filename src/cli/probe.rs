//! `milkrun probe NAME`: asks a source now; with `--dry-run` here, telling everything and storing
//! nothing.

use probes::{
    Budget, Exchange, Failure as ProbeFailure, Network, Next, Page, Probe as _, http::HttpProbe,
};
use serde_json::json;

use super::{
    Failure, Options, environment,
    failure::chain,
    output::{Output, print},
};
use crate::{
    clock::Clock,
    config::{self, Limits, SourceConfig},
    event::Micros,
    outbound::Guard,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The source.
    name: String,
    /// Ask from here, as at the first run: print each request (secrets masked), what was found on
    /// each page and the next cursor, and store nothing.
    #[arg(long)]
    dry_run: bool,
    /// At most so many pages.
    #[arg(long, default_value_t = 10, requires = "dry_run", value_name = "N")]
    pages: u32,
    /// Start at this cursor (JSON, as `sources show` has it).
    #[arg(long, requires = "dry_run")]
    cursor: Option<String>,
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<(), Failure> {
    if !args.dry_run {
        let path = ["v1", "sources", &args.name, "poll"];
        let answer = options.client()?.post(&path, json!({})).await?;
        return Ok(options.output.one(&answer)?);
    }
    let config = config::load(&options.config, environment)?;
    let source = config.sources.iter().find(|source| source.name.as_str() == args.name);
    let Some(source) = source else {
        let names = config.sources.iter().map(|source| source.name.as_str());
        let near = config::nearest(&args.name, names);
        let near = near.map(|name| format!(": did you mean `{name}`?")).unwrap_or_default();
        return Err(Failure::usage(format!(
            "{} has no source `{}`{near}",
            options.config.display(),
            args.name
        )));
    };
    let guard = Guard::new(config.outbound.allow.clone());
    let network = guard.network().map_err(|error| Failure::new(chain(&error)))?;
    walk(source, &network, &args, options.output).await
}

/// What the first page of a source shows, in a line.
pub(crate) async fn first_page(
    source: &SourceConfig,
    network: &Network,
    budget: &Budget,
) -> Result<String, String> {
    let probe = HttpProbe::new(source.http.clone()).map_err(|error| error.to_string())?;
    let page =
        probe.page(network, budget, None, None, now()).await.map_err(|error| told(&error))?;
    let found = format!("{} events on a page of {} items", page.drafts.len(), page.items);
    match page.rejected.first() {
        Some(one) => Err(format!("{found}, {} rejected: {}", page.rejected.len(), one.reason)),
        None => Ok(found),
    }
}

fn now() -> jiff::Timestamp {
    let Micros(now) = Clock::System.now();
    jiff::Timestamp::from_microsecond(now).unwrap_or_default()
}

fn told(failure: &ProbeFailure) -> String {
    format!("{}: {}", failure.kind.as_str(), failure.message)
}

async fn walk(
    source: &SourceConfig,
    network: &Network,
    args: &Args,
    output: Output,
) -> Result<(), Failure> {
    let probe =
        HttpProbe::new(source.http.clone()).map_err(|error| Failure::new(error.to_string()))?;
    let budget = Budget::new(Limits::default().walk_bytes_max);
    let (mut mark, mut pages) = (None, 0);
    loop {
        let page = probe.page(network, &budget, args.cursor.as_ref(), mark.as_ref(), now()).await;
        let page = page.map_err(|failure| Failure::new(told(&failure)))?;
        pages += 1;
        show(&page, output)?;
        match page.next {
            Next::Done(walk) => {
                let end = json!({
                    "stopped_by": walk.stopped_by,
                    "unchanged": walk.unchanged,
                    "gap": walk.gap.map(|gap| format!("{}: {}", gap.reason, gap.detail)),
                    "warnings": walk.warnings,
                    "next_cursor": walk.cursor,
                });
                return Ok(output.one(&end)?);
            }
            Next::Page(_) if pages == args.pages => {
                return Ok(print(&format!("stopped after {pages} pages; more with --pages"))?);
            }
            Next::Page(next) => mark = Some(next),
        }
    }
}

/// One page: the request, what came back, what was extracted, in listed order.
fn show(page: &Page, output: Output) -> Result<(), Failure> {
    let exchange = page.exchange.clone().unwrap_or_default();
    let drafts = page.drafts.iter().map(|draft| {
        json!({
            "id": draft.id, "source": draft.source, "type": draft.kind, "time": draft.time,
            "subject": draft.subject, "key": draft.key,
            "data": String::from_utf8_lossy(&draft.data),
        })
    });
    let drafts: Vec<_> = drafts.collect();
    let rejected: Vec<_> = page
        .rejected
        .iter()
        .map(|one| json!({ "reason": one.reason, "item": String::from_utf8_lossy(&one.item) }))
        .collect();
    if output == Output::Json {
        let page = json!({ "exchange": exchange, "events": drafts, "rejected": rejected });
        return Ok(output.one(&page)?);
    }
    request(&exchange)?;
    let columns = [
        ("ID", "/id"),
        ("TYPE", "/type"),
        ("TIME", "/time"),
        ("KEY", "/key"),
        ("SUBJECT", "/subject"),
    ];
    output.list(&json!({ "events": drafts }), "events", &columns)?;
    if !rejected.is_empty() {
        let columns = [("REJECTED", "/reason"), ("ITEM", "/item")];
        output.list(&json!({ "rejected": rejected }), "rejected", &columns)?;
    }
    Ok(print("")?)
}

fn request(exchange: &Exchange) -> Result<(), Failure> {
    print(&format!("{} {}", exchange.method, exchange.url))?;
    for (name, value) in &exchange.headers {
        print(&format!("  {name}: {value}"))?;
    }
    let status =
        exchange.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    Ok(print(&format!(
        "  → {status}  {}  {} bytes  {} items",
        exchange.content_type, exchange.bytes, exchange.items
    ))?)
}
