//! How many free pages are given back to the disk at once: as many as fit into a piece of time.

use std::time::Duration;

/// How long a piece may take: an append waits for one at most.
const PIECE: Duration = Duration::from_millis(20);
/// Pages of a piece.
const PAGES_MIN: i64 = 16;
pub(crate) const PAGES_MAX: i64 = 4_096;
/// Pages that are given back at each look, however few are free.
pub(crate) const TRICKLE: i64 = 200;

/// How many pages fit into the time of a piece.
pub(crate) struct Pieces(i64);

impl Default for Pieces {
    fn default() -> Self {
        Self(TRICKLE)
    }
}

impl Pieces {
    /// Pages of the next piece.
    pub(crate) fn pages(&self) -> i64 {
        self.0
    }

    /// Learns from a piece of so many pages that took so long: at most doubles, falls at once.
    pub(crate) fn learn(&mut self, pages: i64, took: Duration) {
        let took_us = i64::try_from(took.as_micros()).unwrap_or(i64::MAX).max(1);
        let piece_us = i64::try_from(PIECE.as_micros()).unwrap_or(i64::MAX);
        let fits = pages.saturating_mul(piece_us) / took_us;
        self.0 = fits.min(self.0 * 2).clamp(PAGES_MIN, PAGES_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_follow_the_time_that_they_take() {
        let mut pieces = Pieces::default();
        for _ in 0..10 {
            let pages = pieces.0;
            // 20 microseconds for a page: 1,000 of them fit.
            pieces.learn(pages, Duration::from_micros(20) * u32::try_from(pages).unwrap());
        }
        assert_eq!(pieces.0, 1_000);
        pieces.learn(1_000, Duration::from_secs(1));
        assert_eq!(pieces.0, PAGES_MIN.max(20));
        pieces.learn(20, Duration::from_secs(9));
        assert_eq!(pieces.0, PAGES_MIN);
    }
}
