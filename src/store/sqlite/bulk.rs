//! Many rows in one statement: each statement costs about as much as thirty rows.

use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection, query::Query, sqlite::SqliteArguments};

/// A statement with its values.
pub(super) type Bound<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Few sizes, so that each stays in the cache of prepared statements.
const SIZES: [usize; 4] = [256, 32, 4, 1];

/// Runs `head` + one `row` of placeholders per element, separated by commas, + `tail`, in as few
/// statements as the sizes allow.
pub(super) async fn rows<T>(
    conn: &mut SqliteConnection,
    (head, row, tail): (&'static str, &'static str, &'static str),
    elements: &[T],
    bind: impl for<'q> Fn(Bound<'q>, &T) -> Bound<'q>,
) -> Result<u64, sqlx::Error> {
    let mut rest = elements;
    let mut changed = 0;
    while !rest.is_empty() {
        let size = SIZES.into_iter().find(|size| *size <= rest.len()).unwrap_or(1);
        let (chunk, after) = rest.split_at(size);
        rest = after;
        let mut sql = String::with_capacity(head.len() + tail.len() + size * (row.len() + 1));
        sql.push_str(head);
        for number in 0..size {
            if number > 0 {
                sql.push(',');
            }
            sql.push_str(row);
        }
        sql.push_str(tail);
        // Only constants and their repetition: no value is ever in the text.
        let query = chunk.iter().fold(sqlx::query(AssertSqlSafe(sql)), &bind);
        changed += query.execute(&mut *conn).await?.rows_affected();
    }
    Ok(changed)
}
