//! Many rows in one statement: each statement costs about as much as thirty rows.

use futures_util::future::join;
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection, query::Query, sqlite::SqliteArguments};

/// A statement with its values.
pub(crate) type Bound<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Few sizes, so that each stays in the cache of prepared statements.
const SIZES: [usize; 5] = [500, 100, 20, 4, 1];

/// Runs `head` + one `row` of placeholders per element, separated by commas, + `tail`, in as few
/// statements as the sizes allow.
pub(crate) async fn rows<T>(
    conn: &mut SqliteConnection,
    (head, row, tail): (&'static str, &'static str, &'static str),
    elements: &[T],
    bind: impl for<'q> Fn(Bound<'q>, &T) -> Bound<'q>,
) -> Result<u64, sqlx::Error> {
    let mut rest = elements;
    let mut next = || {
        let size = SIZES.into_iter().find(|size| *size <= rest.len())?;
        let (chunk, after) = rest.split_at(size);
        rest = after;
        let query = sqlx::query(AssertSqlSafe(statement(head, row, tail, size)));
        Some(chunk.iter().fold(query, &bind))
    };
    let mut changed = 0;
    let mut query = next();
    while let Some(now) = query {
        // The connection works on a thread of its own: meanwhile the next values are bound.
        let (done, bound) = join(now.execute(&mut *conn), async { next() }).await;
        changed += done?.rows_affected();
        query = bound;
    }
    Ok(changed)
}

/// Only constants and their repetition: no value is ever in the text.
fn statement(head: &str, row: &str, tail: &str, size: usize) -> String {
    let mut sql = String::with_capacity(head.len() + tail.len() + size * (row.len() + 1));
    sql.push_str(head);
    for number in 0..size {
        if number > 0 {
            sql.push(',');
        }
        sql.push_str(row);
    }
    sql.push_str(tail);
    sql
}
