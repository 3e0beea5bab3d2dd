//! How subscriptions are doing, in one statement: whoever watches asks every few seconds.

use sqlx::sqlite::{SqlitePool, SqliteRow};

use super::file::row::{Cells, list_text};
use crate::{
    event::Micros,
    store::{Share, Standing, StoreError},
};

/// The statement, of all or of those that `$1` lists as JSON: each of its parts reads no more than is
/// meant.
macro_rules! standings {
    ($subscriptions:literal, $positions:literal, $exceptions:literal) => {
        // The first event above a reach is found by its slot; only positions that are behind look.
        concat!(
            "-- standings\nSELECT s.id, s.name, s.status, s.health, \
             (SELECT count(*) FROM dead_letters d WHERE d.subscription = s.id) AS dead_letters, \
             coalesce(sum(w.above + w.open + w.count - w.stopped), 0) AS owed, \
             coalesce(sum(w.count), 0) AS exceptions, coalesce(max(w.count), 0) AS exceptions_most, \
             coalesce(sum(w.stopped), 0) AS stopped_keys, coalesce(sum(w.delivered), 0) AS delivered, \
             min(CASE WHEN w.above > 0 THEN (SELECT e.recorded FROM events e \
             WHERE e.slot > (w.topic << 40 | w.reach) AND e.slot <= (w.topic << 40 | w.head) \
             ORDER BY e.slot LIMIT 1) END) AS recorded, min(w.retry) AS retry \
             FROM subscriptions s LEFT JOIN (SELECT p.subscription, p.topic, t.head, \
             max(p.reach, t.oldest - 1) AS reach, max(0, t.head - max(p.reach, t.oldest - 1)) AS above, \
             length(p.open) / 8 AS open, coalesce(x.count, 0) AS count, \
             coalesce(x.stopped, 0) AS stopped, x.retry, p.delivered \
             FROM positions p JOIN topics t ON t.id = p.topic LEFT JOIN (SELECT position, \
             count(*) AS count, sum(kind = 'stopped') AS stopped, \
             min(CASE kind WHEN 'retry' THEN due END) AS retry FROM exceptions ",
            $exceptions,
            "GROUP BY position) x ON x.position = p.id WHERE p.job IS NULL ",
            $positions,
            ") w ON w.subscription = s.id WHERE s.status <> 'deleted' AND s.removed_at IS NULL ",
            $subscriptions,
            "GROUP BY s.id ORDER BY s.name"
        )
    };
}

const ALL: &str = standings!("", "", "");
const SOME: &str = standings!(
    "AND s.id IN (SELECT value FROM json_each($1)) ",
    "AND p.subscription IN (SELECT value FROM json_each($1)) ",
    "WHERE position IN (SELECT id FROM positions \
     WHERE subscription IN (SELECT value FROM json_each($1))) "
);

/// Those that hold a place and are of `share`.
pub(super) async fn of(readers: &SqlitePool, share: &Share) -> Result<Vec<Standing>, StoreError> {
    let rows = match numbers(share) {
        Some(ids) => sqlx::query(SOME).bind(ids).fetch_all(readers).await?,
        None => sqlx::query(ALL).fetch_all(readers).await?,
    };
    rows.iter().map(standing).collect()
}

/// The pieces that are meant, as JSON; `None`: all.
pub(super) fn numbers(share: &Share) -> Option<String> {
    match share {
        Share::Everything => None,
        Share::Nothing => Some(list_text(&[])),
        Share::These(numbers) => Some(list_text(&numbers.iter().copied().collect::<Vec<_>>())),
    }
}

fn standing(row: &SqliteRow) -> Result<Standing, StoreError> {
    let recorded: Option<Micros> = Cells::of(row, "events").get("recorded")?;
    let retry: Option<Micros> = Cells::of(row, "exceptions").get("retry")?;
    let row = Cells::of(row, "subscriptions");
    Ok(Standing {
        id: row.get("id")?,
        name: row.get("name")?,
        status: row.get("status")?,
        health: row.get("health")?,
        owed: row.get("owed")?,
        due: recorded.into_iter().chain(retry).min(),
        exceptions: row.get("exceptions")?,
        exceptions_most: row.get("exceptions_most")?,
        stopped_keys: row.get("stopped_keys")?,
        dead_letters: row.get("dead_letters")?,
        delivered: row.get("delivered")?,
    })
}
