//! How long a source has shown nothing new, and when that is told.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::event::Micros;

/// Since when a source has shown nothing new; kept with its report, so that a restart neither
/// forgets a silence nor tells of it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SourceSilence)]
pub struct Silence {
    /// When it was seen that the source had appended events, or when it was first asked.
    #[serde(rename = "since_us")]
    #[schema(value_type = i64)]
    pub(super) since: Micros,
    /// Events it had appended by then, ever.
    pub(super) appended: u64,
    /// Whether this silence was told of.
    pub(super) told: bool,
}

impl Silence {
    /// The silence when, at `now`, a source has appended so many events, ever.
    pub(super) fn after(before: Option<Self>, appended: u64, now: Micros) -> Self {
        match before {
            Some(before) if before.appended == appended => before,
            _ => Self { since: now, appended, told: false },
        }
    }

    /// Notes that it is told of once it has lasted for `silent_after`.
    pub(super) fn fall_due(mut self, silent_after: Option<Duration>, now: Micros) -> Self {
        self.told |= silent_after.is_some_and(|limit| now.since(self.since) >= limit);
        self
    }
}
