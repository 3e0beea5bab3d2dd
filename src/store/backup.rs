//! A backup: a copy of a store in a file, with a description beside it in `FILE.json`.
//!
//! It is made while a relay works on the store, read whole afterwards, and gets its name only then: a
//! file of that name is a whole one.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    Address, StoreError, open,
    sqlite::{
        self,
        backup::{cannot_write, folder, sibling},
    },
};
use crate::{
    clock::Clock,
    event::{Micros, Topic},
    key::hex,
    regular,
};

pub use super::sqlite::backup::{BackupWatch, Restored};

/// The longest description that is read.
const DESCRIPTION_BYTES_MAX: u64 = 64 << 20;
/// Why a database is not copied here.
const USE_ITS_OWN: &str = "a store on PostgreSQL is backed up with PostgreSQL's own tools, as pg_dump or \
    pgBackRest (docs/backup.md); milkrun backup copies a store in a file";

/// What a backup is, as its description has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// The release that has made it.
    pub release: String,
    /// Everything that was acknowledged before this moment is in it (RFC 3339).
    pub moment: String,
    /// How large it is.
    pub bytes: u64,
    /// Its SHA-256, as `sha256sum` tells it.
    pub sha256: String,
    /// Events over all topics.
    pub events: u64,
    /// By name.
    pub topics: Vec<BackupTopic>,
    /// What of the store is damaged, a line each; at most 1,000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// A topic of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupTopic {
    /// Its name.
    pub topic: Topic,
    /// Its last version.
    pub head: u64,
    /// The first that is kept.
    pub oldest: u64,
    /// The epoch of what is appended next.
    pub epoch: String,
}

/// Copies the store at `url` to `to`, which is not there yet; `here` says that this process works on it.
///
/// # Errors
/// `Refused` when there is something at `to`, no room for it, or the store is a database or of another release;
/// `Conflict` when a relay was started meanwhile; else as the store has them. Nothing is left at `to` then.
pub async fn backup(
    url: &str,
    to: &Path,
    here: bool,
    clock: &Clock,
    watch: &mut dyn BackupWatch,
) -> Result<Backup, StoreError> {
    let path = of_file(url)?;
    if fs::symlink_metadata(to).is_ok() {
        return Err(StoreError::Refused(format!("{}: there is a file already", to.display())));
    }
    let part = sibling(to, ".part");
    let done = async {
        let moment = sqlite::backup::copy(path, &part, here, clock, watch).await?;
        // Nobody else has the copy open: this may be dropped at any time.
        let described = watch.stop().run_until_cancelled_owned(describe(&part, moment)).await;
        let backup = described.unwrap_or(Err(StoreError::Closed))?;
        name(&part, to, &backup).map_err(|error| cannot_write(to, &error))?;
        Ok(backup)
    };
    let done = done.await;
    if done.is_err() {
        // It takes room from those who are at work.
        let _ = fs::remove_file(&part);
    }
    done
}

/// Puts the backup at `from` in the place of the store at `url`. What is there is set aside when `replace`
/// says so. Nothing of the backup is changed.
///
/// # Errors
/// `Refused` when the backup is not what its description says, is damaged, or there is a store already; `InUse` when a relay works on it.
pub async fn restore(
    from: &Path,
    url: &str,
    replace: bool,
    clock: &Clock,
) -> Result<(Option<Backup>, Restored), StoreError> {
    let path = of_file(url)?;
    let backup = described(from)?;
    if let Some(backup) = &backup {
        let sum = hash(from).await?;
        if sum != backup.sha256 {
            return Err(StoreError::Refused(format!(
                "{}: it is not what {} tells of: its SHA-256 is {sum}",
                from.display(),
                description(from).display()
            )));
        }
    }
    let restored = sqlite::backup::restore(from, path, replace, clock).await?;
    Ok((backup, restored))
}

fn of_file(url: &str) -> Result<&Path, StoreError> {
    if Address::new(url).is_database() {
        return Err(StoreError::Refused(USE_ITS_OWN.into()));
    }
    open::path(url)
}

/// Where the description of the backup at `file` is.
#[must_use]
pub fn description(file: &Path) -> PathBuf {
    sibling(file, ".json")
}

/// Reads a copy whole.
async fn describe(file: &Path, moment: Micros) -> Result<Backup, StoreError> {
    let found = sqlite::backup::check(file).await?;
    let topics = sqlite::backup::topics(file).await?;
    let topics = topics.iter().map(|topic| BackupTopic {
        topic: topic.topic.clone(),
        head: topic.head.0,
        oldest: topic.oldest.0,
        epoch: topic.epoch_of(topic.head.next()).to_string(),
    });
    Ok(Backup {
        release: env!("CARGO_PKG_VERSION").into(),
        moment: moment.to_string(),
        bytes: fs::metadata(file).map_err(|error| cannot_write(file, &error))?.len(),
        sha256: hash(file).await?,
        events: found.events,
        topics: topics.collect(),
        problems: found.problems,
    })
}

/// Gives a copy its name, its description first: whoever finds the file finds that too.
fn name(part: &Path, to: &Path, backup: &Backup) -> io::Result<()> {
    let (description, written) = (description(to), sibling(to, ".json.part"));
    let mut file = File::create(&written)?;
    serde_json::to_writer_pretty(&mut file, backup)?;
    writeln!(file)?;
    file.sync_all()?;
    fs::rename(&written, &description)?;
    fs::rename(part, to)?;
    File::open(folder(to))?.sync_all()
}

/// The description of a backup, when there is one.
fn described(file: &Path) -> Result<Option<Backup>, StoreError> {
    let name = description(file);
    let refused = |why: String| StoreError::Refused(format!("{}: {why}", name.display()));
    let text = match regular::read_text(&name, DESCRIPTION_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|error| refused(error.to_string()))?,
    };
    let backup = serde_json::from_str(&text);
    backup.map(Some).map_err(|error| {
        refused(format!(
            "it is no description of a backup: {error}; move it away to go by the file alone"
        ))
    })
}

/// The SHA-256 of a file, in hexadecimal digits.
async fn hash(file: &Path) -> Result<String, StoreError> {
    let path = file.to_owned();
    let hashed = tokio::task::spawn_blocking(move || {
        let (mut file, mut sum) = (File::open(path)?, Sha256::new());
        let mut piece = vec![0; 1 << 20];
        loop {
            match file.read(&mut piece)? {
                0 => break,
                count => sum.update(&piece[..count]),
            }
        }
        Ok(hex(&sum.finalize()))
    });
    let hashed: io::Result<String> = hashed.await.map_err(|_| StoreError::Closed)?;
    hashed.map_err(|error| StoreError::Refused(format!("{}: {error}", file.display())))
}
