//! The place of a listener in a file: one cursor for each topic.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::{cli::Failure, regular};

/// The longest file that is read.
const BYTES_MAX: u64 = 16 << 20;

/// How far it got.
#[derive(Debug)]
pub(super) struct Keep {
    file: PathBuf,
    place: Place,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    /// What is listened to.
    listens_to: String,
    /// Behind which cursor the next start begins.
    after: BTreeMap<String, String>,
}

impl Keep {
    /// Reads the file; one that is not there begins empty.
    ///
    /// # Errors
    /// It is the place of another listener, or none.
    pub(super) fn open(file: PathBuf, listens_to: &str) -> Result<Self, Failure> {
        let shown = file.display().to_string();
        let wrong = |why: String| Failure::usage(format!("`--keep {shown}`: {why}"));
        let place = if file.exists() {
            let text =
                regular::read_text(&file, BYTES_MAX).map_err(|error| wrong(error.to_string()))?;
            let place: Place = serde_json::from_str(&text)
                .map_err(|error| wrong(format!("expected what `milkrun listen` wrote: {error}")))?;
            if place.listens_to != listens_to {
                let other = &place.listens_to;
                return Err(wrong(format!("is the place in `{other}`: name another file")));
            }
            place
        } else {
            Place { listens_to: listens_to.to_owned(), after: BTreeMap::new() }
        };
        let keep = Self { file, place };
        // What cannot be written is better known before the first event.
        keep.write().map_err(|error| wrong(error.to_string()))?;
        Ok(keep)
    }

    /// Whether an earlier start left a place.
    pub(super) fn is_begun(&self) -> bool {
        !self.place.after.is_empty()
    }

    /// Behind which cursor a topic goes on.
    pub(super) fn after(&self, topic: &str) -> Option<String> {
        self.place.after.get(topic).cloned()
    }

    /// Everything of a topic up to this cursor is done.
    pub(super) fn set(&mut self, topic: &str, cursor: &str) -> Result<(), Failure> {
        if self.place.after.get(topic).is_some_and(|kept| kept == cursor) {
            return Ok(());
        }
        self.place.after.insert(topic.to_owned(), cursor.to_owned());
        let wrong = |error| Failure::new(format!("`--keep {}`: {error}", self.file.display()));
        self.write().map_err(wrong)
    }

    /// In one step, so that whatever ends this leaves the old place or the new.
    fn write(&self) -> std::io::Result<()> {
        let directory = self.file.parent().filter(|path| !path.as_os_str().is_empty());
        let mut fresh = NamedTempFile::new_in(directory.unwrap_or(Path::new(".")))?;
        fresh.write_all(serde_json::to_string_pretty(&self.place)?.as_bytes())?;
        fresh.as_file().sync_data()?;
        fresh.persist(&self.file).map_err(|error| error.error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_kept_for_the_same_listener() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("place");
        let mut keep = Keep::open(file.clone(), "orders").unwrap();
        assert!(!keep.is_begun());
        keep.set("orders", "6661905f-7").unwrap();
        let again = Keep::open(file.clone(), "orders").unwrap();
        assert_eq!(
            (again.is_begun(), again.after("orders").as_deref()),
            (true, Some("6661905f-7"))
        );
        let other = Keep::open(file.clone(), "billing").unwrap_err();
        assert!(other.code == 2 && other.message.contains("`orders`"), "{other}");
        std::fs::write(&file, "{").unwrap();
        assert!(Keep::open(file, "orders").unwrap_err().message.contains("--keep"));
    }
}
