//! `milkrun check`: the file, and with `--online` every producer and endpoint.

use std::path::Path;

use http::{Method, Request};
use tower::ServiceExt as _;

use super::{Failure, environment, failure::chain, offline, output::print, probe};
use crate::{
    api,
    config::{self, Config},
    node,
    store::{self, Address, StoreError, Verified},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Ask every producer for one page, and every webhook's server for an answer to HEAD. Nothing
    /// is stored and nothing is pushed.
    #[arg(long)]
    online: bool,
    /// Read the whole store, which no relay may be using: its pages, the checksum of every event,
    /// what is missing, and whether it has gone back. Nothing is changed.
    #[arg(long)]
    store: bool,
}

pub(crate) async fn run(args: Args, file: &Path) -> Result<(), Failure> {
    let config = config::load(file, environment)?;
    if args.store {
        verify(&config.store).await?;
    }
    let has_keys = stored(&config, file).await? || !config.keys.is_empty();
    let bound = api::check_bind(config.listen, config.insecure, has_keys);
    bound.map_err(|message| Failure { message, code: 78 })?;
    let tls = config.tls.as_ref().map(|tls| api::Tls::new(&tls.shown)).transpose();
    tls.map_err(|message| Failure { message, code: 78 })?;
    config.warn();
    print(&format!(
        "{}: good ({} topics, {} sources, {} subscriptions)",
        file.display(),
        config.topics.len(),
        config.sources.len(),
        config.subscriptions.len()
    ))?;
    if args.online { online(&config).await } else { Ok(()) }
}

/// Whether the file goes with what is stored. A store that is held by a running relay is left
/// alone: the relay looks for itself when it applies the file. Answers whether there are keys in it, or
/// may be.
async fn stored(config: &Config, file: &Path) -> Result<bool, Failure> {
    if !offline::exists(&config.store) {
        return Ok(false);
    }
    let looked = store::look(config.store.as_str(), &offline::untouched(config)).await;
    let (stored, found) = match looked {
        Ok(looked) => looked,
        Err(StoreError::InUse(why)) => {
            tracing::warn!(
                event = "command.store_skipped",
                "what is stored is not looked at: {why}"
            );
            return Ok(true);
        }
        Err(error) => {
            return Err(Failure::new(format!("{}: {}", config.store.place(), chain(&error))));
        }
    };
    refuse(&config.store, &found)?;
    let Some(stored) = stored else {
        tracing::warn!(
            event = "command.store_skipped",
            "what is stored is not looked at: {} was not written by this release, and a check \
             changes nothing; the next `milkrun run` brings it up to date",
            config.store
        );
        return Ok(true);
    };
    let stuck = node::check(&stored, config)?;
    if stuck.is_empty() {
        return Ok(!stored.keys.is_empty());
    }
    let told: Vec<String> = stuck
        .iter()
        .map(|stuck| {
            let help: Vec<String> =
                stuck.help.iter().map(|help| format!("\n  {help} -c {}", file.display())).collect();
            format!("{}; run one of{}", stuck.message, help.concat())
        })
        .collect();
    Err(Failure { message: told.join("\n"), code: 78 })
}

/// Reads the whole store and says what is wrong with it.
async fn verify(address: &Address) -> Result<(), Failure> {
    if !offline::exists(address) {
        return Err(Failure::new(address.absent()));
    }
    let place = address.place();
    let found = store::verify(address.as_str()).await;
    let found = found.map_err(|error| Failure::new(format!("{place}: {}", chain(&error))))?;
    refuse(address, &found)?;
    let unchecked = match found.unchecked {
        0 => String::new(),
        count => format!(", {count} of them without a checksum, from an earlier release"),
    };
    print(&format!("{place}: good ({} topics, {} events{unchecked})", found.topics, found.events))?;
    Ok(())
}

/// Says what is wrong with a store, if anything is.
fn refuse(address: &Address, found: &Verified) -> Result<(), Failure> {
    for problem in &found.problems {
        print(&format!("BAD   {problem}"))?;
    }
    if found.problem_count == 0 {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{}: {} of what was looked at is wrong, and was left as it is; see docs/storage.md",
        address.place(),
        found.problem_count
    )))
}

async fn online(config: &Config) -> Result<(), Failure> {
    let guard = config.outbound.guard();
    let network = guard.network().map_err(Failure::new)?;
    let budget = probes::Budget::new(config.limits.walk_bytes_max);
    let mut failed = 0;
    for source in &config.sources {
        let answer = probe::first_page(source, &network, &budget).await;
        failed += u32::from(tell("source", source.name.as_str(), &answer)?);
    }
    for subscription in &config.subscriptions {
        let answer = reach(&network, &subscription.settings.url).await;
        failed += u32::from(tell("subscription", subscription.name.as_str(), &answer)?);
    }
    if failed == 0 { Ok(()) } else { Err(Failure::new(format!("{failed} could not be used"))) }
}

/// Prints how it went; answers whether it failed.
fn tell(what: &str, name: &str, answer: &Result<String, String>) -> Result<bool, Failure> {
    let (word, text) = match answer {
        Ok(text) => ("good", text),
        Err(text) => ("BAD", text),
    };
    print(&format!("{word:<5} {what} {name}: {text}"))?;
    Ok(answer.is_err())
}

/// Whether somebody answers HTTP at a webhook; what they say to HEAD does not matter.
async fn reach(network: &sinks::Network, url: &str) -> Result<String, String> {
    let request = Request::builder()
        .method(Method::HEAD)
        .uri(url)
        .body(bytes::Bytes::new())
        .map_err(|error| error.to_string())?;
    let answer =
        tokio::time::timeout(std::time::Duration::from_secs(15), network.clone().oneshot(request));
    match answer.await {
        Ok(Ok(answer)) => Ok(format!("answers (HEAD: {})", answer.status())),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err("no answer within 15 s".into()),
    }
}
