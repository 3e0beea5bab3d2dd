//! Arguments, tracing, configuration, command, exit code.

use std::{io::IsTerminal as _, process::ExitCode};

use clap::Parser as _;
use milkrun::cli::{Cli, LogFormat};
use tracing_subscriber::EnvFilter;

/// A delivery makes and frees some fifty small pieces of memory; the system's allocator takes a
/// sixth of its time for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let (filter, format) = cli.log();
    let filter = match EnvFilter::builder().parse(&filter) {
        Ok(filter) => filter,
        Err(error) => {
            eprintln!("milkrun: `--log {filter}`: {error}");
            return ExitCode::from(2);
        }
    };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => logs.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => logs.json().init(),
    }
    match cli.run().await {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("milkrun: {failure}");
            ExitCode::from(failure.code)
        }
    }
}
