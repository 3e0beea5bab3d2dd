//! Settlements as SQL.

use sqlx::PgConnection;

use super::row::{plain, signed};
use crate::{
    event::Version,
    store::{
        Exception, Settlement,
        rules::{bounds, group::Plan, settled as rules},
    },
};

const POSITIONS: &str = "-- positions\nUPDATE positions SET reach = new.reach, open = new.open, \
    delivered = positions.delivered + new.delivered, saved = new.saved FROM UNNEST($1::bigint[], \
    $2::bigint[], $3::bytea[], $4::bigint[], $5::bigint[]) \
    AS new (id, reach, open, delivered, saved) WHERE positions.id = new.id";
const EXCEPTIONS: &str = "-- exceptions\nINSERT INTO exceptions (position, version, kind, attempts, \
    tries, due, first, successes, stands_out, status, error, lane) SELECT $1, new.* FROM \
    UNNEST($2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], \
    $8::bigint[], $9::boolean[], $10::integer[], $11::text[], $12::bigint[]) AS new \
    ON CONFLICT (position, version) DO UPDATE SET kind = excluded.kind, \
    attempts = excluded.attempts, tries = excluded.tries, due = excluded.due, \
    first = excluded.first, successes = excluded.successes, stands_out = excluded.stands_out, \
    status = excluded.status, error = excluded.error, lane = excluded.lane";
const CLEARED: &str =
    "-- cleared\nDELETE FROM exceptions WHERE position = $1 AND version = ANY($2)";
// What stands still stands still until somebody redrives or deletes its letter.
const UNDEAD: &str = "-- undead\nDELETE FROM dead_letters d USING positions held, positions live \
    WHERE held.id = $1 AND live.subscription = held.subscription AND live.topic = held.topic \
    AND live.job IS NULL AND d.position = live.id AND d.version = ANY($2) \
    AND d.version = d.up_to AND d.reason <> 'expired' AND NOT EXISTS (SELECT 1 FROM exceptions x \
    WHERE x.position = d.position AND x.version = d.version AND x.kind = 'stopped')";
// Under the live position, whose letters they are when a replay job is gone.
const DEAD: &str = "-- dead\nINSERT INTO dead_letters (subscription, position, topic, version, \
    up_to, count, reason, attempts, first, at, status, error, recorded, attributes, form, data, \
    checksum) SELECT live.subscription, live.id, live.topic, new.version, new.version, 1, \
    new.reason, new.attempts, new.first, $2, new.status, new.error, \
    x.recorded, x.attributes, x.form, x.data, x.checksum FROM UNNEST($3::bigint[], $4::text[], \
    $5::bigint[], $6::bigint[], $7::integer[], $8::text[]) \
    AS new (version, reason, attempts, first, status, error) \
    JOIN positions held ON held.id = $1 JOIN positions live \
    ON live.subscription = held.subscription AND live.topic = held.topic AND live.job IS NULL \
    LEFT JOIN exceptions x ON x.position = held.id AND x.version = new.version \
    ON CONFLICT (position, version) WHERE reason <> 'expired' DO UPDATE SET \
    reason = excluded.reason, attempts = excluded.attempts, first = excluded.first, \
    at = excluded.at, status = excluded.status, error = excluded.error";

/// Writes the settlements of a plan; the caller commits.
pub(super) async fn write(conn: &mut PgConnection, plan: &Plan) -> Result<(), sqlx::Error> {
    let settlements: Vec<&Settlement> = plan.settlements().collect();
    if settlements.is_empty() {
        return Ok(());
    }
    let last = rules::standings(&settlements);
    sqlx::query(POSITIONS)
        .bind(last.keys().copied().collect::<Vec<_>>())
        .bind(last.values().map(|(it, _)| signed(it.reach.0)).collect::<Vec<_>>())
        .bind(last.values().map(|(it, _)| rules::packed(&it.open)).collect::<Vec<_>>())
        .bind(last.values().map(|(_, delivered)| signed(*delivered)).collect::<Vec<_>>())
        .bind(last.values().map(|(it, _)| it.now.0).collect::<Vec<_>>())
        .execute(&mut *conn)
        .await?;
    // Two settlements of one position keep their order: what one puts the next may clear.
    for settlement in settlements {
        write_exceptions(conn, settlement).await?;
    }
    Ok(())
}

async fn write_exceptions(
    conn: &mut PgConnection,
    settlement: &Settlement,
) -> Result<(), sqlx::Error> {
    let position = settlement.position;
    if !settlement.put.is_empty() {
        put_exceptions(conn, position, &settlement.put).await?;
    }
    if !settlement.dead.is_empty() {
        let dead = &settlement.dead;
        sqlx::query(DEAD)
            .bind(position)
            .bind(settlement.now.0)
            .bind(dead.iter().map(|it| signed(it.version.0)).collect::<Vec<_>>())
            .bind(dead.iter().map(|it| <&str>::from(it.reason)).collect::<Vec<_>>())
            .bind(dead.iter().map(|it| i64::from(it.attempts)).collect::<Vec<_>>())
            .bind(dead.iter().map(|it| it.first.0).collect::<Vec<_>>())
            .bind(dead.iter().map(|it| it.last.status.map(i32::from)).collect::<Vec<_>>())
            .bind(dead.iter().map(|it| it.last.error.as_deref().map(cut)).collect::<Vec<_>>())
            .execute(&mut *conn)
            .await?;
    }
    let numbers = |versions: &[Version]| -> Vec<i64> {
        versions.iter().map(|version| signed(version.0)).collect()
    };
    let gone = numbers(&rules::cleared(settlement));
    let undead = numbers(&settlement.undead);
    for (sql, versions) in [(CLEARED, gone), (UNDEAD, undead)] {
        if !versions.is_empty() {
            sqlx::query(sql).bind(position).bind(versions).execute(&mut *conn).await?;
        }
    }
    Ok(())
}

async fn put_exceptions(
    conn: &mut PgConnection,
    position: i64,
    put: &[Exception],
) -> Result<(), sqlx::Error> {
    sqlx::query(EXCEPTIONS)
        .bind(position)
        .bind(put.iter().map(|it| signed(it.version.0)).collect::<Vec<_>>())
        .bind(put.iter().map(|it| <&str>::from(it.kind)).collect::<Vec<_>>())
        .bind(put.iter().map(|it| i64::from(it.attempts)).collect::<Vec<_>>())
        .bind(put.iter().map(|it| i64::from(it.tries)).collect::<Vec<_>>())
        .bind(put.iter().map(|it| it.due.0).collect::<Vec<_>>())
        .bind(put.iter().map(|it| it.first.0).collect::<Vec<_>>())
        .bind(put.iter().map(|it| signed(it.successes)).collect::<Vec<_>>())
        .bind(put.iter().map(|it| it.stands_out).collect::<Vec<_>>())
        .bind(put.iter().map(|it| it.last.status.map(i32::from)).collect::<Vec<_>>())
        .bind(put.iter().map(|it| it.last.error.as_deref().map(cut)).collect::<Vec<_>>())
        .bind(put.iter().map(|it| it.lane.map(signed)).collect::<Vec<_>>())
        .execute(conn)
        .await?;
    Ok(())
}

/// As much of a text as is kept.
fn cut(text: &str) -> String {
    plain(text).chars().take(bounds::ERROR_MAX_CHARS).collect()
}
