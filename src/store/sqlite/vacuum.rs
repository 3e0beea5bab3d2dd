//! Gives free pages back to the disk, in pieces whose size follows the time that they take.
//!
//! Some free pages stay: what is appended next goes there, and each page that is given back costs
//! the move of another.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};
use tokio::time::Instant;

use super::{SqliteStore, writer::Desk};
use crate::store::StoreError;

/// How long a piece may take: an append waits for one at most.
const PIECE: Duration = Duration::from_millis(20);
/// How long pages are given back before what is past its time is looked at again.
const LOOK: Duration = Duration::from_secs(1);
/// Pages of a piece.
const PAGES_MIN: i64 = 16;
const PAGES_MAX: i64 = 4_096;
/// On a full disk, where what a piece writes comes out of the reserve.
const PAGES_SHORT: i64 = 32;
/// Pages that are given back at each look, however few are free.
const TRICKLE: i64 = 200;
/// This many free pages, and this part of the file, may stay free for longer.
const SPARE_PAGES: i64 = 256;
const SPARE_PART: i64 = 16;

/// How many pages fit into the time of a piece.
pub(super) struct Pace(i64);

impl Default for Pace {
    fn default() -> Self {
        Self(TRICKLE)
    }
}

impl Pace {
    /// Learns from a piece of so many pages that took so long: at most doubles, falls at once.
    fn learn(&mut self, pages: i64, took: Duration) {
        let took_us = i64::try_from(took.as_micros()).unwrap_or(i64::MAX).max(1);
        let piece_us = i64::try_from(PIECE.as_micros()).unwrap_or(i64::MAX);
        let fits = pages.saturating_mul(piece_us) / took_us;
        self.0 = fits.min(self.0 * 2).clamp(PAGES_MIN, PAGES_MAX);
    }
}

impl SqliteStore {
    /// Gives free pages back to the disk for a while, in pieces between which others have their
    /// turn; whether there are many more.
    pub(super) async fn vacuum(&self) -> Result<bool, StoreError> {
        let begun = Instant::now();
        while let Some(took) = self.at_desk(|desk| Box::pin(piece(desk))).await? {
            if begun.elapsed() >= LOOK {
                return Ok(true);
            }
            tokio::time::sleep(took).await;
        }
        Ok(false)
    }
}

/// Gives one piece back; answers how long that took while there is more to be given back soon.
async fn piece(desk: &mut Desk) -> Result<Option<Duration>, StoreError> {
    let (free, all) = counts(&mut desk.conn).await?;
    let is_short = desk.shared.room.is_short();
    let is_much = free > SPARE_PAGES.max(all / SPARE_PART) || is_short && free > 0;
    let most = if is_short {
        PAGES_SHORT
    } else if is_much {
        PAGES_MAX
    } else {
        TRICKLE
    };
    let pages = desk.vacuum.0.min(most).min(free);
    if pages == 0 {
        return Ok(None);
    }
    let begun = Instant::now();
    desk.transact(move |desk| Box::pin(give_back(&mut desk.conn, pages))).await?;
    let took = begun.elapsed();
    desk.vacuum.learn(pages, took);
    Ok(is_much.then_some(took))
}

/// Free pages, and all.
async fn counts(conn: &mut SqliteConnection) -> Result<(i64, i64), StoreError> {
    let free = sqlx::query("PRAGMA freelist_count").fetch_one(&mut *conn).await?.get(0);
    let all = sqlx::query("PRAGMA page_count").fetch_one(conn).await?.get(0);
    Ok((free, all))
}

async fn give_back(conn: &mut SqliteConnection, pages: i64) -> Result<(), StoreError> {
    let sql = format!("PRAGMA incremental_vacuum({pages})");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_follow_the_time_that_they_take() {
        let mut pace = Pace::default();
        for _ in 0..10 {
            let pages = pace.0;
            // 20 microseconds for a page: 1,000 of them fit.
            pace.learn(pages, Duration::from_micros(20) * u32::try_from(pages).unwrap());
        }
        assert_eq!(pace.0, 1_000);
        pace.learn(1_000, Duration::from_secs(1));
        assert_eq!(pace.0, PAGES_MIN.max(20));
        pace.learn(20, Duration::from_secs(9));
        assert_eq!(pace.0, PAGES_MIN);
    }
}
