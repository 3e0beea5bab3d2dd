//! The command line: arguments, the common options, and one file per command.
//!
//! Data goes to stdout, everything else to stderr. Exit codes: 0, 1 (it did not work), 2 (usage),
//! 3 (stopped hard with work under way), 4 (`wait`: the time is up), 78 (bad configuration, or the store
//! is held by another).
//! A reader of data who goes away, as `head`, is no error.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};

pub use self::failure::Failure;
use self::{client::Client, output::Output};
use crate::{config::Listens, key::KeyText, logs::Logs};

mod attempts;
mod attention;
mod backup;
mod check;
mod client;
mod cluster;
mod config;
mod dead_letters;
mod debug;
mod demo;
mod doctor;
mod dry_run;
mod events;
mod examples;
mod failure;
mod find;
mod healthcheck;
mod init;
mod keys;
mod listen;
mod migrate;
mod offline;
mod output;
mod pending;
mod place;
mod probe;
mod publish;
mod reload;
mod replay;
mod run;
mod secrets;
mod series;
mod source_story;
mod sources;
mod subscriptions;
#[cfg(test)]
mod tests;
mod top;
mod topics;
mod trace;
mod try_out;
mod verify;
mod wait;
mod when;

/// Probes producers, keeps a versioned history, and pushes to webhooks.
#[derive(Debug, Parser)]
#[command(name = "milkrun", version, max_term_width = 100, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
    #[arg(skip)]
    logs: Logs,
}

/// The longest file with a key.
const KEY_FILE_BYTES_MAX: u64 = 4 << 10;

/// What every command takes.
#[derive(Debug, clap::Args)]
struct Options {
    /// The configuration file [default: milkrun.yaml].
    #[arg(short, long, global = true, env = "MILKRUN_CONFIG")]
    config: Option<PathBuf>,
    /// The API of the running relay [default: where the configuration listens, else
    /// port 8080 of this machine].
    #[arg(long, global = true, env = "MILKRUN_SERVER", value_name = "URL")]
    server: Option<String>,
    /// A file with the key that commands use the API with; `MILKRUN_KEY` may hold the key itself.
    #[arg(long, global = true, env = "MILKRUN_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// How data is printed.
    #[arg(short, long, global = true, value_enum, default_value_t)]
    output: Output,
    /// Which log lines go to stderr, as `info` or `milkrun=debug`; those that it does not take are
    /// dropped, and counted in `milkrun_log_lines_dropped_total`.
    #[arg(long, global = true, env = "RUST_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// How log lines are written.
    #[arg(long, global = true, value_enum, default_value_t)]
    log_format: LogFormat,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the relay until SIGTERM or Ctrl-C; SIGHUP applies a changed file.
    #[command(after_help = examples::RUN)]
    Run(run::Args),
    /// Show the whole job in ten seconds: a sample producer, the relay and a flaky consumer; with
    /// --cluster, three nodes of which one is killed.
    #[command(after_help = examples::DEMO)]
    Demo(demo::Args),
    /// Say what is wrong with the configuration.
    #[command(after_help = examples::CHECK)]
    Check(check::Args),
    /// Say whether this machine and what is around it are fit for the configuration: one line for each
    /// check, with what helps.
    Doctor(doctor::Args),
    /// Propose a configuration for a producer, by what its URL answers.
    Init(init::Args),
    /// The configuration: its schema, or as it was understood.
    #[command(subcommand, after_help = examples::CONFIG)]
    Config(config::Action),
    /// Ask a source now; with --dry-run, here and without storing anything.
    #[command(after_help = examples::PROBE)]
    Probe(probe::Args),
    /// Topics: their heads, what is kept, their epochs.
    #[command(after_help = examples::TOPICS)]
    Topics(topics::Args),
    /// Events of a topic in version order.
    #[command(after_help = examples::EVENTS)]
    Events(events::Args),
    /// Where one event is: at every subscription, with every attempt, and what helps.
    Trace(trace::Args),
    /// Hand events to a local server as webhooks, by cursor: no position moves.
    Listen(listen::Args),
    /// Say whether the signature of a webhook is good, or which part of it is wrong.
    Verify(verify::Args),
    /// Publish events.
    Publish(publish::Args),
    /// Subscriptions: where they stand, and how to steer them.
    #[command(after_help = examples::SUBSCRIPTIONS)]
    Subscriptions(subscriptions::Args),
    /// Subscriptions and sources as they stand, again and again.
    Top(top::Args),
    /// Wait until a subscription has what it is owed.
    Wait(wait::Args),
    /// Events that are not in the log yet.
    #[command(after_help = examples::PENDING)]
    Pending(pending::Args),
    /// What somebody has to look at, the most urgent first, each with the command that helps.
    #[command(after_help = examples::ATTENTION)]
    Attention,
    /// A topic, subscription or source by its name; an event by `topic@version`, a cursor, a webhook-id or its id.
    #[command(after_help = examples::FIND)]
    Find(find::Args),
    /// What a filter, a transform or a format makes of the newest events of a topic; nothing is sent.
    #[command(after_help = examples::TRY)]
    Try(try_out::Args),
    /// Attempts, of one subscription or of all: what was sent, when, and what came back.
    #[command(after_help = examples::ATTEMPTS)]
    Attempts(attempts::Args),
    /// Events that a subscription did not get.
    #[command(after_help = examples::DEAD_LETTERS)]
    DeadLetters(dead_letters::Args),
    /// Deliver a part of a topic again, beside live delivery.
    #[command(after_help = examples::REPLAY)]
    Replay(replay::Args),
    /// Sources: when they were asked, and how to steer them.
    #[command(after_help = examples::SOURCES)]
    Sources(sources::Args),
    /// How a metric went in the last hour and day, on the node that answers.
    #[command(after_help = examples::SERIES)]
    Series(series::Args),
    /// The nodes on the store: what each of them does, and what nobody does.
    #[command(after_help = examples::CLUSTER)]
    Cluster,
    /// Keys: who may use the API, and for what.
    Keys(keys::Args),
    /// The master key, under which secrets are kept in the store.
    Secrets(secrets::Args),
    /// Copy the store into a file, while the relay runs.
    Backup(backup::BackupArgs),
    /// Put a backup in the place of the store.
    Restore(backup::RestoreArgs),
    /// Move a store from a file into a database.
    Migrate(migrate::Args),
    /// Let the running relay apply its configuration file as it is now, as SIGHUP does.
    #[command(after_help = examples::RELOAD)]
    Reload(reload::Args),
    /// What a bug report needs.
    #[command(subcommand, after_help = debug::EXAMPLES)]
    Debug(debug::Action),
    /// Whether the running relay is ready: exit code 0 or 1.
    #[command(after_help = examples::HEALTHCHECK)]
    Healthcheck,
    /// A completion script for a shell.
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

impl Cli {
    /// Which log lines are wanted; by default those of the relay for commands that run one, and
    /// warnings for the others.
    #[must_use]
    pub fn log(&self) -> (String, LogFormat) {
        let quiet = match self.command {
            Command::Run(_) => "info",
            Command::Demo(_) => "error",
            _ => "warn",
        };
        (self.options.log.clone().unwrap_or_else(|| quiet.into()), self.options.log_format)
    }

    /// With what counts the log lines that were dropped.
    #[must_use]
    pub fn with_logs(self, logs: Logs) -> Self {
        Self { logs, ..self }
    }

    /// Does what was asked.
    ///
    /// # Errors
    /// A [`Failure`] with what to print and the exit code.
    pub async fn run(self) -> Result<ExitCode, Failure> {
        let options = &self.options;
        // The others read the file, or the place of its relay.
        if matches!(
            self.command,
            Command::Demo(_)
                | Command::Migrate(_)
                | Command::Verify(_)
                | Command::Config(config::Action::Schema)
                | Command::Completions { .. }
        ) {
            options.check_named()?;
        }
        match self.command {
            Command::Run(args) => return run::run(args, options.file(), &self.logs).await,
            Command::Demo(args) => return demo::run(args).await,
            Command::Check(args) => check::run(args, options.file()).await?,
            Command::Doctor(args) => doctor::run(args, options).await?,
            Command::Config(action) => config::run(&action, options.file())?,
            Command::Probe(args) => probe::run(args, options).await?,
            Command::Topics(args) => topics::run(args, options).await?,
            Command::Events(args) => events::run(args, options).await?,
            Command::Trace(args) => trace::run(args, options).await?,
            Command::Listen(args) => listen::run(args, options).await?,
            Command::Verify(args) => verify::run(args, options)?,
            Command::Publish(args) => publish::run(args, options).await?,
            Command::Subscriptions(args) => subscriptions::run(args, options).await?,
            Command::Init(args) => init::run(args, options).await?,
            Command::Top(args) => top::run(args, options).await?,
            Command::Debug(action) => debug::run(action, options).await?,
            Command::Wait(args) => wait::run(args, options).await?,
            Command::Pending(args) => pending::run(args, options).await?,
            Command::Attention => attention::run(options).await?,
            Command::Find(args) => find::run(args, options).await?,
            Command::Try(args) => try_out::run(args, options).await?,
            Command::Attempts(args) => attempts::run(args, options).await?,
            Command::DeadLetters(args) => dead_letters::run(args, options).await?,
            Command::Replay(args) => replay::run(args, options).await?,
            Command::Sources(args) => sources::run(args, options).await?,
            Command::Series(args) => series::run(args, options).await?,
            Command::Cluster => cluster::run(options).await?,
            Command::Keys(args) => keys::run(args, options).await?,
            Command::Secrets(args) => secrets::run(args, options).await?,
            Command::Backup(args) => backup::backup(args, options).await?,
            Command::Restore(args) => backup::restore(args, options).await?,
            Command::Migrate(args) => migrate::run(args).await?,
            Command::Reload(args) => reload::run(&args, options).await?,
            Command::Healthcheck => healthcheck::run(options).await?,
            Command::Completions { shell } => {
                // Written at once: the generator panics when nobody reads any more.
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Self::command(), "milkrun", &mut script);
                output::print(String::from_utf8_lossy(&script).trim_end())?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Options {
    /// The configuration file.
    fn file(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new("milkrun.yaml"))
    }

    /// The API of the running relay.
    ///
    /// # Errors
    /// A file was named that is not there, whether or not anything of it is wanted.
    fn client(&self) -> Result<Client, Failure> {
        self.check_named()?;
        let client = if let Some(server) = &self.server {
            Client::new(server)?.named_by("--server or MILKRUN_SERVER")
        } else {
            let (server, certificate) = self.listens();
            let file = self.file().display();
            let by = if self.file().exists() {
                format!("where {file} has it listen")
            } else {
                format!(
                    "the usual address, for there is no {file}: name yours by -c FILE or --server URL"
                )
            };
            Client::trusting(&server, certificate.as_deref())?.named_by(&by)
        };
        Ok(client.with_key(self.key()?))
    }

    /// The key that the API is used with.
    fn key(&self) -> Result<Option<KeyText>, Failure> {
        let (given, from) = match &self.key_file {
            Some(path) => {
                let read = crate::regular::read_text(path, KEY_FILE_BYTES_MAX);
                let cannot = |error| Failure::usage(format!("{}: {error}", path.display()));
                (Some(read.map_err(cannot)?), path.display().to_string())
            }
            None => (environment("MILKRUN_KEY"), "MILKRUN_KEY".to_owned()),
        };
        let given = given.filter(|text| !text.trim().is_empty());
        let parsed = given.map(|text| text.trim().parse::<KeyText>()).transpose();
        parsed.map_err(|error| Failure::usage(format!("{from}: {error}")))
    }

    /// Whether the file that was named is there.
    fn check_named(&self) -> Result<(), Failure> {
        if let Some(file) = self.config.as_ref().filter(|file| !file.exists()) {
            let message = format!("{}: there is no such file (-c, MILKRUN_CONFIG)", file.display());
            return Err(Failure { message, code: 78 });
        }
        Ok(())
    }

    /// Where the relay of this configuration is to be found, seen from this machine, and the
    /// certificate that it shows.
    fn listens(&self) -> (String, Option<String>) {
        match crate::config::listen(self.file(), environment) {
            Ok(Listens { mut address, is_encrypted, certificate }) => {
                if address.ip().is_unspecified() {
                    address.set_ip(Ipv4Addr::LOCALHOST.into());
                }
                let scheme = if is_encrypted { "https" } else { "http" };
                (format!("{scheme}://{address}"), certificate)
            }
            Err(error) => {
                if self.file().exists() {
                    tracing::warn!(
                        event = "command.address_guessed",
                        "asking port 8080, because the file does not say where:\n{error}"
                    );
                }
                ("http://127.0.0.1:8080".into(), None)
            }
        }
    }
}

/// The environment of this process.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
