//! What is moved at once, before any row: topics, keys, and the numbers that were given out.

use sqlx::{PgConnection, Row as _};

use super::super::row::{epochs_text, signed};
use crate::store::{StoreError, migrate::rows::Header, postgres::topics::settings_text};

/// Tables whose numbers are given out by the database.
const NUMBERED: [&str; 8] =
    ["topics", "gaps", "sources", "subscriptions", "positions", "dead_letters", "jobs", "pending"];

/// Writes it; answers the slot where events go.
pub(super) async fn write(conn: &mut PgConnection, header: &Header) -> Result<i32, StoreError> {
    let sql = "-- slot now\nSELECT max(slot) AS slot FROM slots";
    let slot: i32 = sqlx::query(sql).fetch_one(&mut *conn).await?.try_get("slot")?;
    let believed = header.believed.as_deref().map(|believed| ("believed_us", believed));
    let values = [("hash_key", &*header.hash_key)].into_iter().chain(believed);
    for (name, value) in values {
        let sql = "-- kept\nINSERT INTO meta (name, value) VALUES ($1, $2) \
            ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        sqlx::query(sql).bind(name).bind(value).execute(&mut *conn).await?;
    }
    topics(conn, header, slot).await?;
    for (table, last) in &header.numbers {
        // What was given out once is not given out again.
        if *last > 0 && NUMBERED.contains(&table.as_str()) {
            let sql = "-- numbers\nSELECT setval(pg_get_serial_sequence($1, 'id'), $2)";
            sqlx::query(sql).bind(table).bind(last).execute(&mut *conn).await?;
        }
    }
    if header.edit > 0 {
        let sql = "-- edits\nSELECT setval('edits', $1)";
        sqlx::query(sql).bind(header.edit).execute(&mut *conn).await?;
    }
    Ok(slot)
}

async fn topics(conn: &mut PgConnection, header: &Header, slot: i32) -> Result<(), StoreError> {
    for (topic, forgotten) in &header.topics {
        // A topic without events gets its place with the first.
        let has_events = topic.oldest <= topic.head;
        let sql = "-- topic\nINSERT INTO topics (id, uid, name, settings, epochs, head, oldest, \
            recorded, bytes, edit, slot, forgotten) OVERRIDING SYSTEM VALUE \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
        sqlx::query(sql)
            .bind(topic.id)
            .bind(topic.uid.as_str())
            .bind(topic.topic.as_str())
            .bind(settings_text(&topic.settings))
            .bind(epochs_text(&topic.epochs))
            .bind(signed(topic.head.0))
            .bind(signed(topic.oldest.0))
            .bind(topic.recorded.0)
            .bind(signed(topic.bytes))
            .bind(signed(topic.edit))
            .bind(if has_events { slot } else { 0 })
            .bind(signed(forgotten.0))
            .execute(&mut *conn)
            .await?;
        if has_events {
            sqlx::query("-- span\nINSERT INTO spans (topic, first, slot) VALUES ($1, $2, $3)")
                .bind(topic.id)
                .bind(signed(topic.oldest.0))
                .bind(slot)
                .execute(&mut *conn)
                .await?;
        }
    }
    Ok(())
}
