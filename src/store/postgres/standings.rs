//! How subscriptions are doing, in one statement: whoever watches asks every few seconds.

use sqlx::{PgPool, postgres::PgRow};

use super::row::Cells;
use crate::{
    event::Micros,
    store::{Share, Standing, StoreError},
};

/// The statement, of all or of those that `$1` lists: each of its parts reads no more than is meant.
macro_rules! standings {
    ($subscriptions:literal, $positions:literal, $exceptions:literal) => {
        // Only positions that are behind look for their first event.
        concat!(
            "-- standings\nSELECT s.id, s.name, s.status, s.health, \
             (SELECT count(*) FROM dead_letters d WHERE d.subscription = s.id) AS dead_letters, \
             coalesce(sum(w.above + w.open + w.count - w.stopped), 0)::bigint AS owed, \
             coalesce(sum(w.count), 0)::bigint AS exceptions, \
             coalesce(max(w.count), 0)::bigint AS exceptions_most, \
             coalesce(sum(w.stopped), 0)::bigint AS stopped_keys, \
             coalesce(sum(w.delivered), 0)::bigint AS delivered, \
             min(CASE WHEN w.above > 0 THEN (SELECT e.recorded FROM events e WHERE e.topic = w.topic \
             AND e.version > w.reach AND e.version <= w.head ORDER BY e.version LIMIT 1) END) AS recorded, \
             min(w.retry) AS retry FROM subscriptions s LEFT JOIN (SELECT p.subscription, p.topic, t.head, \
             greatest(p.reach, t.oldest - 1) AS reach, \
             greatest(0, t.head - greatest(p.reach, t.oldest - 1)) AS above, \
             octet_length(p.open) / 8 AS open, coalesce(x.count, 0) AS count, \
             coalesce(x.stopped, 0) AS stopped, x.retry, p.delivered \
             FROM positions p JOIN topics t ON t.id = p.topic \
             LEFT JOIN (SELECT topic, position, count(*) AS count, \
             count(*) FILTER (WHERE kind = 'stopped') AS stopped, \
             min(due) FILTER (WHERE kind = 'retry') AS retry FROM exceptions ",
            $exceptions,
            "GROUP BY topic, position) x ON x.topic = p.topic AND x.position = p.id \
             WHERE p.job IS NULL ",
            $positions,
            ") w ON w.subscription = s.id WHERE s.status <> 'deleted' AND s.removed_at IS NULL ",
            $subscriptions,
            "GROUP BY s.id ORDER BY s.name"
        )
    };
}

const ALL: &str = standings!("", "", "");
const SOME: &str = standings!(
    "AND s.id = ANY($1) ",
    "AND p.subscription = ANY($1) ",
    "WHERE (topic, position) IN (SELECT topic, id FROM positions WHERE subscription = ANY($1)) "
);

/// Those that hold a place and are of `share`: each node is asked for its own.
pub(super) async fn of(readers: &PgPool, share: &Share) -> Result<Vec<Standing>, StoreError> {
    let rows = match numbers(share) {
        Some(ids) => sqlx::query(SOME).bind(ids).fetch_all(readers).await?,
        None => sqlx::query(ALL).fetch_all(readers).await?,
    };
    rows.iter().map(standing).collect()
}

/// The pieces that are meant; `None`: all.
pub(super) fn numbers(share: &Share) -> Option<Vec<i64>> {
    match share {
        Share::Everything => None,
        Share::Nothing => Some(Vec::new()),
        Share::These(numbers) => Some(numbers.iter().copied().collect()),
    }
}

fn standing(row: &PgRow) -> Result<Standing, StoreError> {
    let recorded: Option<Micros> = Cells::of(row, "events").get("recorded")?;
    let retry: Option<Micros> = Cells::of(row, "exceptions").get("retry")?;
    let row = Cells::of(row, "subscriptions");
    Ok(Standing {
        id: row.get("id")?,
        name: row.get("name")?,
        status: row.get("status")?,
        health: row.get("health")?,
        owed: row.count("owed")?,
        due: recorded.into_iter().chain(retry).min(),
        exceptions: row.count("exceptions")?,
        exceptions_most: row.count("exceptions_most")?,
        stopped_keys: row.count("stopped_keys")?,
        dead_letters: row.count("dead_letters")?,
        delivered: row.count("delivered")?,
    })
}
