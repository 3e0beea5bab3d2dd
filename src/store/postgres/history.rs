//! Which history the database is in. A failover without a synchronous standby, a backup that was
//! put back, a database that was copied: events that were acknowledged may be missing then, and
//! their versions are given to others.
//!
//! So the last history that a node worked in is kept in the database. Whoever first comes upon
//! another one begins a new epoch in every topic, before anything is appended.

use sqlx::{Connection as _, PgConnection, Row as _};

use super::{primary::About, row};
use crate::{
    event::{Micros, Version},
    store::{EpochStart, StoreError, TopicState, Troubles, rules::registry::with_epoch},
};

/// The trouble that is told of a history that was left.
pub(super) const LOST: &str = "history_lost";

/// Enters the history that a server is in.
///
/// # Errors
/// `Refused` when the database has seen a later one; else as it has them.
pub(super) async fn enter(
    conn: &mut PgConnection,
    about: &About,
    troubles: &Troubles,
) -> Result<(), StoreError> {
    let mut transaction = conn.begin().await?;
    let sql = "-- history\nSELECT system, timeline, replicated, place, \
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now FROM history FOR UPDATE";
    let row = sqlx::query(sql).fetch_one(&mut *transaction).await?;
    let (system, timeline): (i64, i64) = (row.try_get("system")?, row.try_get("timeline")?);
    let (was_replicated, now): (bool, i64) = (row.try_get("replicated")?, row.try_get("now")?);
    let place: i64 = row.try_get("place")?;
    let is_other = |was: i64, is: i64| was != 0 && is != 0 && was != is;
    let is_copy = is_other(system, about.system) || is_other(place, about.place);
    if !is_copy && about.timeline != 0 && about.timeline < timeline {
        return Err(StoreError::Refused(format!(
            "the database is on timeline {}, and was on {timeline} before: it is a former primary",
            about.timeline
        )));
    }
    let is_later = timeline != 0 && about.timeline > timeline;
    let may_miss = is_copy || (is_later && !was_replicated);
    if may_miss {
        let from = if is_copy {
            "copied, or put back from a backup".to_owned()
        } else {
            format!("failed over from timeline {timeline} to {}", about.timeline)
        };
        let why = format!(
            "the database was {from}, and commits did not wait for a standby: events that were \
             acknowledged before may be missing"
        );
        let topics = epochs(&mut transaction, &why, Micros(now)).await?;
        troubles.mended(LOST, format!("{why}; a new epoch begins in each of {topics} topics"));
    }
    if is_copy || is_later {
        // What a node has in memory may be ahead of what is there.
        for sql in
            ["UPDATE positions SET fence = fence + 1", "UPDATE sources SET fence = fence + 1"]
        {
            sqlx::query(sql).execute(&mut *transaction).await?;
        }
    }
    let sql = "-- history entered\nUPDATE history SET system = $1, timeline = $2, replicated = $3, place = $4, \
        since = CASE WHEN system = $1 AND timeline = $2 THEN since ELSE clock_timestamp() END \
        WHERE (system, timeline, replicated, place) IS DISTINCT FROM ($1, $2, $3, $4)";
    sqlx::query(sql)
        .bind(about.system)
        .bind(about.timeline)
        .bind(about.is_replicated)
        .bind(about.place)
        .execute(&mut *transaction)
        .await?;
    Ok(transaction.commit().await?)
}

/// Begins an epoch behind the head of every topic that has events; answers how many.
async fn epochs(conn: &mut PgConnection, why: &str, now: Micros) -> Result<usize, StoreError> {
    let sql = "-- all topics\nSELECT * FROM topics WHERE head > 0 ORDER BY id FOR NO KEY UPDATE";
    let rows = sqlx::query(sql).fetch_all(&mut *conn).await?;
    let (mut ids, mut texts) = (Vec::new(), Vec::new());
    for row in &rows {
        let state = row::topic_state(row)?;
        let start = EpochStart::fresh(state.head.next(), now, why);
        ids.push(state.id);
        texts.push(row::epochs_text(&with_epoch(&state, &start).epochs));
    }
    let sql = "-- epochs\nUPDATE topics SET epochs = new.epochs \
        FROM UNNEST($1::bigint[], $2::text[]) AS new (id, epochs) WHERE topics.id = new.id";
    sqlx::query(sql).bind(&ids).bind(texts).execute(conn).await?;
    Ok(ids.len())
}

/// A topic of which this node has seen a later head, in the transaction that has its row locked:
/// begins an epoch where it is now.
pub(super) async fn cut(
    conn: &mut PgConnection,
    state: &TopicState,
    seen: Version,
    now: Micros,
    troubles: &Troubles,
) -> Result<TopicState, StoreError> {
    let why = format!(
        "versions {} to {seen} were given before and are lost: the database has gone back",
        state.head.next()
    );
    let cut = with_epoch(state, &EpochStart::fresh(state.head.next(), now, &why));
    sqlx::query("-- cut\nUPDATE topics SET epochs = $2 WHERE id = $1")
        .bind(cut.id)
        .bind(row::epochs_text(&cut.epochs))
        .execute(conn)
        .await?;
    troubles.mended(LOST, format!("topic `{}`: {why}", cut.topic));
    Ok(cut)
}
