//! The wall and the steady reading of one moment, and the way from the one to the other.

use crate::event::Micros;

/// The wall and the steady reading of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// What the wall showed.
    pub wall: Micros,
    /// What the steady reading showed.
    pub steady: Micros,
}

impl Reading {
    /// Microseconds to add to steady moments that are to be stored or shown.
    #[must_use]
    pub const fn to_store(self) -> i64 {
        self.wall.0.saturating_sub(self.steady.0)
    }

    /// Microseconds to add to moments that were stored when the wall showed `saved`, to have them
    /// steady. What was stored at a later moment than now was stored before the wall was set back,
    /// and is moved by as much.
    #[must_use]
    pub fn of_stored(self, saved: Micros) -> i64 {
        let set_back = saved.0.saturating_sub(self.wall.0).max(0);
        self.steady.0.saturating_sub(self.wall.0).saturating_sub(set_back)
    }

    /// The steady moment of one that was computed from this wall.
    #[must_use]
    pub const fn steady_at(self, by_wall: Micros) -> Micros {
        Micros(by_wall.0.saturating_sub(self.to_store()))
    }
}
