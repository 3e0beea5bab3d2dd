//! How subscriptions are doing, in one statement: whoever watches asks every few seconds.

use sqlx::sqlite::{SqlitePool, SqliteRow};

use super::file::row::{Cells, list_text};
use crate::{
    event::Micros,
    store::{Share, Standing, StoreError},
};

/// Those that hold a place and are of `share`.
pub(super) async fn of(readers: &SqlitePool, share: &Share) -> Result<Vec<Standing>, StoreError> {
    // The first event above a reach is found by its slot; only positions that are behind look.
    let sql = "-- standings\nSELECT s.id, s.name, s.status, s.health, \
        (SELECT count(*) FROM dead_letters d WHERE d.subscription = s.id) AS dead_letters, \
        coalesce(sum(w.above + w.open + w.count - w.stopped), 0) AS owed, \
        coalesce(sum(w.count), 0) AS exceptions, coalesce(sum(w.stopped), 0) AS stopped_keys, \
        min(CASE WHEN w.above > 0 THEN (SELECT e.recorded FROM events e \
        WHERE e.slot > (w.topic << 40 | w.reach) AND e.slot <= (w.topic << 40 | w.head) \
        ORDER BY e.slot LIMIT 1) END) AS recorded, min(w.retry) AS retry \
        FROM subscriptions s LEFT JOIN (SELECT p.subscription, p.topic, t.head, \
        max(p.reach, t.oldest - 1) AS reach, max(0, t.head - max(p.reach, t.oldest - 1)) AS above, \
        length(p.open) / 8 AS open, coalesce(x.count, 0) AS count, coalesce(x.stopped, 0) AS stopped, \
        x.retry FROM positions p JOIN topics t ON t.id = p.topic LEFT JOIN (SELECT position, \
        count(*) AS count, sum(kind = 'stopped') AS stopped, \
        min(CASE kind WHEN 'retry' THEN due END) AS retry FROM exceptions GROUP BY position) x \
        ON x.position = p.id WHERE p.job IS NULL) w ON w.subscription = s.id \
        WHERE s.status <> 'deleted' AND s.removed_at IS NULL \
        AND ($1 IS NULL OR s.id IN (SELECT value FROM json_each($1))) GROUP BY s.id ORDER BY s.name";
    let rows = sqlx::query(sql).bind(numbers(share)).fetch_all(readers).await?;
    rows.iter().map(standing).collect()
}

/// The pieces that are meant, as JSON; `None`: all.
fn numbers(share: &Share) -> Option<String> {
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
        stopped_keys: row.get("stopped_keys")?,
        dead_letters: row.get("dead_letters")?,
    })
}
