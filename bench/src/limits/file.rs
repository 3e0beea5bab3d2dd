//! A raw SQLite file with the relay's tables and settings.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use rusqlite::{Connection, OpenFlags, params};

use crate::{
    event::{Ids, Row},
    measure::{Run, Watch},
};

/// Events of a page.
pub(super) const PAGE: i64 = 1_000;
/// A slot of the relay's log is its topic's number and the version (migrations/sqlite).
pub(super) const TOPIC_BITS: u32 = 40;
/// A page of the relay's log: from a slot, to a slot, at most so many.
pub(super) const PAGE_SQL: &str = "SELECT slot, recorded, attributes, form, data FROM events \
    WHERE slot BETWEEN ?1 AND ?2 ORDER BY slot LIMIT ?3";

/// A new file with the settings that the relay runs with.
pub(super) struct Log {
    conn: Connection,
    head: u64,
    hashes: Vec<u8>,
}

impl Log {
    /// Makes it.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let conn = Connection::open(path)?;
        for (name, value) in crate::machine::SETTINGS {
            conn.pragma_update(None, name, value)?;
        }
        conn.execute_batch(
            "CREATE TABLE events (slot INTEGER PRIMARY KEY, recorded INTEGER NOT NULL, \
             attributes TEXT NOT NULL, form INTEGER NOT NULL, data BLOB) STRICT; \
             CREATE TABLE dedupe (slot INTEGER PRIMARY KEY, recorded INTEGER NOT NULL, \
             hashes BLOB NOT NULL) STRICT; \
             CREATE TABLE topics (id INTEGER PRIMARY KEY, head INTEGER NOT NULL) STRICT; \
             INSERT INTO topics VALUES (1, 0)",
        )?;
        Ok(Self { conn, head: 0, hashes: Vec::new() })
    }

    /// One transaction: the events, their dedupe row, and the head.
    pub(super) fn append<'a>(
        &mut self,
        events: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<()> {
        let first = self.head + 1;
        self.hashes.clear();
        let transaction = self.conn.transaction()?;
        {
            let mut insert =
                transaction.prepare_cached("INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5)")?;
            for (attributes, data) in events {
                self.head += 1;
                let slot = i64::try_from(1 << TOPIC_BITS | self.head)?;
                insert.execute(params![slot, 0, attributes, 1, data])?;
                // As random as a hash is.
                self.hashes.extend_from_slice(&attributes.as_bytes()[7..23]);
            }
            let slot = i64::try_from(1 << TOPIC_BITS | first)?;
            transaction
                .prepare_cached("INSERT INTO dedupe VALUES (?1, ?2, ?3)")?
                .execute(params![slot, 0, self.hashes])?;
            transaction
                .prepare_cached("UPDATE topics SET head = ?1 WHERE id = 1")?
                .execute([i64::try_from(self.head)?])?;
        }
        transaction.commit()?;
        Ok(())
    }
}

/// Rows of a batch, to be renewed for the next.
pub(super) fn rows(count: u64) -> Vec<Row> {
    (0..count).map(|_| Row::new()).collect()
}

/// With ids of their own.
pub(super) fn renew(rows: &mut [Row], ids: &mut Ids) {
    for row in rows {
        row.renew(ids);
    }
}

/// Reads the whole log of a relay's file, a page at a time.
pub(super) fn cursor(path: &Path) -> Result<Run> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    let head: i64 = conn
        .query_row("SELECT max(slot) FROM events", [], |row| row.get(0))
        .context("the file has no events")?;
    let (topic, head) = (head >> TOPIC_BITS, head & ((1 << TOPIC_BITS) - 1));
    let watch = Watch::start(std::process::id())?;
    let (mut after, mut count, mut bytes) = (0, 0, 0);
    let mut page = conn.prepare(PAGE_SQL)?;
    let slot = |version: i64| (topic << TOPIC_BITS) | version;
    while after < head {
        let mut rows = page.query(params![slot(after + 1), slot(head), PAGE])?;
        while let Some(row) = rows.next()? {
            bytes += row.get_ref(2)?.as_str()?.len() + row.get_ref(4)?.as_blob()?.len();
            count += 1;
        }
        after += PAGE;
    }
    ensure!(bytes > 0, "the events are empty");
    watch.stop(count)
}
