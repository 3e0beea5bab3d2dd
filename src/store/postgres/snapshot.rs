//! A snapshot that somebody holds: while a dump or a forgotten transaction lasts, PostgreSQL keeps
//! every version of the few rows that change all the time, and each commit becomes slower.

use std::time::Duration;

use super::{row::Cells, shared::Shared};
use crate::store::{StoreError, trouble::SNAPSHOT_HELD};

/// A snapshot that is held for longer is told.
const TOLD_AFTER: Duration = Duration::from_mins(1);

/// Looks for the oldest snapshot, tells of one that is too old, and answers its age.
pub(super) async fn look(shared: &Shared) -> Result<Duration, StoreError> {
    // Slots hold one without a session.
    let sql = "-- oldest snapshot\nSELECT who, coalesce(extract(epoch FROM clock_timestamp() - since), \
        0)::bigint AS age_s FROM (SELECT format('session %s of `%s` (pid %s)', usename, \
        application_name, pid) AS who, xact_start AS since FROM pg_stat_activity \
        WHERE backend_xmin IS NOT NULL AND xact_start IS NOT NULL AND datname = current_database() \
        AND pid <> pg_backend_pid()) held ORDER BY since LIMIT 1";
    let row = sqlx::query(sql).fetch_optional(&shared.pool).await?;
    let oldest = row.as_ref().map(|row| {
        let row = Cells::of(row, "pg_stat_activity");
        Ok::<_, StoreError>((row.get::<String>("who")?, row.count("age_s")?))
    });
    let (who, age) = oldest.transpose()?.unwrap_or_default();
    let age = Duration::from_secs(age);
    if age > TOLD_AFTER {
        let detail = format!(
            "{who} holds a snapshot of the database since {} s: rows that change all the time cannot \
             be pruned, and commits become slower; let it end, or end it with pg_terminate_backend",
            age.as_secs()
        );
        shared.server.troubles.began(SNAPSHOT_HELD, detail);
    } else {
        shared.server.troubles.ended(SNAPSHOT_HELD, "no snapshot of the database is held for long");
    }
    Ok(age)
}
