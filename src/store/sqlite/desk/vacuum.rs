//! Gives free pages back to the disk, in pieces whose size follows the time that they take.
//!
//! Some free pages stay: what is appended next goes there, and each page that is given back costs
//! the move of another.

use std::time::Duration;

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::{
    Desk,
    pieces::{PAGES_MAX, TRICKLE},
};
use crate::{
    clock,
    store::{StoreError, sqlite::SqliteStore},
};

/// How long pages are given back before what is past its time is looked at again.
const LOOK: Duration = Duration::from_secs(1);
/// On a full disk, where what a piece writes comes out of the reserve.
const PAGES_SHORT: i64 = 32;
/// This many free pages, and this part of the file, may stay free for longer.
const SPARE_PAGES: i64 = 256;
const SPARE_PART: i64 = 16;

impl SqliteStore {
    /// Gives free pages back to the disk for a while, in pieces between which others have their
    /// turn; whether there are many more.
    pub(crate) async fn vacuum(&self) -> Result<bool, StoreError> {
        let begun = clock::instant();
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
    let pages = desk.pieces.pages().min(most).min(free);
    if pages == 0 {
        return Ok(None);
    }
    let begun = clock::instant();
    desk.transact(move |desk| Box::pin(give_back(&mut desk.conn, pages))).await?;
    let took = begun.elapsed();
    desk.pieces.learn(pages, took);
    Ok(is_much.then_some(took))
}

/// Free pages, and all.
async fn counts(conn: &mut SqliteConnection) -> Result<(i64, i64), StoreError> {
    let free = sqlx::query_scalar("PRAGMA freelist_count").fetch_one(&mut *conn).await?;
    let all = sqlx::query_scalar("PRAGMA page_count").fetch_one(conn).await?;
    Ok((free, all))
}

async fn give_back(conn: &mut SqliteConnection, pages: i64) -> Result<(), StoreError> {
    let sql = format!("PRAGMA incremental_vacuum({pages})");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await?;
    Ok(())
}
