//! `milkrun probe NAME`: asks a source now; with `--dry-run` here, telling everything and storing
//! nothing.

use probes::{
    Ask, Budget, Exchange, Failure as ProbeFailure, Network, Next, Page, Probe as _,
    http::HttpProbe,
};
use serde_json::json;

use super::{
    Failure, Options, environment,
    output::{Output, print},
};
use crate::{
    clock::Clock,
    config::{self, Limits, SourceConfig},
    event::Micros,
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
        let near = crate::nearest::nearest(&args.name, names);
        let near = near.map(|name| format!(": did you mean `{name}`?")).unwrap_or_default();
        return Err(Failure::usage(format!(
            "{} has no source `{}`{near}",
            options.config.display(),
            args.name
        )));
    };
    let guard = config.outbound.guard();
    let network = guard.network().map_err(Failure::new)?;
    walk(source, &network, &args, options.output).await
}

/// What the first page of a source shows, in a line.
pub(crate) async fn first_page(
    source: &SourceConfig,
    network: &Network,
    budget: &Budget,
) -> Result<String, String> {
    let probe = HttpProbe::new(source.http.clone()).map_err(|error| error.to_string())?;
    let page = probe
        .page(network, budget, Ask::new(None, None, now()))
        .await
        .map_err(|error| told(&error))?;
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
        let ask = Ask::new(args.cursor.as_ref(), mark.as_ref(), now());
        let page = probe.page(network, &budget, ask).await;
        let page = match page {
            Ok(page) => page,
            Err(failure) => {
                if let Some(exchange) = &failure.exchange {
                    show_failed(exchange, output)?;
                }
                return Err(Failure::new(told(&failure)));
            }
        };
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
    print(&request(&exchange))?;
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

/// A request that gave no page, and what it was answered.
fn show_failed(exchange: &Exchange, output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => Ok(output.one(&json!({ "exchange": exchange }))?),
        Output::Table => Ok(print(&request(exchange))?),
    }
}

/// A request and its answer, in lines.
fn request(exchange: &Exchange) -> String {
    let mut lines = vec![format!("{} {}", exchange.method, exchange.url)];
    lines.extend(exchange.headers.iter().map(|(name, value)| format!("  {name}: {value}")));
    let kind = Some(exchange.content_type.as_str()).filter(|kind| !kind.is_empty());
    let kind = kind.unwrap_or("no content type");
    lines.push(match exchange.status {
        None => "  → no answer".into(),
        Some(status) => {
            format!("  → {status}  {kind}  {} bytes  {} items", exchange.bytes, exchange.items)
        }
    });
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_shown_with_its_answer() {
        let mut exchange = Exchange {
            method: "GET".into(),
            url: "https://a.example/list?key=***".into(),
            headers: vec![("authorization".into(), "***".into())],
            status: Some(500),
            content_type: "text/html".into(),
            bytes: 7,
            ..Exchange::default()
        };
        let asked = "GET https://a.example/list?key=***\n  authorization: ***\n";
        assert_eq!(request(&exchange), format!("{asked}  → 500  text/html  7 bytes  0 items"));
        exchange.status = None;
        assert_eq!(request(&exchange), format!("{asked}  → no answer"));
    }
}
