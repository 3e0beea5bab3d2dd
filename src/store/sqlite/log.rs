//! Reading the log: the tail first, else one row on a connection of the readers'.
//!
//! A row that is handed on by itself costs several times what it costs to read it, so SQLite puts
//! all rows of a read into one ([`sheet`]).

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{Row as _, SqliteConnection};
use tokio::sync::watch;

use super::{
    QUEUE_BYTES, Shared, SqliteStore,
    file::{holes::MISSING, row::Cells, sheet, slot},
};
use crate::{
    event::{Event, Micros, Topic, Version},
    store::{
        Append, Damage, Log, NewEvent, Page, Placed, Read, StoreError, TopicState,
        rules::{bounds, keys, ops::Hot},
    },
};

/// Why an event is damage whose row is there.
pub(super) const EVENT_DAMAGED: &str = "event_damaged";

#[async_trait]
impl Log for SqliteStore {
    async fn append(&self, mut append: Append) -> Result<Vec<Placed>, StoreError> {
        if append.events.len() > bounds::APPEND_MAX {
            return Err(StoreError::Full(format!(
                "an append takes at most {} events",
                bounds::APPEND_MAX
            )));
        }
        let size_kib = append.events.iter().map(NewEvent::size_bytes).sum::<usize>() >> 10;
        let permits = u32::try_from(size_kib.clamp(1, QUEUE_BYTES >> 10)).unwrap_or(1);
        let _room = self.room.acquire_many(permits).await.map_err(|_| StoreError::Closed)?;
        let keys =
            append.events.iter().map(|event| keys::of(&self.shared.hash_key, event)).collect();
        // A slice would keep the producer's whole page in memory.
        append.events.iter_mut().for_each(|event| event.data = event.data.copied());
        self.hot(|reply| Hot::Append { append: Box::new(append), keys, reply }).await
    }

    async fn read(&self, topic: &Topic, read: Read) -> Result<Page, StoreError> {
        page(&self.shared, topic, read).await
    }

    async fn version_before(&self, topic: &Topic, moment: Micros) -> Result<Version, StoreError> {
        version_before(&self.shared, topic, moment).await
    }

    async fn head(&self, topic: &Topic) -> Result<watch::Receiver<Version>, StoreError> {
        Ok(self.shared.published(topic)?.head.subscribe())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }
}

/// One read's worth of a topic.
pub(super) async fn page(shared: &Shared, topic: &Topic, read: Read) -> Result<Page, StoreError> {
    let state = shared.published(topic)?.state;
    let read = Read {
        max_events: read.max_events.min(bounds::READ_EVENTS_MAX),
        max_bytes: read.max_bytes.min(bounds::READ_BYTES_MAX),
        up_to: read.up_to.min(state.head),
        ..read
    };
    if read.after >= read.up_to || read.max_events == 0 {
        return Ok(Page { events: Vec::new(), passed: None, state });
    }
    if let Some(events) = shared.tail.read(state.id, &read) {
        return Ok(Page { events, passed: None, state });
    }
    let kept = read.after.next().max(state.oldest);
    let first = shared.holes.after(state.id, kept);
    if first > read.up_to {
        let passed = (kept <= read.up_to).then_some(read.up_to);
        return Ok(Page { events: Vec::new(), passed, state });
    }
    let read = Read { after: first.previous(), ..read };
    let mut found = look(shared, &state, &read).await;
    if found.as_ref().is_err_and(is_damage) && !is_one(&read) {
        // One by one it shows which it is.
        found = look(shared, &state, &Read { max_events: 1, up_to: first, ..read }).await;
    }
    match found {
        Ok(events) => Ok(Page { events, passed: None, state }),
        Err(error) if is_damage(&error) => Err(damaged(shared, &state, first, &error)),
        Err(error) => Err(error),
    }
}

async fn look(
    shared: &Shared,
    state: &TopicState,
    read: &Read,
) -> Result<Vec<Arc<Event>>, StoreError> {
    let events = from_file(shared, state, read).await?;
    whole(shared, state, read, events).await
}

/// Whether it is the row that is wrong, and not the moment.
pub(super) fn is_damage(error: &StoreError) -> bool {
    // 11: SQLITE_CORRUPT.
    let corrupt = |code: &str| code.parse::<u32>().is_ok_and(|code| code & 0xff == 11);
    match error {
        StoreError::Unreadable { .. } => true,
        StoreError::Database(sqlx::Error::Database(error)) => {
            error.code().is_some_and(|code| corrupt(&code))
        }
        _ => false,
    }
}

fn is_one(read: &Read) -> bool {
    read.max_events == 1 && read.up_to == read.after.next()
}

fn damaged(
    shared: &Shared,
    state: &TopicState,
    version: Version,
    error: &StoreError,
) -> StoreError {
    let topic = state.topic.clone();
    let detail = match error {
        StoreError::Unreadable { problem, .. } => problem.clone(),
        _ => "the page of the file that has it is damaged".into(),
    };
    let detail = format!("version {version} is damaged: {detail}");
    let (from, to, reason) = (version, version, EVENT_DAMAGED);
    shared.holes.find(state.id, Damage { topic, from, to, reason, detail })
}

/// The events up to the first that is missing; an error when that is the first of all.
async fn whole(
    shared: &Shared,
    state: &TopicState,
    read: &Read,
    mut events: Vec<Arc<Event>>,
) -> Result<Vec<Arc<Event>>, StoreError> {
    let mut next = read.after.next();
    for (index, event) in events.iter().enumerate() {
        if event.version != next && shared.holes.after(state.id, next) != event.version {
            if index > 0 {
                events.truncate(index);
                return Ok(events);
            }
            return missing(shared, state, next, event.version.previous()).await;
        }
        next = event.version.next();
    }
    if events.is_empty() { missing(shared, state, next, read.up_to).await } else { Ok(events) }
}

/// Rows are not there: was that retention, a deletion of the topic, or damage?
async fn missing(
    shared: &Shared,
    state: &TopicState,
    first: Version,
    last: Version,
) -> Result<Vec<Arc<Event>>, StoreError> {
    let last = shared.holes.before(state.id, first, last);
    let sql = "-- missing\nSELECT oldest, (SELECT min(slot) FROM events WHERE slot BETWEEN $2 AND $3) \
        AS next FROM topics WHERE id = $1";
    let row = sqlx::query(sql)
        .bind(state.id)
        .bind(slot::of(state.id, first))
        .bind(slot::of(state.id, last))
        .fetch_optional(&shared.readers)
        .await?;
    let Some(row) = row else {
        return Err(StoreError::not_found("topic", state.topic.as_str()));
    };
    let row = Cells::of(&row, "topics");
    let found = row.get::<Option<i64>>("next")?.map(|slot| Version(slot::split(slot).1));
    // What lies before it went by age or number since the topic was looked at.
    let first = first.max(row.get("oldest")?);
    let last = found.map_or(last, Version::previous);
    if first > last {
        return Ok(Vec::new());
    }
    let (topic, reason) = (state.topic.clone(), MISSING);
    let detail = format!("versions {first} to {last} are missing in the file");
    Err(shared.holes.find(state.id, Damage { topic, from: first, to: last, reason, detail }))
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
    // A damaged row can have no value where all have one, and must not shift those behind it.
    let sql = "-- page\nSELECT group_concat(slot || ',' || coalesce(recorded, -1) || ',' || \
        coalesce(form, -1) || ',' || coalesce(octet_length(attributes), 0) || ',' || \
        coalesce(octet_length(data), 0) || ',' || coalesce(checksum, -1), ';'), \
        coalesce(group_concat(attributes, ''), ''), coalesce(group_concat(data, ''), x'') \
        FROM (SELECT * FROM events WHERE slot BETWEEN $1 AND $2 ORDER BY slot)";
    let row = sqlx::query(sql).bind(first).bind(last).fetch_one(&mut *conn).await?;
    match row.try_get::<Option<&str>, _>(0)? {
        Some(heads) => sheet::events(heads, row.try_get(1)?, row.try_get(2)?, state),
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
        coalesce(octet_length(attributes), 0) + coalesce(octet_length(data), 0) AS bytes \
        FROM events WHERE slot BETWEEN $1 AND $2 ORDER BY slot LIMIT $3)";
    let row = sqlx::query(sql)
        .bind(first)
        .bind(slot::of(state.id, read.up_to))
        .bind(i64::try_from(read.max_events).unwrap_or(i64::MAX))
        .fetch_one(conn)
        .await?;
    let sizes = row.try_get::<Option<&str>, _>(0)?;
    sizes.map_or(Ok(None), |sizes| sheet::end(sizes, read.max_bytes))
}

/// As [`sheet::kept_event`]; damage is told of.
pub(super) fn kept_event(
    shared: &Shared,
    row: Cells<'_>,
    version: Version,
    state: &TopicState,
) -> Result<Option<Arc<Event>>, StoreError> {
    sheet::kept_event(row, version, state).map_err(|error| damaged(shared, state, version, &error))
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
        let recorded = row.map(|row| Cells::of(&row, "events").get("recorded")).transpose()?;
        // Trimmed in between: as old as can be.
        if recorded.unwrap_or(Micros(i64::MIN)) < moment {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(Version(low))
}
