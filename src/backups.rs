//! Backups that the relay makes by itself: a copy every so often, the oldest go.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    config::BackupPlan,
    event::Micros,
    notices::{Notice, Notices},
    store::{self, Address, BackupWatch, Change, News, StoreError, Trouble},
    telemetry::{Metrics, ResultLabel},
};

/// The trouble of backups that fail.
const FAILED: &str = "backup_failed";
/// After a failure it is tried again no later than this.
const RETRY_MAX: Duration = Duration::from_mins(10);
/// What backups that were made here are called: this, the moment, and this.
const NAME: (&str, &str) = ("milkrun-", ".db");
/// How a moment is written in a name, in UTC.
const MOMENT: &str = "%Y%m%dT%H%M%SZ";

/// Makes backups.
pub struct Backups {
    store: Address,
    plan: BackupPlan,
    clock: Clock,
    metrics: Arc<Metrics>,
    notices: Notices,
    /// When the next one is due, by the steady reading.
    due: Option<Micros>,
    is_failing: bool,
}

impl Backups {
    /// Of the store at this address, which this process works on.
    #[must_use]
    pub fn new(
        store: Address,
        plan: BackupPlan,
        clock: Clock,
        metrics: Arc<Metrics>,
        notices: Notices,
    ) -> Self {
        Self { store, plan, clock, metrics, notices, due: None, is_failing: false }
    }

    /// Makes one if it is due, unless `stop` ends it; answers when the next one is, by the steady reading.
    pub async fn step(&mut self, stop: &CancellationToken) -> Micros {
        let now = self.clock.read();
        let due = self.due.unwrap_or_else(|| now.steady.plus(self.first(now.wall)));
        self.due = Some(due);
        if due > now.steady {
            return due;
        }
        let made = self.make(now.wall, stop).await;
        if stop.is_cancelled() {
            return due;
        }
        let next = if made.is_ok() { self.plan.every } else { self.plan.every.min(RETRY_MAX) };
        self.tell(made);
        let next = self.clock.steady().plus(next);
        self.due = Some(next);
        next
    }

    /// Steps until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let next = self.step(&stop).await;
            stop.run_until_cancelled(self.clock.until(next)).await;
        }
    }

    /// How long after a start the first one is due: the last one may have been made before it.
    fn first(&self, wall: Micros) -> Duration {
        let last = made(&self.plan.dir).ok().and_then(|made| made.last().cloned());
        let last = last.and_then(|last| moment(&last));
        if let Some(last) = last {
            self.metrics.backup_last_success.set(last.seconds());
        }
        let since = last.map(|last| wall.since(last));
        since.map_or(Duration::ZERO, |since| self.plan.every.saturating_sub(since))
    }

    async fn make(&self, wall: Micros, stop: &CancellationToken) -> Result<u64, StoreError> {
        let cannot =
            |error: io::Error| StoreError::Refused(format!("{}: {error}", self.plan.dir.display()));
        fs::create_dir_all(&self.plan.dir).map_err(cannot)?;
        // Of a relay that was killed.
        remove_broken_off(&self.plan.dir).map_err(cannot)?;
        let name = wall.timestamp().strftime(MOMENT);
        let file = self.plan.dir.join(format!("{}{name}{}", NAME.0, NAME.1));
        let mut until = Until(stop.clone());
        let store = self.store.as_str();
        let made = store::backup(store, &file, true, &self.clock, &mut until).await?;
        if let Some(problem) = made.problems.first() {
            return Err(StoreError::Refused(format!(
                "{}: the store is damaged ({} problems), and so is its backup, for which no older one is \
                 removed: {problem}",
                file.display(),
                made.problems.len()
            )));
        }
        self.remove_old().map_err(cannot)?;
        Ok(made.bytes)
    }

    /// Removes all but the newest, each before its description.
    fn remove_old(&self) -> io::Result<()> {
        let made = made(&self.plan.dir)?;
        for old in made.iter().rev().skip(self.plan.keep) {
            fs::remove_file(old)?;
            match fs::remove_file(store::description(old)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn tell(&mut self, made: Result<u64, StoreError>) {
        let result = if made.is_ok() { "made" } else { "failed" };
        self.metrics.backups.get_or_create(&ResultLabel { result }).inc();
        let news = |change, detail| {
            Notice::Store(News { change, trouble: Trouble { code: FAILED, detail } })
        };
        match made {
            Ok(bytes) => {
                self.metrics.backup_last_success.set(self.clock.now().seconds());
                tracing::info!(event = "backup.made", bytes, dir = %self.plan.dir.display(), "is made");
                if std::mem::take(&mut self.is_failing) {
                    self.notices.tell(news(Change::Ended, "backups are made again".into()));
                }
            }
            Err(error) => {
                tracing::error!(event = "backup.failed", %error, "no backup was made");
                if !std::mem::replace(&mut self.is_failing, true) {
                    let detail = format!("no backup was made: {error}");
                    self.notices.tell(news(Change::Began, detail));
                }
            }
        }
    }
}

/// A backup that a stop ends.
struct Until(CancellationToken);

impl BackupWatch for Until {
    fn events(&mut self, _more: u64) {}

    fn stop(&self) -> CancellationToken {
        self.0.clone()
    }
}

/// The backups of a folder, the oldest first.
fn made(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut made = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if moment(&path).is_some() {
            made.push(path);
        }
    }
    made.sort();
    Ok(made)
}

/// When a backup of this name was made.
fn moment(path: &Path) -> Option<Micros> {
    let name = path.file_name()?.to_str()?;
    let moment = name.strip_prefix(NAME.0)?.strip_suffix(NAME.1)?;
    let moment = jiff::civil::DateTime::strptime(MOMENT, moment).ok()?;
    let moment = moment.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Micros(moment.timestamp().as_microsecond()))
}

/// Whether a file is the beginning of a backup, or of its description.
fn is_broken_off(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with(NAME.0) && path.extension().is_some_and(|ending| ending == "part")
}

fn remove_broken_off(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if is_broken_off(&path) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
