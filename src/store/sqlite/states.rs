//! Where one event stands at every subscription of its topic: one statement.

use sqlx::{Row as _, sqlite::SqliteRow};

use super::{
    Shared,
    file::row::{last_answer, name, parsed, signed, unsigned, version, versions},
};
use crate::{
    event::{Micros, Topic, Version},
    store::{EventPlace, EventState, StoreError},
};

/// The states of a version at the positions of its topic, by the names of their subscriptions.
pub(super) async fn of(
    shared: &Shared,
    topic: &Topic,
    at: Version,
) -> Result<Vec<EventState>, StoreError> {
    let state = shared.published(topic)?.state;
    let sql = "-- states\nSELECT s.name, p.job, p.reach, p.open, x.kind, x.due, x.tries, x.status, \
        x.error, d.reason, d.attempts, d.status, d.error, p.start_after \
        FROM positions p JOIN subscriptions s ON s.id = p.subscription \
        LEFT JOIN jobs j ON j.id = p.job \
        LEFT JOIN exceptions x ON x.position = p.id AND x.version = $2 \
        LEFT JOIN dead_letters d ON d.id = (SELECT max(id) FROM dead_letters o \
            WHERE o.subscription = p.subscription AND o.topic = p.topic \
            AND o.version <= $2 AND o.up_to >= $2 AND p.job IS NULL) \
        WHERE p.topic = $1 AND s.status <> 'deleted' \
        AND (p.job IS NULL OR $2 BETWEEN j.first AND j.last) ORDER BY s.name, p.job LIMIT $3";
    let _gate = shared.gate.read().await;
    let rows = sqlx::query(sql)
        .bind(state.id)
        .bind(signed(at.0))
        .bind(signed(EventState::MAX as u64))
        .fetch_all(&shared.readers)
        .await?;
    rows.iter().map(|row| event_state(row, at)).collect()
}

fn event_state(row: &SqliteRow, at: Version) -> Result<EventState, StoreError> {
    let open = versions(row.get(3)).contains(&at);
    let kind: Option<&str> = row.get(4);
    let kind = kind.map(|kind| parsed(kind, "exceptions")).transpose()?;
    let reason: Option<&str> = row.get(9);
    let reason = reason.map(|reason| parsed(reason, "dead_letters")).transpose()?;
    let tries = |column| row.get::<Option<i64>, _>(column).and_then(|n| u32::try_from(n).ok());
    let place = match (kind, reason) {
        (Some(kind), _) => EventPlace::Excepted {
            kind,
            due: Micros(row.get::<Option<i64>, _>(5).unwrap_or_default()),
            attempts: tries(6).unwrap_or(0),
            last: last_answer(row, 7),
        },
        (None, _) if open => EventPlace::InFlight,
        // A letter from before a rewind tells of the past.
        (None, _) if at > version(row, 2) => EventPlace::Waiting,
        (None, Some(reason)) => EventPlace::Dead {
            reason,
            attempts: tries(10).unwrap_or(0),
            last: last_answer(row, 11),
        },
        (None, None)
            if row.get::<Option<i64>, _>(13).is_some_and(|start| signed(at.0) <= start) =>
        {
            EventPlace::BeforeStart
        }
        (None, None) => EventPlace::Settled,
    };
    Ok(EventState {
        subscription: name(row, 0, "subscriptions")?,
        replay: row.get::<Option<i64>, _>(1).map(|_| unsigned(row, 1).cast_signed()),
        place,
    })
}
