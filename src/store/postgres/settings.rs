//! What subscriptions are set to, as it is written: sealed under the master key.

use super::{registry::Registry, row::Cells};
use crate::{
    event::Name,
    settings::SubscriptionSettings,
    store::{
        StoreError,
        sealed::{self, Resealed},
    },
};

/// Puts settings in the place of others.
pub(super) async fn overwrite(
    registry: &mut Registry,
    (id, name): (i64, &Name),
    settings: &SubscriptionSettings,
) -> Result<(), StoreError> {
    let text = sealed::text(&registry.shared.seal, name.as_str(), settings)?;
    overwrite_text(registry, id, text).await
}

/// The same, of a text that is ready to be kept.
async fn overwrite_text(registry: &mut Registry, id: i64, text: String) -> Result<(), StoreError> {
    let sql = "-- settings\nUPDATE subscriptions SET settings = $2 WHERE id = $1";
    sqlx::query(sql).bind(id).bind(text).execute(&mut *registry.conn).await?;
    Ok(())
}

/// Writes all settings as they are to be kept now.
pub(super) async fn reseal(registry: &mut Registry) -> Result<Resealed, StoreError> {
    // A deleted one is called `name#id`.
    let sql = "-- kept settings\nSELECT id, split_part(name, '#', 1) AS name, settings \
        FROM subscriptions ORDER BY id";
    let rows = sqlx::query(sql).fetch_all(&mut *registry.conn).await?;
    let mut done = Resealed::default();
    for row in &rows {
        let row = Cells::of(row, "subscriptions");
        let name: Name = row.get("name")?;
        match sealed::renewed(&registry.shared.seal, name.as_str(), row.get("settings")?)? {
            Some(text) => {
                overwrite_text(registry, row.get("id")?, text).await?;
                done.changed += 1;
            }
            None => done.unchanged += 1,
        }
    }
    Ok(done)
}
