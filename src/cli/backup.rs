//! `milkrun backup` and `milkrun restore`: a copy of the store, and putting one back.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};

use super::{
    Failure, Options, environment,
    failure::chain,
    output::{Output, print, say, seen},
};
use crate::{
    clock::Clock,
    config,
    store::{self, Backup, BackupWatch, Restored, StoreError},
};

const BACKUP_EXAMPLE: &str = "\
  milkrun backup /backups/monday.db
  milkrun backup -c /etc/milkrun/milkrun.yaml /backups/monday.db -o json

The relay may be running, and goes on meanwhile. What is in the backup, its heads and its SHA-256 are
in FILE.json beside it. The backup holds secrets: only the owner of the store may read it. The trace of
attempts is not in it. A store on PostgreSQL is backed up with PostgreSQL's own tools.";

const RESTORE_EXAMPLE: &str = "\
Stop the relay, put the backup back, start the relay:

  milkrun restore /backups/monday.db --replace
  milkrun restore /backups/monday.db -c /etc/milkrun/milkrun.yaml

The store that was there is set aside, not removed. Leave STORE-heads where it is: by it the relay
knows which versions were given since the backup. Their topics begin a new epoch above them, and
readers with a cursor beyond the cut are answered 409. Without it every topic begins a new epoch.
Consumers get again what was delivered since the backup.";

#[derive(Debug, clap::Args)]
#[command(after_help = BACKUP_EXAMPLE)]
pub(crate) struct BackupArgs {
    /// Where the copy goes; there is no such file yet.
    file: PathBuf,
}

#[derive(Debug, clap::Args)]
#[command(after_help = RESTORE_EXAMPLE)]
pub(crate) struct RestoreArgs {
    /// The backup.
    file: PathBuf,
    /// Set the store aside that is there.
    #[arg(long)]
    replace: bool,
}

pub(crate) async fn backup(args: BackupArgs, options: &Options) -> Result<(), Failure> {
    let config = config::load(options.file(), environment)?;
    let mut told = Told(seen(ProgressBar::no_length().with_style(style())));
    let clock = Clock::system();
    let made = store::backup(config.store.as_str(), &args.file, false, &clock, &mut told).await;
    told.0.finish_and_clear();
    let backup = made.map_err(|error| failed("no backup was made", &error))?;
    match options.output {
        Output::Json => print(&serde_json::to_string(&backup).unwrap_or_default())?,
        Output::Table => print(&summary(&args.file, &backup))?,
    }
    if let Some(problem) = backup.problems.first() {
        return Err(Failure::new(format!(
            "the store is damaged, and so is its backup ({} problems): {problem}; milkrun check --store \
             lists them",
            backup.problems.len()
        )));
    }
    Ok(())
}

pub(crate) async fn restore(args: RestoreArgs, options: &Options) -> Result<(), Failure> {
    let config = config::load(options.file(), environment)?;
    let (store, clock) = (config.store.as_str(), Clock::system());
    let restored = store::restore(&args.file, store, args.replace, &clock).await;
    let (backup, restored) = restored.map_err(|error| failed("nothing was restored", &error))?;
    if backup.is_none() {
        say(&format!(
            "{}.json is not there: that the backup is as it was made was told by its contents alone",
            args.file.display()
        ));
    }
    print(&told(&args.file, &config.store.to_string(), backup.as_ref(), &restored))?;
    Ok(())
}

fn failed(what: &str, error: &StoreError) -> Failure {
    let message = format!("{what}: {}", chain(error));
    let is_refused = matches!(error, StoreError::Refused(_) | StoreError::InUse(_));
    Failure { message, code: if is_refused { 78 } else { 1 } }
}

fn summary(file: &Path, backup: &Backup) -> String {
    format!(
        "{}: {} topics, {} events, {} MiB, of {}",
        file.display(),
        backup.topics.len(),
        backup.events,
        backup.bytes.div_ceil(1 << 20),
        backup.moment
    )
}

/// What a restore came to: what is there, what is lost, where the former store is.
fn told(file: &Path, store: &str, backup: Option<&Backup>, restored: &Restored) -> String {
    let moment = backup.map_or_else(String::new, |backup| format!(", of {}", backup.moment));
    let topics = restored.topics;
    let mut lines = vec![format!("{store} is {}{moment}: {topics} topics", file.display())];
    match &restored.lost {
        None => lines.push(
            "what was given since is not known: every topic begins a new epoch, and readers with a cursor \
             beyond the backup are answered 409"
                .into(),
        ),
        Some(lost) if lost.is_empty() => lines.push("nothing was given since".into()),
        Some(lost) => {
            lines.extend(lost.iter().map(|(topic, from, to)| {
                format!("LOST  topic `{topic}`: versions {from} to {to}; a new epoch begins above")
            }));
        }
    }
    lines.push("consumers get again what was delivered since".into());
    if let Some(aside) = &restored.aside {
        lines.push(format!("the former store is {}", aside.display()));
    }
    lines.join("\n")
}

/// A count, on a terminal.
struct Told(ProgressBar);

impl BackupWatch for Told {
    fn events(&mut self, more: u64) {
        self.0.inc(more);
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {human_pos} events {per_sec}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}
