//! `milkrun probe NAME`: asks a source now; with `--dry-run` here, telling everything and storing
//! nothing.

use probes::{Ask, Budget, Network, Probe as _, http::HttpProbe};

use super::{Failure, Options, dry_run::DryRun, environment, sources};
use crate::{
    clock::Clock,
    config::{self, SourceConfig},
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
        return sources::poll(&options.client()?, &args.name, options.output).await;
    }
    let config = config::load(options.file(), environment)?;
    let source = config.sources.iter().find(|source| source.name.as_str() == args.name);
    let Some(source) = source else {
        let names = config.sources.iter().map(|source| source.name.as_str());
        let near = crate::nearest::nearest(&args.name, names);
        let near = near.map(|name| format!(": did you mean `{name}`?")).unwrap_or_default();
        return Err(Failure::usage(format!(
            "{} has no source `{}`{near}",
            options.file().display(),
            args.name
        )));
    };
    let guard = config.outbound.guard();
    let network = guard.network().map_err(Failure::new)?;
    let probe =
        HttpProbe::new(source.http.clone()).map_err(|error| Failure::new(error.to_string()))?;
    let run = DryRun {
        name: source.name.as_str(),
        probe: &probe,
        network: &network,
        output: options.output,
        clock: Clock::system(),
        pages: args.pages,
    };
    run.walk(args.cursor.as_ref()).await
}

/// What the first page of a source shows, in a line.
pub(crate) async fn first_page(
    source: &SourceConfig,
    network: &Network,
    budget: &Budget,
) -> Result<String, String> {
    let probe = HttpProbe::new(source.http.clone()).map_err(|error| error.to_string())?;
    let page = probe
        .page(network, budget, Ask::new(None, None, Clock::system().now().timestamp()))
        .await
        .map_err(|failure| format!("{}: {}", failure.kind.as_str(), failure.message))?;
    let found = format!("{} events on a page of {} items", page.drafts.len(), page.items);
    match page.rejected.first() {
        Some(one) => Err(format!("{found}, {} rejected: {}", page.rejected.len(), one.reason)),
        None => Ok(found),
    }
}
