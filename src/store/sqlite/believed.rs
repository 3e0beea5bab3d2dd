//! The latest moment that is known to have come, so that a clock that is wrong at the start deletes
//! nothing.

use sqlx::Row as _;

use super::{Shared, desk::Desk};
use crate::{event::Micros, store::StoreError};

pub(super) async fn read(shared: &Shared) -> Result<Option<Micros>, StoreError> {
    let sql = "-- believed\nSELECT (SELECT value FROM meta WHERE name = 'believed_us'), \
        (SELECT max(recorded) FROM topics)";
    let row = sqlx::query(sql).fetch_one(&shared.readers).await?;
    let kept: Option<Vec<u8>> = row.get(0);
    let kept = kept.and_then(|kept| kept.try_into().ok()).map(i64::from_be_bytes);
    let recorded = row.get::<Option<i64>, _>(1).filter(|recorded| *recorded > 0);
    Ok(kept.or(recorded).map(Micros))
}

pub(super) async fn keep(desk: &mut Desk, moment: Micros) -> Result<(), StoreError> {
    let sql = "-- keep believed\nINSERT INTO meta (name, value) VALUES ('believed_us', $1) \
        ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    sqlx::query(sql).bind(&moment.0.to_be_bytes()[..]).execute(&mut desk.conn).await?;
    Ok(())
}
