//! The latest moment that is known to have come, so that a clock that is wrong at the start deletes
//! nothing.

use super::{Shared, desk::Desk, file::row::Cells};
use crate::{event::Micros, store::StoreError};

pub(super) async fn read(shared: &Shared) -> Result<Option<Micros>, StoreError> {
    let sql = "-- believed\nSELECT (SELECT value FROM meta WHERE name = 'believed_us') AS kept, \
        (SELECT max(recorded) FROM topics) AS recorded";
    let row = sqlx::query(sql).fetch_one(&shared.readers).await?;
    let kept: Option<&[u8]> = Cells::of(&row, "meta").get("kept")?;
    let kept = kept.and_then(|kept| kept.try_into().ok()).map(i64::from_be_bytes).map(Micros);
    let recorded: Option<Micros> = Cells::of(&row, "topics").get("recorded")?;
    Ok(kept.or(recorded.filter(|recorded| *recorded > Micros(0))))
}

pub(super) async fn keep(desk: &mut Desk, moment: Micros) -> Result<(), StoreError> {
    let sql = "-- keep believed\nINSERT INTO meta (name, value) VALUES ('believed_us', $1) \
        ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    sqlx::query(sql).bind(&moment.0.to_be_bytes()[..]).execute(&mut desk.conn).await?;
    Ok(())
}
