//! `milkrun demo`: the whole job before one's eyes, in one process or with nodes that fail.

use std::process::ExitCode;

use super::Failure;

mod checks;
mod cluster;
mod consumer;
mod producer;
mod single;
mod stage;
mod story;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// End with a summary; exit code 0 only when everything was as promised.
    #[arg(long)]
    once: bool,
    /// Three nodes on a PostgreSQL that is started for it; one of them is killed.
    #[arg(long)]
    cluster: bool,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    if args.cluster { cluster::run(args.once).await } else { single::run(args.once).await }
}
