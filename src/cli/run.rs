//! `milkrun run`: the relay until it is told to stop.

use std::{
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use probes::period::Period;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Failure, environment, failure::chain, output::print};
use crate::{
    clock::Clock,
    config::{self, Config, ConfigError},
    logs::Logs,
    node::{Node, NodeError, Role, Stopped},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What this process does; may be given several times. By default everything.
    #[arg(long = "role", value_enum, value_delimiter = ',')]
    roles: Vec<Role>,
    /// How long work under way may take after the first signal.
    #[arg(long, default_value = "30s", value_name = "TIME")]
    drain: Period,
    /// Listen where the configuration says, although others can reach it and there are no keys.
    #[arg(long)]
    insecure: bool,
}

impl Args {
    /// The file as it is now, with what these arguments say.
    fn config(&self, file: &Path) -> Result<Config, ConfigError> {
        let config = config::load(file, environment)?;
        Ok(Config { insecure: config.insecure || self.insecure, ..config })
    }

    /// The file as it is now, in the place of the one that runs.
    fn changed(&self, file: &Path, allow_removal: bool) -> Result<Config, ConfigError> {
        let config = self.config(file)?;
        Ok(Config { allow_removal: config.allow_removal || allow_removal, ..config })
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        Self { message: chain(&error), code: error.exit_code() }
    }
}

/// How long a hard stop is waited for.
const HARD_STOP: Duration = Duration::from_secs(5);

/// How long a signal may be on its way.
const HEARD: Duration = Duration::from_secs(1);

/// The signals that stop a relay.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    pub(super) async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

pub(crate) async fn run(args: Args, file: &Path, logs: &Logs) -> Result<ExitCode, Failure> {
    // Registered before anything is started, so that no signal is missed.
    let mut signals = Signals::new()?;
    let mut hangup = signal(SignalKind::hangup())?;
    let is_stopping = Arc::new(AtomicBool::new(false));
    end_what_hangs(logs.clone(), is_stopping.clone())?;
    let config = args.config(file)?;
    let roles = if args.roles.is_empty() { &Role::ALL[..] } else { &args.roles[..] };
    raise_open_files();
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let mut node = Node::start(config, roles, Clock::system()).await?;
    logs.count_by(node.metrics().log_lines_dropped.clone());
    let mut asked = node.reloads();
    if let Some(address) = node.address()
        && let Err(error) =
            print(&format!("milkrun {} listens at {scheme}://{address}", env!("CARGO_PKG_VERSION")))
    {
        stop(node, args.drain.0, signals.stop()).await;
        return Err(Failure::new(format!("the relay's address cannot be told: {error}")));
    }
    let failed = loop {
        tokio::select! {
            () = signals.stop() => break false,
            () = node.failed() => break true,
            _ = hangup.recv() => {
                // What is wrong is in the log.
                let _ = reload(&mut node, args.changed(file, false), file).await;
            }
            Some(asked) = asked.recv() => {
                let config = args.changed(file, asked.allow_removal);
                asked.answer(reload(&mut node, config, file).await);
            }
        }
    };
    is_stopping.store(true, Ordering::Release);
    tracing::info!(
        event = "relay.stopping",
        "stopping: finishing what is under way; a second signal drops it"
    );
    let stopped = stop(node, args.drain.0, signals.stop()).await;
    Ok(if failed {
        ExitCode::FAILURE
    } else if stopped.work_under_way {
        ExitCode::from(3)
    } else {
        ExitCode::SUCCESS
    })
}

/// Ends the process some time after a second signal, whatever it hangs in: a start or a reload that
/// waits for the system, as for a disk that does not answer, hears no signal itself.
fn end_what_hangs(logs: Logs, is_stopping: Arc<AtomicBool>) -> std::io::Result<()> {
    let mut signals = Signals::new()?;
    tokio::spawn(async move {
        signals.stop().await;
        signals.stop().await;
        // The first may have been heard by now; then the second is answered, too.
        tokio::time::sleep(HEARD).await;
        if is_stopping.load(Ordering::Acquire) {
            tokio::time::sleep(HARD_STOP + HEARD).await;
        }
        tracing::error!(
            event = "relay.aborted",
            "a second signal, and the first has not ended the relay: it ends at once"
        );
        logs.flush(HEARD);
        std::process::exit(3);
    });
    Ok(())
}

/// Every delivery, stream and reader is an open file: takes as many as the system grants.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => tracing::info!(
            event = "relay.open_files_raised",
            open_files_max = maximum,
            "the limit of open files is raised"
        ),
        Err(error) => tracing::warn!(
            event = "relay.open_files_kept", %error,
            "the limit of open files stays as it was"
        ),
    }
}

/// Applies the file as it is now; what is wrong with it leaves everything as it was, and is told.
async fn reload(
    node: &mut Node,
    config: Result<Config, ConfigError>,
    file: &Path,
) -> Result<(), String> {
    let applied = apply(node, config, file).await;
    node.metrics().reload_successful.set(applied.is_ok().into());
    applied
}

async fn apply(
    node: &mut Node,
    config: Result<Config, ConfigError>,
    file: &Path,
) -> Result<(), String> {
    let config = config.map_err(|error| {
        tracing::error!(
            event = "config.refused",
            "the changed file is refused, the old one stays:\n{error}"
        );
        error.to_string()
    })?;
    node.reload(config).await.map_err(|error| {
        tracing::error!(
            event = "config.failed",
            "the changed file is not applied: {}",
            chain(&error)
        );
        chain(&error)
    })?;
    tracing::info!(event = "config.applied", "{} is applied", file.display());
    Ok(())
}

/// Stops softly; after `drain`, or when `again` comes first, hard.
pub(super) async fn stop(node: Node, drain: Duration, again: impl Future<Output = ()>) -> Stopped {
    let hard = CancellationToken::new();
    let stopping = node.stop(hard.clone());
    tokio::pin!(stopping);
    tokio::select! {
        stopped = &mut stopping => return stopped,
        () = tokio::time::sleep(drain) => {
            tracing::warn!(event = "relay.drain_expired", "the time to drain is over");
        }
        () = again => tracing::warn!(event = "relay.drain_cut", "stopping hard"),
    }
    hard.cancel();
    let ended = tokio::time::timeout(HARD_STOP, stopping).await;
    ended.unwrap_or(Stopped { work_under_way: true })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn insecure_may_be_said_in_the_file_or_on_the_command_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m.yaml");
        for (text, words, insecure) in [
            ("{}", &["run"][..], false),
            ("{}", &["run", "--insecure"], true),
            ("insecure: true", &["run"], true),
        ] {
            std::fs::write(&path, text).unwrap();
            let config = Line::parse_from(words).args.config(&path).unwrap();
            assert_eq!(config.insecure, insecure, "{text} {words:?}");
        }
    }
}
