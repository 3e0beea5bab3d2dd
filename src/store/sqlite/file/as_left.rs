//! A file that is read as a relay left it: opening it would change nothing.

use std::path::Path;

use sqlx::{Sqlite, SqliteConnection, pool::PoolConnection};

use super::{
    Identity,
    record::{self, Found},
    row::Cells,
    verify::{Looked, all_heads, is_of_this_release},
};
use crate::store::{
    StoreError, Verified,
    rules::known::Known,
    sqlite::{desk::load, file},
};

/// A file that is read.
pub(crate) struct Left {
    pub(crate) conn: PoolConnection<Sqlite>,
    pub(crate) identity: Identity,
    /// Its topics alone.
    pub(crate) known: Known,
    looked: Looked,
}

impl Left {
    /// Opens the file at `path`, which nobody can open to write until this ends.
    ///
    /// # Errors
    /// `InUse` when a relay uses it; `Refused` when a relay would not go on with the file as it is:
    /// another release has written it, it has gone back, or whether it has cannot be told.
    pub(crate) async fn open(path: &Path) -> Result<Self, StoreError> {
        let mut found = Verified::default();
        let looked = Looked::begin(path, &mut found).await?;
        match Self::of(&looked, found).await {
            Ok((conn, identity, known)) => Ok(Self { conn, identity, known, looked }),
            Err(error) => {
                looked.end().await;
                Err(error)
            }
        }
    }

    /// Lets go of it.
    pub(crate) async fn end(self) {
        drop(self.conn);
        self.looked.end().await;
    }

    async fn of(
        looked: &Looked,
        mut found: Verified,
    ) -> Result<(PoolConnection<Sqlite>, Identity, Known), StoreError> {
        let path = looked.held.path().display();
        let refused = |why: &str| {
            StoreError::Refused(format!(
                "{path}: {why}; start `milkrun run` of this release on it once, which brings it in \
                 order and tells what is lost, and stop that"
            ))
        };
        let mut conn = looked.conn().await?;
        if !is_of_this_release(&mut conn).await? {
            return Err(refused("another release has written it"));
        }
        let identity = file::identity(&mut conn).await?;
        let identity = identity.ok_or_else(|| refused("no relay has opened it yet"))?;
        let mut known = Known::default();
        load::topics(&mut known, &mut conn).await?;
        all_heads(&known, looked, &mut found);
        found.problems.extend(strange(looked, &identity, &known));
        found.problems.extend(beyond(&mut conn).await?);
        match found.problems.first() {
            None => Ok((conn, identity, known)),
            Some(problem) => Err(refused(&format!("it is not as a relay left it: {problem}"))),
        }
    }
}

/// Whether the record beside the file tells of others than its topics.
fn strange(looked: &Looked, identity: &Identity, known: &Known) -> Option<String> {
    let Found::Record(record) = &looked.told else { return None };
    let name = record::name(looked.held.path());
    if record.head.store != identity.store {
        return Some(format!("{} is of another store", name.display()));
    }
    let mut topics = known.topics.values().map(|topic| &topic.state);
    let fresh = topics.find(|topic| match record.topics.get(&topic.uid) {
        Some(known) => known.gone.is_some(),
        None => !record.head.whole,
    })?;
    Some(format!("{} has no line of topic `{}`", name.display(), fresh.topic))
}

/// Whether a topic has events, or a position, that it does not tell of.
async fn beyond(conn: &mut SqliteConnection) -> Result<Option<String>, StoreError> {
    let sql = "-- beyond\nSELECT name FROM topics t WHERE \
        EXISTS (SELECT 1 FROM events WHERE slot BETWEEN t.id << 40 AND (t.id << 40 | t.oldest) - 1) \
        OR EXISTS (SELECT 1 FROM events \
            WHERE slot BETWEEN (t.id << 40 | t.head) + 1 AND (t.id + 1 << 40) - 1) \
        OR EXISTS (SELECT 1 FROM positions WHERE topic = t.id AND reach > t.head) LIMIT 1";
    let row = sqlx::query(sql).fetch_optional(conn).await?;
    let name: Option<String> = row.map(|row| Cells::of(&row, "topics").get("name")).transpose()?;
    Ok(name.map(|name| format!("topic `{name}` has events that it does not tell of")))
}
