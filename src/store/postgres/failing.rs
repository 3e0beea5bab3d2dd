//! Whether the database takes what is written, told when it begins to refuse and when it takes it again.

use std::time::Duration;

use parking_lot::Mutex;

use crate::{
    event::Micros,
    store::{StoreError, Troubles},
};

/// The trouble of a disk without room, as a file has it.
const DISK_FULL: &str = "disk_full";
/// The trouble of a database that refuses what is asked of it.
const FAILED: &str = "database_failed";
/// Some tables may take what others refuse: what was refused so lately is not over.
const LATELY: Duration = Duration::from_secs(5);

/// The trouble that lasts, and when something was refused last.
#[derive(Debug, Default)]
pub(super) struct Failing(Mutex<Option<(&'static str, Micros)>>);

impl Failing {
    /// Something was refused; tells of it, unless the fault is that of what was asked.
    pub(super) fn failed(&self, error: &StoreError, now: Micros, troubles: &Troubles) {
        let (code, detail) = match error {
            StoreError::DiskFull => (
                DISK_FULL,
                "the disk of the database is full: nothing new is kept until there is room; reading \
                 goes on, and what was delivered meanwhile is delivered again"
                    .to_owned(),
            ),
            StoreError::Database(cause) if !error.is_of_the_data() => (
                FAILED,
                format!(
                    "the database refuses what is written: {cause}; nothing new is kept until it \
                     takes it, and what was delivered meanwhile is delivered again"
                ),
            ),
            _ => return,
        };
        let before = self.0.lock().replace((code, now));
        if let Some((other, _)) = before.filter(|(known, _)| *known != code) {
            troubles.ended(other, "the database refuses for another reason");
        }
        troubles.began(code, detail);
    }

    /// Something was committed.
    pub(super) fn worked(&self, now: Micros, troubles: &Troubles) {
        let mut failing = self.0.lock();
        let is_over = |(_, last): &mut (&str, Micros)| now.since(*last) >= LATELY;
        if let Some((code, _)) = failing.take_if(is_over) {
            troubles.ended(code, "the database takes what is written again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_told_once_and_over_some_time_after_the_last() {
        let (failing, troubles) = (Failing::default(), Troubles::default());
        let at = |second| Micros(0).plus(Duration::from_secs(second));
        let codes = || troubles.present().iter().map(|one| one.code).collect::<Vec<_>>();
        failing.failed(&StoreError::Busy("rows"), at(0), &troubles);
        assert!(codes().is_empty());
        failing.failed(&StoreError::DiskFull, at(1), &troubles);
        failing.failed(&StoreError::DiskFull, at(4), &troubles);
        failing.worked(at(8), &troubles);
        assert_eq!(codes(), [DISK_FULL]);
        failing.failed(&StoreError::Database(sqlx::Error::WorkerCrashed), at(8), &troubles);
        assert_eq!(codes(), [FAILED]);
        failing.worked(at(13), &troubles);
        failing.worked(at(14), &troubles);
        assert!(codes().is_empty());
        assert_eq!(troubles.news().len(), 4);
    }
}
