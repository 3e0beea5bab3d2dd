//! Rows of a batch, in one statement.

use sqlx::{AssertSqlSafe, PgConnection};

use super::super::row::{plain, signed};
use crate::{
    event::{Micros, Version},
    store::{
        StoreError,
        migrate::rows::{Batch, Column, Field, Kind, LostGap, Table},
    },
};

/// Puts the rows of a batch; events go into the slot.
pub(super) async fn rows(
    conn: &mut PgConnection,
    table: &Table,
    batch: &Batch,
    slot: i32,
) -> Result<(), StoreError> {
    if batch.rows == 0 {
        return Ok(());
    }
    let mut query = sqlx::query(AssertSqlSafe(statement(table, slot)));
    for column in &batch.columns {
        query = match column {
            Column::Numbers(numbers) => query.bind(numbers),
            Column::Bytes(bytes) => query.bind(bytes),
            Column::Texts(texts) => {
                let texts = texts.iter().map(|text| text.as_deref().map(plain));
                query.bind(texts.collect::<Vec<_>>())
            }
        };
    }
    query.execute(conn).await?;
    Ok(())
}

/// The names are ours.
fn statement(table: &Table, slot: i32) -> String {
    let list = |part: fn((usize, &Field)) -> String| {
        table.fields.iter().enumerate().map(part).collect::<Vec<_>>().join(", ")
    };
    let names = list(|(_, field)| field.name.to_owned());
    let arrays = list(|(place, field)| {
        let of = match field.kind {
            Kind::Number | Kind::Flag => "bigint",
            Kind::Text => "text",
            Kind::Bytes => "bytea",
        };
        format!("${}::{of}[]", place + 1)
    });
    let values = list(|(_, field)| match field.kind {
        Kind::Flag => format!("new.{} <> 0", field.name),
        _ => format!("new.{}", field.name),
    });
    let (more, value) = match table.name {
        "events" => (", slot", format!(", {slot}")),
        _ => ("", String::new()),
    };
    format!(
        "-- {}\nINSERT INTO {0} ({names}{more}) OVERRIDING SYSTEM VALUE SELECT {values}{value} \
         FROM UNNEST({arrays}) AS new ({names})",
        table.name
    )
}

/// Records what of the file is not whole, unless a gap of the file tells of it.
pub(super) async fn lost(
    conn: &mut PgConnection,
    batch: &Batch,
    now: Micros,
) -> Result<(), StoreError> {
    for lost in &batch.lost {
        let Some(LostGap { topic, after, reason, hole }) = &lost.gap else { continue };
        let sql = "-- gap of the store\nINSERT INTO gaps (topic, source, version, recorded, reason, \
            detail) SELECT id, 'milkrun', least(head, $2), $3, $4, $5 FROM topics t WHERE id = $1 \
            AND ($2 > head OR NOT EXISTS (SELECT 1 FROM gaps g \
            WHERE g.topic = t.id AND g.version = $2 AND g.reason = $4))";
        sqlx::query(sql)
            .bind(topic)
            .bind(signed(after.0))
            .bind(now.0)
            .bind(reason)
            .bind(plain(&lost.detail))
            .execute(&mut *conn)
            .await?;
        if let Some((first, last)) = hole {
            put_hole(conn, *topic, (*first, *last)).await?;
        }
    }
    Ok(())
}

async fn put_hole(
    conn: &mut PgConnection,
    topic: i64,
    (first, last): (Version, Version),
) -> Result<(), StoreError> {
    sqlx::query("-- hole\nINSERT INTO holes (topic, first, last) VALUES ($1, $2, $3)")
        .bind(topic)
        .bind(signed(first.0))
        .bind(signed(last.0))
        .execute(conn)
        .await?;
    Ok(())
}
