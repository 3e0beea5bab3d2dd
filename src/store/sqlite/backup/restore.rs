//! A copy is put in the place of the file.
//!
//! The record of heads stays where it is: by it the next start knows which versions were given since
//! the backup, begins an epoch above them and tells of the gap. Where there is none, every topic
//! begins a new epoch.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    super::{
        SqliteStore,
        desk::load,
        file::{
            self, beside,
            held::Held,
            record::{self, Found},
        },
    },
    cannot_write, check, folder, sibling, sync,
};
use crate::{
    clock::Clock,
    store::{Keeping as _, Options, StoreError, TopicState, rules::known::Known},
};

/// What belongs to a file alone, and is set aside with it.
const ASIDE: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// What a restore came to.
#[derive(Debug)]
pub struct Restored {
    /// Where the file that was there before is now.
    pub aside: Option<PathBuf>,
    /// How many topics there are now.
    pub topics: usize,
    /// Versions that were given since the backup, which are lost: the name of the topic, the first and
    /// the last. `None`: it is not known what was given.
    pub lost: Option<Vec<(String, u64, u64)>>,
}

/// The topics of a copy.
pub(crate) async fn topics(path: &Path) -> Result<Vec<Arc<TopicState>>, StoreError> {
    let conns = file::open_to_look(path, false).await?;
    let mut known = Known::default();
    let mut conn = conns.acquire().await?;
    let loaded = load::topics(&mut known, &mut conn).await;
    drop(conn);
    conns.close().await;
    loaded?;
    let mut topics: Vec<_> = known.topics.into_values().map(|topic| topic.state).collect();
    topics.sort_by(|one, other| one.topic.cmp(&other.topic));
    Ok(topics)
}

/// See [`crate::store::restore`].
pub(crate) async fn restore(
    from: &Path,
    to: &Path,
    replace: bool,
    clock: &Clock,
) -> Result<Restored, StoreError> {
    let found = check(from).await?;
    if let Some(problem) = found.problems.first() {
        let why = format!(
            "{}: the backup is damaged ({} problems): {problem}",
            from.display(),
            found.problem_count
        );
        return Err(StoreError::Refused(why));
    }
    let there = there(to, replace)?;
    let to = fs::canonicalize(to).unwrap_or_else(|_| to.to_owned());
    let given = record::read(&to);
    let copy = sibling(&to, "-restored");
    if let Err(error) = copy_file(from, &copy, &to) {
        let _ = fs::remove_file(&copy);
        return Err(cannot_write(&copy, &error));
    }
    let before = topics(from).await?;
    let name = sibling(&to, &format!("-replaced-{}", clock.now().seconds()));
    // A log without its file as well: SQLite would lay it over the backup.
    for suffix in ASIDE {
        set_aside(&sibling(&to, suffix), &sibling(&name, suffix))?;
    }
    fs::rename(&copy, &to).map_err(|error| cannot_write(&to, &error))?;
    let aside = there.is_some().then_some(name);
    drop(there);
    let options = Options { records_attempts: false, clock: clock.clone(), ..Options::default() };
    // A start brings it in order.
    SqliteStore::open(&to, &options).await?.close().await;
    Ok(Restored { aside, lost: lost(&given, &before), topics: before.len() })
}

/// What is in the place of the store, held against a relay; it may be no store any more.
fn there(to: &Path, replace: bool) -> Result<Option<Held>, StoreError> {
    if !to.exists() {
        return Ok(None);
    }
    if !replace {
        return Err(StoreError::Refused(format!(
            "{}: there is a store already: give --replace to set it aside",
            to.display()
        )));
    }
    Held::take_to_look(to).map(Some)
}

fn copy_file(from: &Path, copy: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(folder(to))?;
    io::copy(&mut fs::File::open(from)?, &mut beside::create(to, copy)?)?;
    sync(copy)
}

fn set_aside(name: &Path, aside: &Path) -> Result<(), StoreError> {
    match fs::rename(name, aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot_write(aside, &error)),
        _ => Ok(()),
    }
}

/// Versions that the record knows and the backup has not.
fn lost(given: &Found, topics: &[Arc<TopicState>]) -> Option<Vec<(String, u64, u64)>> {
    let Found::Record(record) = given else { return None };
    let mut lost = Vec::new();
    for (uid, known) in record.topics.iter().filter(|(_, known)| known.gone.is_none()) {
        let had = topics.iter().find(|topic| topic.uid == *uid).map_or(0, |topic| topic.head.0);
        if known.head.0 > had {
            lost.push((known.name.clone(), had + 1, known.head.0));
        }
    }
    lost.sort();
    Some(lost)
}
