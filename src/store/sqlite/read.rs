//! Reading the log: the tail first, else one row on a connection of the readers'.
//!
//! A row that is handed on by itself costs several times what it costs to read it, so SQLite puts
//! all rows of a read into one ([`sheet`]).

use std::sync::{Arc, atomic::Ordering};

use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use super::{
    Shared,
    commit::signed,
    file::sibling,
    memory::{unsigned, version},
    sheet, slot,
};
use crate::{
    event::{Data, Event, Micros, Topic, Version},
    store::{Gap, Page, Read, StoreError, TopicState},
};

const READ_MAX_EVENTS: usize = 1_000;
const READ_MAX_BYTES: usize = 4 << 20;

/// One read's worth of a topic.
pub(super) async fn page(shared: &Shared, topic: &Topic, read: Read) -> Result<Page, StoreError> {
    let state = shared.published(topic)?.state;
    let read = Read {
        max_events: read.max_events.min(READ_MAX_EVENTS),
        max_bytes: read.max_bytes.min(READ_MAX_BYTES),
        up_to: read.up_to.min(state.head),
        ..read
    };
    if read.after >= read.up_to || read.max_events == 0 {
        return Ok(Page { events: Vec::new(), state });
    }
    let events = match shared.tail.read(state.id, &read) {
        Some(events) => events,
        None => from_file(shared, &state, &read).await?,
    };
    Ok(Page { events, state })
}

async fn from_file(
    shared: &Shared,
    state: &TopicState,
    read: &Read,
) -> Result<Vec<Arc<Event>>, StoreError> {
    let _gate = shared.gate.read().await;
    let mut conn = shared.readers.acquire().await?;
    let first = slot::of(state.id, read.after.next());
    let Some(last) = last_slot(&mut conn, first, state, read).await? else {
        return Ok(Vec::new());
    };
    let sql = "-- page\nSELECT group_concat(slot || ',' || recorded || ',' || form || ',' || \
        octet_length(attributes) || ',' || coalesce(octet_length(data), 0), ';'), \
        group_concat(attributes, ''), coalesce(group_concat(data, ''), x'') \
        FROM (SELECT * FROM events WHERE slot BETWEEN $1 AND $2 ORDER BY slot)";
    let row = sqlx::query(sql).bind(first).bind(last).fetch_one(&mut *conn).await?;
    match row.get::<Option<&str>, _>(0) {
        Some(heads) => sheet::events(heads, row.get(1), row.get(2), state),
        None => Ok(Vec::new()),
    }
}

/// The last row that goes into a read of its size.
async fn last_slot(
    conn: &mut SqliteConnection,
    first: i64,
    state: &TopicState,
    read: &Read,
) -> Result<Option<i64>, StoreError> {
    if read.max_events == 1 && read.up_to == read.after.next() {
        return Ok(Some(first));
    }
    // Measured where the columns are read: there SQLite looks at no more than their heads.
    let sql = "-- page sizes\nSELECT group_concat(slot || ',' || bytes, ';') FROM (SELECT slot, \
        octet_length(attributes) + coalesce(octet_length(data), 0) AS bytes \
        FROM events WHERE slot BETWEEN $1 AND $2 ORDER BY slot LIMIT $3)";
    let row = sqlx::query(sql)
        .bind(first)
        .bind(slot::of(state.id, read.up_to))
        .bind(i64::try_from(read.max_events).unwrap_or(i64::MAX))
        .fetch_one(conn)
        .await?;
    row.get::<Option<&str>, _>(0).map_or(Ok(None), |sizes| sheet::end(sizes, read.max_bytes))
}

/// An event kept beside an exception or a dead letter, in the columns `recorded`, `attributes`,
/// `form`, `data` from `column` on; `None` when the log still has it.
pub(super) fn kept_event(
    row: &SqliteRow,
    column: usize,
    version: Version,
    state: &TopicState,
    table: &'static str,
) -> Result<Option<Arc<Event>>, StoreError> {
    let Some(attributes) = row.get::<Option<&str>, _>(column + 1) else { return Ok(None) };
    Ok(Some(Arc::new(Event {
        version,
        epoch: state.epoch_of(version),
        recorded: Micros(row.get(column)),
        attributes: attributes.into(),
        data: data(row, column + 2, table)?,
    })))
}

/// Data in the columns `form` and `data` from `column` on.
pub(super) fn data(
    row: &SqliteRow,
    column: usize,
    table: &'static str,
) -> Result<Data, StoreError> {
    let bytes = row.get::<Option<&[u8]>, _>(column + 1).unwrap_or(&[]);
    sheet::formed(row.get(column), bytes, table)
}

/// The last version recorded before `moment`: versions and `recorded` rise together.
pub(super) async fn version_before(
    shared: &Shared,
    topic: &Topic,
    moment: Micros,
) -> Result<Version, StoreError> {
    let state = shared.published(topic)?.state;
    let _gate = shared.gate.read().await;
    search(&mut *shared.readers.acquire().await?, &state, moment).await
}

/// As [`version_before`], on a connection at hand.
pub(super) async fn search(
    conn: &mut SqliteConnection,
    state: &TopicState,
    moment: Micros,
) -> Result<Version, StoreError> {
    let (mut low, mut high) = (state.oldest.previous().0, state.head.0);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        let sql = "-- recorded\nSELECT recorded FROM events WHERE slot >= $1 ORDER BY slot LIMIT 1";
        let row = sqlx::query(sql)
            .bind(slot::of(state.id, Version(middle)))
            .fetch_optional(&mut *conn)
            .await?;
        // Trimmed in between: as old as can be.
        let recorded = row.map_or(i64::MIN, |row| row.get(0));
        if recorded < moment.0 {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(Version(low))
}

/// The gaps of a topic, newest first.
pub(super) async fn gaps(
    shared: &Shared,
    topic: &Topic,
    limit: usize,
) -> Result<Vec<Gap>, StoreError> {
    let id = shared.published(topic)?.state.id;
    let sql = "-- gaps\nSELECT source, version, recorded, reason, detail FROM gaps \
        WHERE topic = $1 ORDER BY id DESC LIMIT $2";
    let rows =
        sqlx::query(sql).bind(id).bind(signed(limit as u64)).fetch_all(&shared.readers).await?;
    let gap = |row: &SqliteRow| Gap {
        source: row.get(0),
        version: version(row, 1),
        recorded: Micros(row.get(2)),
        reason: row.get(3),
        detail: row.get(4),
    };
    Ok(rows.iter().map(gap).collect())
}

/// How full everything is.
pub(super) async fn gauges(shared: &Shared) -> Vec<(&'static str, f64)> {
    #[expect(clippy::cast_precision_loss, reason = "gauges are doubles")]
    let number = |count: u64| count as f64;
    let file = |suffix| {
        let file = std::fs::metadata(sibling(&shared.path, suffix));
        number(file.map_or(0, |file| file.len()))
    };
    let mut gauges = vec![
        ("store_bytes", file("")),
        ("store_wal_bytes", file("-wal")),
        ("store_tail_bytes", number(shared.tail.bytes() as u64)),
        ("store_expired_events", number(shared.expired.load(Ordering::Relaxed))),
        ("store_trimmed_dead_letters", number(shared.dead_trimmed.load(Ordering::Relaxed))),
        ("store_pending_events", number(shared.pending.load(Ordering::Relaxed) as u64)),
        ("store_dedupe_keys", number(shared.keys.load(Ordering::Relaxed) as u64)),
    ];
    let sql = "-- counts\nSELECT (SELECT count(*) FROM exceptions), \
        (SELECT count(*) FROM dead_letters), (SELECT count(*) FROM journal)";
    match sqlx::query(sql).fetch_one(&shared.readers).await {
        Ok(row) => gauges.extend([
            ("store_exceptions", number(unsigned(&row, 0))),
            ("store_dead_letters", number(unsigned(&row, 1))),
            ("store_journal_events", number(unsigned(&row, 2))),
        ]),
        Err(error) => tracing::warn!(%error, "rows were not counted for the gauges"),
    }
    gauges
}
