//! Pages straight from PostgreSQL, through a bare sqlx client.

use anyhow::Result;
use sqlx::{Connection as _, PgConnection, Row as _};

use super::{
    file::PAGE,
    serve::{Pages, listen, runtime, serve},
};

const PAGE_SQL: &str = "-- page\nSELECT version, recorded, form, checksum, attributes, data FROM (\
    SELECT e.*, sum(octet_length(attributes) + coalesce(octet_length(data), 0)) \
    OVER (ORDER BY version) AS bytes, row_number() OVER (ORDER BY version) AS place \
    FROM events e WHERE topic = $1 AND version BETWEEN $2 AND $3 \
    AND slot >= (SELECT coalesce(max(slot), 0) FROM spans WHERE topic = $1 AND first <= $2) \
    AND slot <= (SELECT coalesce(max(slot), 0) FROM spans WHERE topic = $1 AND first <= $3) \
    ORDER BY version LIMIT $4) page WHERE bytes <= $5 OR place = 1 ORDER BY version";
/// As much as the relay reads at once at most.
const BYTES_MAX: i64 = 4 << 20;

/// Answers as [`super::serve::pages`] does.
pub(super) fn run(url: &str) -> Result<()> {
    runtime()?.block_on(async {
        let listener = listen().await?;
        loop {
            let (stream, _) = listener.accept().await?;
            let mut conn = PgConnection::connect(url).await?;
            let newest = "SELECT id, head FROM topics WHERE name = 'bench'";
            let (topic, head) = sqlx::query_as(newest).fetch_one(&mut conn).await?;
            let database = Database { conn, topic, head };
            // A client that breaks off is no concern of the server.
            tokio::spawn(async move { serve(stream, database).await.ok() });
        }
    })
}

/// The relay's database.
struct Database {
    conn: PgConnection,
    topic: i64,
    head: i64,
}

impl Pages for Database {
    async fn page(&mut self, after: i64) -> Result<Vec<u8>> {
        let rows = sqlx::query(PAGE_SQL).bind(self.topic).bind(after + 1).bind(self.head);
        let rows = rows.bind(PAGE).bind(BYTES_MAX).fetch_all(&mut self.conn).await?;
        let mut body: Vec<u8> = Vec::with_capacity(rows.len() * 1_200);
        for row in &rows {
            body.extend_from_slice(row.get::<&str, _>(4).as_bytes());
            body.extend_from_slice(row.get::<&[u8], _>(5));
            body.push(b'\n');
        }
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::PAGE_SQL;

    /// Else something else would be compared.
    #[test]
    fn the_statement_is_the_one_of_the_relay() {
        let plain = |text: &str| {
            let words: Vec<&str> = text.split_whitespace().filter(|word| *word != "\\").collect();
            words.join(" ").replace("(\\ ", "(")
        };
        let relay = plain(include_str!("../../../src/store/postgres/log.rs"));
        assert!(relay.contains(&plain(&PAGE_SQL.replace('\n', "\\n"))), "{PAGE_SQL}");
    }
}
