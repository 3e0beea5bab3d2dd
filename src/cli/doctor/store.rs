//! Whether the store can be kept where the configuration has it.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use super::Finding;
use crate::{
    cli::{failure::chain, offline},
    clock,
    config::Config,
    store::{self, room},
};

/// How much is written at once, and how often.
const WRITTEN: [u8; 4096] = [0; 4096];
const WRITES: usize = 5;
/// Every commit waits for the disk: beyond this, a relay takes in about ten at a time each second.
const SYNC_MAX: Duration = Duration::from_millis(100);
/// As the alert `MilkrunDiskLow` has it.
const FREE_BYTES_MIN: u64 = 1 << 30;

pub(super) async fn checks(config: &Config) -> Vec<Finding> {
    let Some(path) = config.store.path() else { return vec![database(config).await] };
    let folder = existing(path);
    let name = folder.display().to_string();
    let mut checks = vec![match sync_time(&folder) {
        Ok(took) => judge_sync(&name, took),
        Err(error) => Finding::bad(
            "store",
            &name,
            format!("no file can be written and synced there: {error}"),
            "make the folder writable for the user of the relay, or name another one in `store`",
        ),
    }];
    checks.extend(room::available(&folder.join("x")).map(|free| judge_room(&name, free)));
    if !room::has_inodes(&folder.join("x")) {
        let remedy = "remove files there, or name another disk in `store`";
        checks.push(Finding::bad("disk", &name, "it has no inode left for another file", remedy));
    }
    checks
}

/// The folder that the file is in; where it is still to be made, the one that it is to be made in.
fn existing(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let found = whole.ancestors().skip(1).find(|folder| folder.is_dir());
    found.unwrap_or(Path::new("/")).to_owned()
}

/// How long a small write takes until it is on the disk: the one in the middle of several.
fn sync_time(folder: &Path) -> io::Result<Duration> {
    let path = folder.join(format!(".milkrun-doctor-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    let mut write = || {
        let began = clock::instant();
        file.write_all(&WRITTEN).and_then(|()| file.sync_all()).map(|()| began.elapsed())
    };
    let took: io::Result<Vec<Duration>> = (0..WRITES).map(|_| write()).collect();
    let removed = fs::remove_file(&path);
    let mut took = took?;
    removed?;
    took.sort_unstable();
    Ok(took[WRITES / 2])
}

fn judge_sync(name: &str, took: Duration) -> Finding {
    let told = format!("a file is written and synced in {:.1} ms", took.as_secs_f64() * 1_000.0);
    if took < SYNC_MAX {
        return Finding::good("store", name, told);
    }
    let remedy = "every commit waits for that: put the store on a local disk, or find out what else \
                  writes to this one";
    Finding::bad("store", name, told, remedy)
}

fn judge_room(name: &str, free: u64) -> Finding {
    let told = format!("{} MiB are free", free >> 20);
    if free >= FREE_BYTES_MIN {
        return Finding::good("disk", name, told);
    }
    let remedy = format!(
        "keep at least {} MiB free: remove something, lower `retention` of the topics, or name \
         another disk in `store`",
        FREE_BYTES_MIN >> 20
    );
    Finding::bad("disk", name, told, remedy)
}

/// Opening it finds out who the primary is, and whether its commits are as durable as is asked for.
async fn database(config: &Config) -> Finding {
    let name = config.store.to_string();
    match store::look(config.store.as_str(), &offline::untouched(config)).await {
        Ok(_) => Finding::good(
            "store",
            name,
            "the database answers, is the primary, and is as durable as `store.durability` asks for",
        ),
        Err(error) => Finding::bad(
            "store",
            name,
            chain(&error),
            "see docs/cluster.md; an empty database gets its tables by the first `milkrun run`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_and_full_disks_are_bad() {
        assert!(judge_sync("/d", Duration::from_millis(99)).good);
        assert!(!judge_sync("/d", SYNC_MAX).good);
        assert!(judge_room("/d", FREE_BYTES_MIN).good);
        let full = judge_room("/d", 5 << 20).line();
        assert!(full.contains("5 MiB are free; keep at least 1024 MiB"), "{full}");
    }

    #[test]
    fn a_folder_that_is_still_to_be_made_is_looked_at_above_and_left_empty() {
        let place = tempfile::tempdir().unwrap();
        let folder = existing(&place.path().join("a/b/milkrun.db"));
        assert_eq!(folder, place.path());
        sync_time(&folder).unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
        assert!(sync_time(&place.path().join("none")).is_err());
    }
}
