//! Where one event stands at every subscription of its topic: one statement.

use sqlx::postgres::PgRow;

use super::{
    row::{Cells, signed},
    shared::Shared,
};
use crate::{
    event::{Topic, Version},
    store::{DeadReason, EventPlace, EventState, ExceptionKind, LastAnswer, StoreError},
};

/// The states of a version at the positions of its topic, by the names of their subscriptions.
pub(super) async fn of(
    shared: &Shared,
    topic: &Topic,
    at: Version,
) -> Result<Vec<EventState>, StoreError> {
    let state = shared.fresh(topic).await?.state;
    let sql = "-- states\nSELECT s.name, p.job, p.reach, p.open, p.start_after, x.kind, x.due, x.tries, \
        x.status, x.error, d.reason, d.attempts, d.status AS last_status, d.error AS last_error \
        FROM positions p JOIN subscriptions s ON s.id = p.subscription \
        LEFT JOIN jobs j ON j.id = p.job \
        LEFT JOIN exceptions x ON x.topic = p.topic AND x.position = p.id AND x.version = $2 \
        LEFT JOIN dead_letters d ON d.topic = p.topic AND d.id = (SELECT max(id) FROM dead_letters o \
            WHERE o.subscription = p.subscription AND o.topic = p.topic \
            AND o.version <= $2 AND o.up_to >= $2 AND p.job IS NULL) \
        WHERE p.topic = $1 AND s.status <> 'deleted' \
        AND (p.job IS NULL OR $2 BETWEEN j.first AND j.last) ORDER BY s.name, p.job NULLS FIRST LIMIT $3";
    let rows = sqlx::query(sql)
        .bind(state.id)
        .bind(signed(at.0))
        .bind(signed(EventState::MAX as u64))
        .fetch_all(&shared.pool)
        .await?;
    rows.iter().map(|row| event_state(row, at)).collect()
}

fn event_state(row: &PgRow, at: Version) -> Result<EventState, StoreError> {
    let position = Cells::of(row, "positions");
    let exception = Cells::of(row, "exceptions");
    let letter = Cells::of(row, "dead_letters");
    let kind: Option<ExceptionKind> = exception.get("kind")?;
    let reason: Option<DeadReason> = letter.get("reason")?;
    let reach: Version = position.get("reach")?;
    let start: Option<Version> = position.get("start_after")?;
    let place = match (kind, reason) {
        (Some(kind), _) => EventPlace::Excepted {
            kind,
            due: exception.get("due")?,
            attempts: exception.small("tries")?,
            last: LastAnswer {
                status: exception.status("status")?,
                error: exception.get("error")?,
            },
        },
        (None, _) if position.versions("open")?.contains(&at) => EventPlace::InFlight,
        // A letter from before a rewind tells of the past.
        (None, _) if at > reach => EventPlace::Waiting,
        (None, Some(reason)) => EventPlace::Dead {
            reason,
            attempts: letter.small("attempts")?,
            last: LastAnswer {
                status: letter.status("last_status")?,
                error: letter.get("last_error")?,
            },
        },
        (None, None) if start.is_some_and(|start| at <= start) => EventPlace::BeforeStart,
        (None, None) => EventPlace::Settled,
    };
    Ok(EventState {
        subscription: Cells::of(row, "subscriptions").get("name")?,
        replay: position.get("job")?,
        place,
    })
}
