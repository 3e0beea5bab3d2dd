//! A log line that would come several times a second is written once a minute, with how often.

use std::time::Duration;

use tokio::time::Instant;

use crate::clock;

/// How often it is written at most.
const EVERY: Duration = Duration::from_mins(1);

/// How often something happened since it was last logged.
#[derive(Debug, Default)]
pub struct Summed {
    logged: Option<Instant>,
    count: u64,
}

impl Summed {
    /// Counts one more; answers how often it happened when that is to be logged now: at once after a
    /// quiet minute, else when the minute is over.
    pub fn count(&mut self) -> Option<u64> {
        self.count += 1;
        if self.logged.is_some_and(|at| at.elapsed() < EVERY) {
            return None;
        }
        self.logged = Some(clock::instant());
        Some(std::mem::take(&mut self.count))
    }
}
