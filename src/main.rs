//! Arguments, tracing, configuration, command, exit code.

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
    time::Duration,
};

use clap::Parser as _;
use milkrun::{
    cli::{Cli, LogFormat},
    logs::Logs,
};
use tracing_subscriber::EnvFilter;

/// A delivery makes and frees some fifty small pieces of memory; the system's allocator takes a
/// sixth of its time for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long the last lines are waited for at the end.
const LAST_LINES: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let Ok(logs) = Logs::to(io::stderr()) else { return ExitCode::FAILURE };
    let code = run(cli, &logs).await;
    logs.flush(LAST_LINES);
    code
}

async fn run(cli: Cli, logs: &Logs) -> ExitCode {
    let (filter, format) = cli.log();
    let filter = match EnvFilter::builder().parse(&filter) {
        Ok(filter) => filter,
        Err(error) => {
            logs.line(&format!("milkrun: `--log {filter}`: {error}"));
            return ExitCode::from(2);
        }
    };
    // Of its own errors the library would tell stderr, and panic when that cannot be written.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(logs.clone())
        .log_internal_errors(false);
    match format {
        LogFormat::Text => {
            // https://no-color.org
            let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            lines.with_ansi(io::stderr().is_terminal() && !is_plain).init();
        }
        LogFormat::Json => lines.json().init(),
    }
    match cli.with_logs(logs.clone()).run().await {
        Ok(code) => code,
        Err(failure) => {
            if !failure.message.is_empty() {
                logs.line(&format!("milkrun: {failure}"));
            }
            ExitCode::from(failure.code)
        }
    }
}
