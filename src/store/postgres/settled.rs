//! Settlements as SQL.

use sqlx::PgConnection;

use super::{
    row::{plain, signed},
    sync::Synced,
};
use crate::{
    event::Version,
    store::{
        Settlement,
        rules::{bounds, group::Plan, settled as rules},
    },
};

const POSITIONS: &str = "-- positions\nUPDATE positions SET reach = new.reach, open = new.open, \
    delivered = positions.delivered + new.delivered, saved = new.saved FROM UNNEST($1::bigint[], \
    $2::bigint[], $3::bigint[], $4::bytea[], $5::bigint[], $6::bigint[]) \
    AS new (topic, id, reach, open, delivered, saved) \
    WHERE positions.topic = new.topic AND positions.id = new.id";
const EXCEPTIONS: &str = "-- exceptions\nINSERT INTO exceptions (topic, position, version, kind, \
    attempts, tries, due, first, successes, stands_out, status, error, lane) SELECT $1, $2, new.* FROM \
    UNNEST($3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], \
    $9::bigint[], $10::boolean[], $11::integer[], $12::text[], $13::bigint[]) AS new \
    ON CONFLICT (topic, position, version) DO UPDATE SET kind = excluded.kind, \
    attempts = excluded.attempts, tries = excluded.tries, due = excluded.due, \
    first = excluded.first, successes = excluded.successes, stands_out = excluded.stands_out, \
    status = excluded.status, error = excluded.error, lane = excluded.lane";
const CLEARED: &str = "-- cleared\nDELETE FROM exceptions \
    WHERE topic = $1 AND position = $2 AND version = ANY($3)";
// What stands still stands still until somebody redrives or deletes its letter.
const UNDEAD: &str = "-- undead\nDELETE FROM dead_letters d USING positions live \
    WHERE live.topic = $1 AND live.subscription = $2 AND live.job IS NULL \
    AND d.topic = $1 AND d.position = live.id AND d.version = ANY($3) \
    AND d.version = d.up_to AND d.reason <> 'expired' AND NOT EXISTS (SELECT 1 FROM exceptions x \
    WHERE x.topic = $1 AND x.position = d.position AND x.version = d.version AND x.kind = 'stopped')";
// Under the live position, whose letters they are when a replay job is gone.
const DEAD: &str = "-- dead\nINSERT INTO dead_letters (topic, subscription, position, version, \
    up_to, count, reason, attempts, first, at, status, error, recorded, attributes, form, data, \
    checksum) SELECT live.topic, live.subscription, live.id, new.version, new.version, 1, \
    new.reason, new.attempts, new.first, $4, new.status, new.error, \
    x.recorded, x.attributes, x.form, x.data, x.checksum FROM UNNEST($5::bigint[], $6::text[], \
    $7::bigint[], $8::bigint[], $9::integer[], $10::text[]) \
    AS new (version, reason, attempts, first, status, error) \
    JOIN positions live ON live.topic = $1 AND live.subscription = $2 AND live.job IS NULL \
    LEFT JOIN exceptions x ON x.topic = $1 AND x.position = $3 AND x.version = new.version \
    ON CONFLICT (topic, position, version) WHERE reason <> 'expired' DO UPDATE SET \
    reason = excluded.reason, attempts = excluded.attempts, first = excluded.first, \
    at = excluded.at, status = excluded.status, error = excluded.error";

/// Writes the settlements of a plan; the caller commits.
pub(super) async fn write(
    conn: &mut PgConnection,
    plan: &Plan,
    synced: &Synced,
) -> Result<(), sqlx::Error> {
    let settlements: Vec<&Settlement> = plan.settlements().collect();
    if settlements.is_empty() {
        return Ok(());
    }
    let last = rules::standings(&settlements);
    sqlx::query(POSITIONS)
        .bind(last.values().map(|(it, _)| it.topic).collect::<Vec<_>>())
        .bind(last.keys().copied().collect::<Vec<_>>())
        .bind(last.values().map(|(it, _)| signed(it.reach.0)).collect::<Vec<_>>())
        .bind(last.values().map(|(it, _)| rules::packed(&it.open)).collect::<Vec<_>>())
        .bind(last.values().map(|(_, delivered)| signed(*delivered)).collect::<Vec<_>>())
        .bind(last.values().map(|(it, _)| it.now.0).collect::<Vec<_>>())
        .execute(&mut *conn)
        .await?;
    // Two settlements of one position keep their order: what one puts the next may clear.
    for settlement in settlements {
        if let Some(position) = synced.known.positions.get(&settlement.position) {
            write_exceptions(conn, settlement, position.subscription).await?;
        }
    }
    Ok(())
}

async fn write_exceptions(
    conn: &mut PgConnection,
    settlement: &Settlement,
    subscription: i64,
) -> Result<(), sqlx::Error> {
    let (topic, position) = (settlement.topic, settlement.position);
    if !settlement.put.is_empty() {
        put_exceptions(conn, settlement).await?;
    }
    if !settlement.dead.is_empty() {
        let dead = &settlement.dead;
        sqlx::query(DEAD)
            .bind(topic)
            .bind(subscription)
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
    for (sql, whose, versions) in [(CLEARED, position, gone), (UNDEAD, subscription, undead)] {
        if !versions.is_empty() {
            let query = sqlx::query(sql).bind(topic).bind(whose).bind(versions);
            query.execute(&mut *conn).await?;
        }
    }
    Ok(())
}

async fn put_exceptions(
    conn: &mut PgConnection,
    settlement: &Settlement,
) -> Result<(), sqlx::Error> {
    let put = &settlement.put;
    sqlx::query(EXCEPTIONS)
        .bind(settlement.topic)
        .bind(settlement.position)
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
