//! What subscriptions are set to, as it is written: sealed under the master key.

use super::{desk::Desk, file::row::Cells};
use crate::{
    event::Name,
    settings::SubscriptionSettings,
    store::{
        StoreError,
        sealed::{self, Resealed},
    },
};

/// Puts settings in the place of others, of which nothing stays in the file: secrets are among them.
pub(super) async fn overwrite(
    desk: &mut Desk,
    (id, name): (i64, &Name),
    settings: &SubscriptionSettings,
) -> Result<(), StoreError> {
    let text = sealed::text(&desk.shared.seal, name.as_str(), settings)?;
    overwrite_text(desk, id, text).await
}

/// The same, of a text that is ready to be kept.
async fn overwrite_text(desk: &mut Desk, id: i64, text: String) -> Result<(), StoreError> {
    sqlx::raw_sql("PRAGMA secure_delete = ON").execute(&mut desk.conn).await?;
    let sql = "-- settings\nUPDATE subscriptions SET settings = $2 WHERE id = $1";
    sqlx::query(sql).bind(id).bind(text).execute(&mut desk.conn).await?;
    // Pages that retention frees are left to be used again: overwriting each costs as much as
    // writing it did.
    sqlx::raw_sql("PRAGMA secure_delete = FAST").execute(&mut desk.conn).await?;
    Ok(())
}

/// Writes all settings as they are to be kept now; what they were is overwritten.
pub(super) async fn reseal(desk: &mut Desk) -> Result<Resealed, StoreError> {
    // A deleted one is called `name#id`.
    let sql = "-- kept settings\nSELECT id, substr(name, 1, instr(name || '#', '#') - 1) AS name, \
        settings FROM subscriptions ORDER BY id";
    let rows = sqlx::query(sql).fetch_all(&mut desk.conn).await?;
    let mut done = Resealed::default();
    for row in &rows {
        let row = Cells::of(row, "subscriptions");
        let name: Name = row.get("name")?;
        match sealed::renewed(&desk.shared.seal, name.as_str(), row.get("settings")?)? {
            Some(text) => {
                overwrite_text(desk, row.get("id")?, text).await?;
                done.changed += 1;
            }
            None => done.unchanged += 1,
        }
    }
    Ok(done)
}
