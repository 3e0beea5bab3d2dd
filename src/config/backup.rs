//! `backup`: copies of the store that the relay makes by itself.

use std::{path::PathBuf, time::Duration};

use probes::period::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

use super::{error::Problems, secret::Env, table::unplaced};

/// The shortest time between two backups.
const EVERY_MIN: Duration = Duration::from_secs(1);
/// The longest.
const EVERY_MAX: Duration = Duration::from_hours(24 * 31);
/// The most that are kept.
const KEEP_MAX: usize = 10_000;

/// Copies of the store that the relay makes by itself.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupFile {
    /// The folder that they go to, relative to where the configuration is; best on another disk.
    pub dir: PathBuf,
    /// How often one is made.
    #[serde(default = "hourly")]
    #[schemars(with = "Period")]
    pub every: Spanned<Period>,
    /// How many are kept; the oldest go first.
    #[serde(default = "of_a_day")]
    #[schemars(with = "usize", range(min = 1, max = 10_000))]
    pub keep: Spanned<usize>,
}

fn hourly() -> Spanned<Period> {
    unplaced(Period(Duration::from_hours(1)))
}

fn of_a_day() -> Spanned<usize> {
    unplaced(24)
}

/// Copies of the store that the relay makes by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupPlan {
    /// Where they go.
    pub dir: PathBuf,
    /// How often one is made.
    pub every: Duration,
    /// How many are kept.
    pub keep: usize,
}

impl BackupFile {
    pub(super) fn build(
        &self,
        is_database: bool,
        env: Env<'_>,
        problems: &mut Problems<'_>,
    ) -> BackupPlan {
        if is_database {
            let why = "`backup`: a store on PostgreSQL is backed up with PostgreSQL's own tools \
                (docs/backup.md): remove this";
            problems.add(self.every.referenced, why);
        }
        if self.dir.as_os_str().is_empty() {
            problems.add(self.every.referenced, "`backup.dir`: expected a folder, as /backups");
        }
        if !(EVERY_MIN..=EVERY_MAX).contains(&self.every.value.0) {
            problems.add(self.every.referenced, "`backup.every`: expected 1s to 31d");
        }
        if !(1..=KEEP_MAX).contains(&self.keep.value) {
            problems.add(self.keep.referenced, "`backup.keep`: expected 1 to 10000");
        }
        BackupPlan {
            dir: env.folder.join(&self.dir),
            every: self.every.value.0,
            keep: self.keep.value,
        }
    }
}
