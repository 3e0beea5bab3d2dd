//! `milkrun reload`: the running relay applies its configuration file as it is now.

use serde_json::json;

use super::{Failure, Options, client::ClientError, environment, output};
use crate::config;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also when the file leaves out more than half of the sources and subscriptions that run by it.
    #[arg(long)]
    allow_removal: bool,
}

pub(crate) async fn run(args: &Args, options: &Options) -> Result<(), Failure> {
    let client = options.client()?;
    // A relay that is named may have another file, and another environment for its secrets.
    let is_ours = options.server.is_none() && options.file().exists();
    let looked = if is_ours { config::load(options.file(), environment).err() } else { None };
    if let Some(bad) = looked {
        if !config::says_listen(options.file(), environment) {
            // Whose address is not told: at the usual one another relay may listen.
            return Err(bad.into());
        }
        return match client.post(&["v1", "reload"], body(args)).await {
            Err(ClientError::Unreachable { .. }) => Err(bad.into()),
            answer => done(answer),
        };
    }
    done(client.post(&["v1", "reload"], body(args)).await)
}

fn body(args: &Args) -> serde_json::Value {
    json!({ "allow_removal": args.allow_removal })
}

fn done(answer: Result<serde_json::Value, ClientError>) -> Result<(), Failure> {
    answer?;
    output::say("applied");
    Ok(())
}
