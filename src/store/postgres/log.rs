//! Reading the log: the tail first, else its partitions.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::PgConnection;
use tokio::sync::watch;

use super::{
    PostgresStore, holes,
    row::{Cells, signed},
    shared::Shared,
};
use crate::{
    event::{Event, Micros, Topic, Version},
    store::{
        Append, Log, Page, Placed, Read, StoreError, TopicState,
        rules::{bounds, keys, ops::Hot},
        sum,
    },
};

#[async_trait]
impl Log for PostgresStore {
    async fn append(&self, append: Append) -> Result<Vec<Placed>, StoreError> {
        if append.events.len() > bounds::APPEND_MAX {
            return Err(StoreError::Full(format!(
                "an append takes at most {} events",
                bounds::APPEND_MAX
            )));
        }
        let keys =
            append.events.iter().map(|event| keys::of(&self.shared.hash_key, event)).collect();
        let topic = append.topic.clone();
        let append = Box::new(append);
        self.lanes.ask(&topic, |reply| Hot::Append { append, keys, reply }).await
    }

    async fn read(&self, topic: &Topic, read: Read) -> Result<Page, StoreError> {
        page(&self.shared, topic, read).await
    }

    async fn version_before(&self, topic: &Topic, moment: Micros) -> Result<Version, StoreError> {
        let state = self.shared.fresh(topic).await?.state;
        search(&mut *self.shared.pool.acquire().await?, &state, moment).await
    }

    async fn head(&self, topic: &Topic) -> Result<watch::Receiver<Version>, StoreError> {
        Ok(self.shared.fresh(topic).await?.head.subscribe())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }
}

/// One read's worth of a topic.
pub(super) async fn page(shared: &Shared, topic: &Topic, read: Read) -> Result<Page, StoreError> {
    let state = match shared.published(topic) {
        // Another node may have appended what is asked for.
        Some(known) if read.after < known.state.head => known.state,
        _ => shared.fresh(topic).await?.state,
    };
    let read = Read {
        max_events: read.max_events.min(bounds::READ_EVENTS_MAX),
        max_bytes: read.max_bytes.min(bounds::READ_BYTES_MAX),
        up_to: read.up_to.min(state.head),
        ..read
    };
    if read.after >= read.up_to || read.max_events == 0 {
        return Ok(Page { events: Vec::new(), passed: None, state });
    }
    // The newest events of this node need not be the newest of the topic.
    if let Some(events) = shared.tail.read(state.id, &read)
        && !events.is_empty()
    {
        return Ok(Page { events, passed: None, state });
    }
    let events = from_tables(shared, &state, &read).await?;
    let kept = read.after.next().max(state.oldest);
    let next = events.first().map_or(read.up_to.next(), |first| first.version);
    if kept < next {
        let lost = holes::after(&shared.pool, state.id, kept).await?;
        if lost >= next {
            let passed = events.is_empty().then_some(read.up_to);
            return Ok(Page { events, passed, state });
        }
        let kept = lost;
        // What went by age or number since the topic was looked at is no damage.
        let fresh = shared.fresh(topic).await?.state;
        if fresh.id == state.id && fresh.oldest > kept {
            // So the reader learns that it went.
            let events = events.into_iter().filter(|event| event.version >= fresh.oldest);
            return Ok(Page { events: events.collect(), passed: None, state: fresh });
        }
        if fresh.id == state.id {
            let to = next.previous();
            return Err(StoreError::Damaged {
                topic: topic.clone(),
                from: kept,
                to,
                problem: format!("versions {kept} to {to} are missing in the database"),
            });
        }
    }
    Ok(Page { events, passed: None, state })
}

/// Events up to the first that is damaged; an error when that is the first of all.
async fn from_tables(
    shared: &Shared,
    state: &TopicState,
    read: &Read,
) -> Result<Vec<Arc<Event>>, StoreError> {
    // The spans name the partitions; sizes are known without reading what is stored apart.
    let sql = "-- page\nSELECT version, recorded, form, checksum, attributes, data FROM (\
        SELECT e.*, sum(octet_length(attributes) + coalesce(octet_length(data), 0)) \
        OVER (ORDER BY version) AS bytes, row_number() OVER (ORDER BY version) AS place \
        FROM events e WHERE topic = $1 AND version BETWEEN $2 AND $3 \
        AND slot >= (SELECT coalesce(max(slot), 0) FROM spans WHERE topic = $1 AND first <= $2) \
        AND slot <= (SELECT coalesce(max(slot), 0) FROM spans WHERE topic = $1 AND first <= $3) \
        ORDER BY version LIMIT $4) page WHERE bytes <= $5 OR place = 1 ORDER BY version";
    let rows = sqlx::query(sql)
        .bind(state.id)
        .bind(signed(read.after.next().max(state.oldest).0))
        .bind(signed(read.up_to.0))
        .bind(signed(read.max_events as u64))
        .bind(signed(read.max_bytes as u64))
        .fetch_all(&shared.pool)
        .await?;
    let mut events: Vec<Arc<Event>> = Vec::with_capacity(rows.len());
    for row in &rows {
        let row = Cells::of(row, "events");
        let version: Version = row.get("version")?;
        if events.last().is_some_and(|last| last.version.next() != version) {
            break;
        }
        let event = row.event(version, state);
        let event =
            event.and_then(|event| row.check(sum::of_event(state.id, &event)).map(|()| event));
        match event {
            Ok(event) => events.push(Arc::new(event)),
            Err(_) if !events.is_empty() => break,
            Err(error) => {
                return Err(StoreError::Damaged {
                    topic: state.topic.clone(),
                    from: version,
                    to: version,
                    problem: format!("version {version} is damaged: {error}"),
                });
            }
        }
    }
    Ok(events)
}

/// The last version recorded before `moment`: versions and `recorded` rise together.
pub(super) async fn search(
    conn: &mut PgConnection,
    state: &TopicState,
    moment: Micros,
) -> Result<Version, StoreError> {
    let (mut low, mut high) = (state.oldest.previous().0, state.head.0);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        let sql = "-- recorded\nSELECT recorded FROM events WHERE topic = $1 AND version = $2 \
            AND slot = (SELECT slot FROM spans WHERE topic = $1 AND first <= $2 \
            ORDER BY first DESC LIMIT 1)";
        let recorded: Option<i64> = sqlx::query_scalar(sql)
            .bind(state.id)
            .bind(signed(middle))
            .fetch_optional(&mut *conn)
            .await?;
        let recorded = match recorded {
            None => holes::recorded_behind(&mut *conn, state.id, Version(middle)).await?,
            recorded => recorded,
        };
        // Trimmed in between: as old as can be.
        if recorded.unwrap_or(i64::MIN) < moment.0 {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(Version(low))
}
