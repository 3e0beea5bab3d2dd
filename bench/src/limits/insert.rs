//! The statements of an append on PostgreSQL, through a bare sqlx client.
//!
//! A topic has one lane of a node, and a lane has one connection: so has this.

use anyhow::Result;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::{
    file::{renew, rows},
    serve::runtime,
};
use crate::{
    event::{Ids, Row},
    measure::{Run, Watch},
};

const TABLES: &str = include_str!("../../../migrations/postgres/0001_store.sql");
const LOCK: &str = "-- locked topics\nSELECT *, (SELECT max(slots.slot) FROM slots) AS slot_now \
    FROM topics WHERE name = ANY($1) OR id = ANY($2) ORDER BY id FOR NO KEY UPDATE";
const HEADS: &str = "-- heads\nUPDATE topics SET head = new.head, recorded = new.recorded, \
    bytes = new.bytes, slot = new.slot FROM UNNEST($1::bigint[], $2::bigint[], $3::bigint[], \
    $4::bigint[], $5::integer[]) AS new (id, head, recorded, bytes, slot) WHERE topics.id = new.id";
const EVENTS: &str = "-- events\nINSERT INTO events (topic, version, slot, recorded, form, checksum, \
    attributes, data) SELECT $1, new.version, $2, new.recorded, new.form, new.checksum, \
    new.attributes, new.data FROM UNNEST($3::bigint[], $4::bigint[], $5::smallint[], $6::bigint[], \
    $7::text[], $8::bytea[]) AS new (version, recorded, form, checksum, attributes, data)";
const SEEN: &str = "-- keys\nINSERT INTO seen (topic, first, recorded, hashes) SELECT * FROM \
    UNNEST($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[])";
/// A moment as they are kept.
const RECORDED: i64 = 1_800_000_000_000_000;

pub(super) fn run(url: &str, events: u64, batch: u64) -> Result<Run> {
    runtime()?.block_on(async {
        let mut conn = PgConnection::connect(url).await?;
        sqlx::raw_sql(TABLES).execute(&mut conn).await?;
        let made = "INSERT INTO topics (uid, name, settings, epochs) VALUES ('bench', 'bench', '{}', '[]'); \
            INSERT INTO commits (lane, token, at) VALUES (1, 0, clock_timestamp())";
        sqlx::raw_sql(made).execute(&mut conn).await?;
        let (mut rows, mut ids) = (rows(batch), Ids::fresh());
        let watch = Watch::start(std::process::id())?;
        for number in 0..events / batch {
            renew(&mut rows, &mut ids);
            append(&mut conn, i64::try_from(number * batch)?, &rows).await?;
        }
        watch.stop(events / batch * batch)
    })
}

/// One transaction: the events behind `head`, their keys, and the new head.
async fn append(conn: &mut PgConnection, head: i64, rows: &[Row]) -> Result<()> {
    // As the relay does it, in one message.
    let begin =
        format!("BEGIN; UPDATE commits SET token = {head}, at = clock_timestamp() WHERE lane = 1");
    sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut *conn).await?;
    let topic = sqlx::query(LOCK).bind(vec!["bench"]).bind(Vec::<i64>::new());
    topic.fetch_all(&mut *conn).await?;
    let count = i64::try_from(rows.len())?;
    let (versions, last) = (head + 1..=head + count, head + count);
    sqlx::query(HEADS)
        .bind(vec![1_i64])
        .bind(vec![last])
        .bind(vec![RECORDED])
        .bind(vec![last << 10])
        .bind(vec![1_i32])
        .execute(&mut *conn)
        .await?;
    sqlx::query(EVENTS)
        .bind(1_i64)
        .bind(1_i32)
        .bind(versions.clone().collect::<Vec<_>>())
        .bind(vec![RECORDED; rows.len()])
        .bind(vec![1_i16; rows.len()])
        .bind(versions.map(|version| version ^ 0x5bd1_e995).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.attributes.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| &row.data[..]).collect::<Vec<_>>())
        .execute(&mut *conn)
        .await?;
    // As random as hashes are.
    let hashes: Vec<u8> =
        rows.iter().flat_map(|row| row.attributes.as_bytes()[7..23].iter().copied()).collect();
    sqlx::query(SEEN)
        .bind(vec![1_i64])
        .bind(vec![head + 1])
        .bind(vec![RECORDED])
        .bind(vec![hashes])
        .execute(&mut *conn)
        .await?;
    sqlx::query("COMMIT").execute(conn).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Else something else would be compared.
    #[test]
    fn the_statements_are_those_of_the_relay() {
        let files = [
            include_str!("../../../src/store/postgres/write.rs"),
            include_str!("../../../src/store/postgres/sync.rs"),
            include_str!("../../../src/store/postgres/commit.rs"),
        ];
        let plain = |text: &str| {
            let words: Vec<&str> = text.split_whitespace().filter(|word| *word != "\\").collect();
            words.join(" ")
        };
        let relay = plain(&files.concat());
        for statement in [LOCK, HEADS, EVENTS, SEEN] {
            let written = plain(&statement.replace('\n', "\\n"));
            assert!(relay.contains(&written), "{written}");
        }
        let begin =
            "BEGIN; UPDATE commits SET token = {}, at = clock_timestamp() WHERE lane = {lane}";
        assert!(relay.contains(begin), "{begin}");
    }
}
