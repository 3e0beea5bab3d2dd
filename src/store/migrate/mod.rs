//! Moving a store from a file into a database: everything keeps its number, its place and its bytes.
//!
//! The file is only read. What is there already is kept in the database with every batch, so a move
//! that was broken off goes on, and nobody works on the database before it is whole.

pub use self::rows::Moved;
use self::tables::TABLES;
use super::{Address, StoreError, open, postgres::incoming::Incoming, sqlite::outgoing::Outgoing};
use crate::event::Micros;

pub(crate) mod rows;
pub(crate) mod tables;

/// Who is told how a move goes on.
pub trait Watch: Send {
    /// So many events are in the database, of so many.
    fn events(&mut self, done: u64, all: u64);
    /// Something of the file is damaged or missing.
    fn lost(&mut self, what: &str);
}

/// Moves the store in the file at `from` into the database at `to`, or goes on with that.
///
/// # Errors
/// `Refused` or `InUse` when one of them is in use, the file is not as a relay left it, or the database has
/// something else; else as they have them. Whatever it is, the same move can be asked for again.
pub async fn migrate(
    from: &str,
    to: &str,
    now: Micros,
    watch: &mut dyn Watch,
) -> Result<Moved, StoreError> {
    let refused = |why: &str| Err(StoreError::Refused(why.into()));
    if Address::new(from).is_database() {
        return refused("only a file can be moved: expected --from sqlite:PATH");
    }
    if !Address::new(to).is_database() {
        return refused(
            "a file can be moved into a database only: expected --to postgres://USER@HOST/DATABASE",
        );
    }
    let mut file = Outgoing::open(open::path(from)?).await?;
    let moved = all(&mut file, to, now, watch).await;
    file.close().await;
    moved
}

async fn all(
    file: &mut Outgoing,
    to: &str,
    now: Micros,
    watch: &mut dyn Watch,
) -> Result<Moved, StoreError> {
    let mut database = Incoming::open(to).await?;
    database.begin(&file.header().await?).await?;
    let events = file.events();
    while let Some(table) = TABLES.get(database.place().0) {
        let batch = file.batch(table, database.place().1).await?;
        database.put(table, &batch, now).await?;
        for lost in &batch.lost {
            watch.lost(&lost.detail);
        }
        watch.events(database.moved().events, events);
    }
    database.finish().await
}
