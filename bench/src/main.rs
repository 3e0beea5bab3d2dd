//! Measures Milkrun beside the limit of the machine it runs on, in the same run.
//!
//!     cargo run --release -p bench -- push
//!     cargo run --release -p bench -- --quick

#![expect(
    clippy::disallowed_methods,
    reason = "what is measured is measured by the machine's clock"
)]

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use tokio::{runtime::Builder, task::LocalSet};

use self::{
    limits::Limit,
    machine::Machine,
    measure::Report,
    postgres::Server,
    relay::Milkrun,
    scenarios::{Bench, Scenario},
};

mod client;
mod event;
mod limits;
mod machine;
mod measure;
mod picture;
mod postgres;
mod producer;
mod receiver;
mod relay;
mod scenarios;
mod server;
mod table;

/// Measures Milkrun beside the limit of the machine it runs on, in the same run.
#[derive(Debug, Parser)]
#[command(name = "bench", args_conflicts_with_subcommands = true)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
struct Cli {
    #[command(subcommand)]
    command: Option<Other>,
    /// What to measure; everything but `memory` if nothing is named, and on PostgreSQL `append`,
    /// `append-single`, `replay`, `push` and `idle`
    scenarios: Vec<Scenario>,
    /// Where the relay keeps everything; PostgreSQL is started for it, and removed at the end
    #[arg(long, value_enum, default_value_t)]
    store: Store,
    /// A few seconds each: enough to see a regression, not to quote
    #[arg(long)]
    quick: bool,
    /// 100,000,000 events in `backlog`
    #[arg(long, conflicts_with = "quick")]
    large: bool,
    /// Prints JSON, one line, in the place of tables
    #[arg(long)]
    json: bool,
    /// Runs of each thing; 5, or 2 with --quick, unless set
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    repeats: Option<u16>,
    /// Fails when a ratio to what was measured in the same run is far worse than it was
    #[arg(long)]
    regressions: bool,
    /// Measures this binary in the place of the one that is built here
    #[arg(long, value_name = "PATH")]
    milkrun: Option<PathBuf>,
}

/// Where the relay keeps everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Store {
    /// In a file.
    #[default]
    Sqlite,
    /// In a database.
    Postgres,
}

#[derive(Debug, Subcommand)]
enum Other {
    /// Draws results that --json printed as an SVG picture
    Draw {
        /// Files with results
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Shows results that --json printed as tables
    Show {
        /// Files with results
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// One of the limits, in this process
    #[command(subcommand, hide = true)]
    Limit(Limit),
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    match cli.command {
        Some(Other::Limit(limit)) => limit.run()?,
        Some(Other::Show { files }) => {
            results(&files)?.iter().for_each(|report| println!("{}", table::text(report)));
        }
        Some(Other::Draw { files }) => print!("{}", picture::draw(&results(&files)?)),
        None => return measure(cli),
    }
    Ok(ExitCode::SUCCESS)
}

fn results(files: &[PathBuf]) -> Result<Vec<Report>> {
    let mut reports = Vec::new();
    for file in files {
        let named = || format!("{}: expected what --json prints", file.display());
        let text = std::fs::read_to_string(file).with_context(named)?;
        let results: Results = serde_json::from_str(&text).with_context(named)?;
        reports.extend(results.reports);
    }
    Ok(reports)
}

/// What `--json` prints.
#[derive(Debug, Serialize, Deserialize)]
struct Results {
    machine: Machine,
    quick: bool,
    repeats: usize,
    reports: Vec<Report>,
}

/// Measures what was asked for; the first scenario that does not work ends it.
fn measure(cli: Cli) -> Result<ExitCode> {
    raise_open_files();
    let binary = cli.milkrun.map_or_else(build, Ok)?;
    let binary = binary
        .canonicalize()
        .with_context(|| format!("--milkrun {}: expected a relay's binary", binary.display()))?;
    let repeats = cli.repeats.map_or(if cli.quick { 2 } else { 5 }, usize::from);
    let postgres = match cli.store {
        Store::Sqlite => None,
        Store::Postgres => Some(Arc::new(Server::start()?)),
    };
    let milkrun = Milkrun { binary, postgres };
    let bench = Bench { milkrun, quick: cli.quick, large: cli.large, repeats };
    let mut results = Results {
        machine: Machine::here(&bench.milkrun)?,
        quick: cli.quick,
        repeats,
        reports: Vec::new(),
    };
    if !cli.json {
        println!("{}\n{repeats} runs of each\n", results.machine);
    }
    let all = Scenario::of_a_whole_run(cli.store == Store::Postgres);
    let scenarios = if cli.scenarios.is_empty() { &all } else { &cli.scenarios };
    let mut worse = false;
    for scenario in scenarios {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let report = LocalSet::new().block_on(&runtime, until_interrupted(bench.run(*scenario)));
        let report = report.with_context(|| format!("{scenario:?}"))?;
        if !cli.json {
            println!("{}", table::text(&report));
        }
        let regressions = report.claims.iter().filter(|claim| claim.is_regression());
        for claim in regressions.filter(|_| cli.regressions) {
            eprintln!("{}: a regression: {}: {:.2}", report.scenario, claim.what, claim.is.median);
            worse = true;
        }
        results.reports.push(report);
    }
    if cli.json {
        println!("{}", serde_json::to_string(&results)?);
    }
    Ok(if worse { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// As long as nobody breaks it off: what was started is ended then too.
async fn until_interrupted<T>(measuring: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        measured = measuring => measured,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    }
}

/// Builds the relay as this program was built.
fn build() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let own = std::env::current_exe()?;
    let folder = own.parent().context("a program lies in a directory")?;
    // The folder of a profile is called as the profile, but for that of `dev`.
    let profile = folder.file_name().and_then(OsStr::to_str).context("a folder has a name")?;
    let profile = if profile == "debug" { "dev" } else { profile };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&root).args(["build", "--quiet", "--bin", "milkrun", "--profile", profile]);
    ensure!(cargo.status()?.success(), "the relay does not build");
    Ok(folder.join("milkrun"))
}

/// Every subscription has a connection, and this process has its other end.
fn raise_open_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    // Where that is not permitted, what needs it fails with a clear message.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
