//! `milkrun reload`: the running relay applies its configuration file as it is now.

use serde_json::json;

use super::{Failure, Options, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also when the file leaves out more than half of the sources and subscriptions that run by it.
    #[arg(long)]
    allow_removal: bool,
}

pub(crate) async fn run(args: &Args, options: &Options) -> Result<(), Failure> {
    let body = json!({ "allow_removal": args.allow_removal });
    options.client()?.post(&["v1", "reload"], body).await?;
    output::say("applied");
    Ok(())
}
