//! Damage that was found when the file was opened and that nobody was told of yet, kept in the file:
//! an offline command finds it, mends it and tells nobody, and a relay can be killed before it does.

use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;

use super::{
    holes::{LOST, MISSING},
    row::Cells,
};
use crate::{
    event::{Topic, Version},
    store::{Damage, StoreError},
};

/// The most that is kept; what is beyond is in the log and in the gaps.
const KEPT_MAX: usize = 10_000;

/// Damage as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    id: i64,
    topic: Topic,
    from: u64,
    to: u64,
    reason: String,
    detail: String,
}

/// Adds `fresh` damage to what is kept; answers all of it. The caller commits.
pub(crate) async fn add(
    conn: &mut SqliteConnection,
    fresh: Vec<(i64, Damage)>,
) -> Result<Vec<(i64, Damage)>, StoreError> {
    let mut damage = load(conn).await?;
    if fresh.is_empty() {
        return Ok(damage);
    }
    damage.extend(fresh);
    let kept: Vec<Kept> = damage.iter().take(KEPT_MAX).map(kept).collect();
    let text = serde_json::to_string(&kept).expect("damage is plain data");
    let sql = "-- untold\nINSERT INTO meta (name, value) VALUES ('untold', CAST($1 AS BLOB)) \
        ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    sqlx::query(sql).bind(text).execute(conn).await?;
    Ok(damage)
}

/// All of it was told of.
pub(crate) async fn clear(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    sqlx::query("-- told\nDELETE FROM meta WHERE name = 'untold'").execute(conn).await?;
    Ok(())
}

async fn load(conn: &mut SqliteConnection) -> Result<Vec<(i64, Damage)>, StoreError> {
    let sql = "-- untold read\nSELECT CAST(value AS TEXT) AS value FROM meta WHERE name = 'untold'";
    let Some(row) = sqlx::query(sql).fetch_optional(conn).await? else { return Ok(Vec::new()) };
    let text: Result<String, _> = Cells::of(&row, "meta").get("value");
    // The gaps have it as well: what cannot be read keeps no store from being opened.
    let kept = text.ok().and_then(|text| serde_json::from_str::<Vec<Kept>>(&text).ok());
    Ok(kept.unwrap_or_default().into_iter().map(damage).collect())
}

fn kept((id, damage): &(i64, Damage)) -> Kept {
    Kept {
        id: *id,
        topic: damage.topic.clone(),
        from: damage.from.0,
        to: damage.to.0,
        reason: damage.reason.to_owned(),
        detail: damage.detail.clone(),
    }
}

fn damage(kept: Kept) -> (i64, Damage) {
    let reason = if kept.reason == MISSING { MISSING } else { LOST };
    let (from, to) = (Version(kept.from), Version(kept.to));
    (kept.id, Damage { topic: kept.topic, from, to, reason, detail: kept.detail })
}
