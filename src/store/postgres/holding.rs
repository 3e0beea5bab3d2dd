//! Who does what: each node has a term that ends, and pieces of work that are its own until then.
//!
//! A node whose term has run out keeps what it has as long as nobody took it over. Whoever takes a
//! piece over raises its fence in the same transaction, so that what the former holder still writes
//! is refused.

use std::{collections::BTreeSet, hash::Hasher as _, time::Duration};

use async_trait::async_trait;
use siphasher::sip::SipHasher13;
use sqlx::PgConnection;

use super::{PostgresStore, registry::Registry};
use crate::store::{Holding, Member, NewMember, Share, StoreError, Work};

/// How long after a renewal a node holds what it has.
const TERM: Duration = Duration::from_secs(10);
/// How long a piece stays with a node that has to let go of it: what was begun ends meanwhile.
const LEAVING: Duration = Duration::from_secs(2);

/// What a kind of work is called in a column.
const fn name(work: Work) -> &'static str {
    match work {
        Work::Source => "source",
        Work::Subscription => "subscription",
        Work::Retention => "retention",
        Work::Pending => "pending",
    }
}

#[async_trait]
impl Holding for PostgresStore {
    async fn join(&self, new: &NewMember) -> Result<Member, StoreError> {
        let work: Vec<&str> = new.work.iter().copied().map(name).collect();
        let mut registry = self.registry().await?;
        // An earlier process of this name has ended: its term with it.
        let sql = "-- join\nWITH number AS (SELECT nextval('incarnations') AS next), \
            freed AS (DELETE FROM held USING nodes n WHERE n.name = $1 AND held.incarnation = n.incarnation) \
            INSERT INTO nodes (incarnation, name, work, until) \
            SELECT next, $1, $2, clock_timestamp() + $3 * interval '1 microsecond' FROM number \
            ON CONFLICT (name) DO UPDATE SET incarnation = excluded.incarnation, \
            work = excluded.work, until = excluded.until RETURNING incarnation";
        let incarnation: i64 = sqlx::query_scalar(sql)
            .bind(&*new.name)
            .bind(work)
            .bind(micros(TERM))
            .fetch_one(&mut *registry.conn)
            .await?;
        registry.commit().await?;
        Ok(Member { incarnation: incarnation.cast_unsigned(), term: Some(TERM) })
    }

    async fn renew(&self, member: &Member) -> Result<(), StoreError> {
        let sql = "-- renew\nUPDATE nodes SET until = clock_timestamp() + $2 * interval '1 microsecond' \
            WHERE incarnation = $1";
        let renewed = sqlx::query(sql)
            .bind(member.incarnation.cast_signed())
            .bind(micros(TERM))
            .execute(&self.shared.pool)
            .await?;
        if renewed.rows_affected() == 0 { Err(StoreError::Stale) } else { Ok(()) }
    }

    async fn claim(&self, member: &Member, work: Work) -> Result<Share, StoreError> {
        let incarnation = member.incarnation.cast_signed();
        let mut registry = self.registry().await?;
        // Whoever gave its part back and claims again has one again.
        let sql = "-- works\nUPDATE nodes SET work = array_append(work, $2) \
            WHERE incarnation = $1 AND NOT $2 = ANY(work)";
        sqlx::query(sql).bind(incarnation).bind(name(work)).execute(&mut *registry.conn).await?;
        let nodes = living(&mut registry.conn, work).await?;
        if !nodes.contains(&incarnation) {
            return Err(StoreError::Stale);
        }
        drop_dead(&mut registry.conn).await?;
        let pieces = pieces(&mut registry.conn, work).await?;
        let mine = |piece: &&Piece| best(&nodes, &piece.key) == Some(incarnation);
        let own: Vec<&Piece> =
            pieces.iter().filter(|piece| piece.holder == Some(incarnation)).collect();
        let (kept, leaving): (Vec<&Piece>, Vec<&Piece>) = own.into_iter().partition(mine);
        let free = pieces.iter().filter(|piece| piece.holder.is_none());
        let taken: Vec<i64> = free.filter(mine).map(|piece| piece.number).collect();
        take(&mut registry, work, incarnation, &taken).await?;
        let left = leave(&mut registry.conn, work, &numbers(&kept), &numbers(&leaving)).await?;
        // Whoever they belong to is told that they are free.
        if left > 0 { registry.commit().await } else { registry.commit_quietly().await }?;
        Ok(Share::These(kept.iter().map(|piece| piece.number).chain(taken).collect()))
    }

    async fn give_back(&self, member: &Member, work: Work) -> Result<(), StoreError> {
        let mut registry = self.registry().await?;
        let incarnation = member.incarnation.cast_signed();
        sqlx::query("-- give back\nDELETE FROM held WHERE incarnation = $1 AND work = $2")
            .bind(incarnation)
            .bind(name(work))
            .execute(&mut *registry.conn)
            .await?;
        let sql = "-- ends\nUPDATE nodes SET work = array_remove(work, $2) WHERE incarnation = $1";
        sqlx::query(sql).bind(incarnation).bind(name(work)).execute(&mut *registry.conn).await?;
        registry.commit().await
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The nodes that do this kind of work and whose term has not run out.
async fn living(conn: &mut PgConnection, work: Work) -> Result<BTreeSet<i64>, StoreError> {
    let sql = "-- living\nSELECT incarnation FROM nodes WHERE until > clock_timestamp() AND $1 = ANY(work)";
    let nodes: Vec<i64> = sqlx::query_scalar(sql).bind(name(work)).fetch_all(conn).await?;
    Ok(nodes.into_iter().collect())
}

/// Frees what nodes held whose terms have run out.
async fn drop_dead(conn: &mut PgConnection) -> Result<(), StoreError> {
    // When the database was away every term has run out at once: for a whole one everybody may come
    // back to what he had.
    let sql = "-- run out\nDELETE FROM held \
        WHERE clock_timestamp() - pg_postmaster_start_time() > $1 * interval '1 microsecond' \
        AND NOT EXISTS (SELECT 1 FROM nodes n \
        WHERE n.incarnation = held.incarnation AND n.until > clock_timestamp())";
    sqlx::query(sql).bind(micros(TERM)).execute(conn).await?;
    Ok(())
}

/// A piece of work.
struct Piece {
    number: i64,
    /// What it goes by.
    key: String,
    holder: Option<i64>,
}

fn numbers(pieces: &[&Piece]) -> Vec<i64> {
    pieces.iter().map(|piece| piece.number).collect()
}

/// All pieces of a kind.
async fn pieces(conn: &mut PgConnection, work: Work) -> Result<Vec<Piece>, StoreError> {
    // All sources of a topic go to one node: their appends share commits.
    let all = match work {
        Work::Source => {
            "SELECT s.id AS number, t.name AS key FROM sources s JOIN topics t ON t.id = s.topic"
        }
        Work::Subscription => {
            "SELECT id AS number, name AS key FROM subscriptions WHERE status <> 'deleted'"
        }
        Work::Retention | Work::Pending => "SELECT id AS number, name AS key FROM topics",
    };
    let sql = format!(
        "-- pieces\nSELECT p.number, p.key, h.incarnation FROM ({all}) p \
         LEFT JOIN held h ON h.work = $1 AND h.number = p.number"
    );
    let rows: Vec<(i64, String, Option<i64>)> =
        sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(name(work)).fetch_all(conn).await?;
    Ok(rows.into_iter().map(|(number, key, holder)| Piece { number, key, holder }).collect())
}

/// Frees pieces that belong to another node by now, some time after their holder was told that it has
/// them no more; answers how many are free.
async fn leave(
    conn: &mut PgConnection,
    work: Work,
    kept: &[i64],
    leaving: &[i64],
) -> Result<u64, StoreError> {
    let sql = "-- stays\nUPDATE held SET leaves = NULL WHERE work = $1 AND number = ANY($2) \
        AND leaves IS NOT NULL";
    sqlx::query(sql).bind(name(work)).bind(kept).execute(&mut *conn).await?;
    let sql = "-- left\nDELETE FROM held WHERE work = $1 AND number = ANY($2) \
        AND leaves <= clock_timestamp()";
    let left = sqlx::query(sql).bind(name(work)).bind(leaving).execute(&mut *conn).await?;
    let sql = "-- leaves\nUPDATE held SET leaves = clock_timestamp() + $3 * interval '1 microsecond' \
        WHERE work = $1 AND number = ANY($2) AND leaves IS NULL";
    sqlx::query(sql).bind(name(work)).bind(leaving).bind(micros(LEAVING)).execute(conn).await?;
    Ok(left.rows_affected())
}

/// The node that a piece goes to: the one with the highest hash of both, so that a node that comes or
/// goes moves only its own.
fn best(nodes: &BTreeSet<i64>, key: &str) -> Option<i64> {
    nodes.iter().copied().max_by_key(|node| {
        // The same on every node, whatever its release.
        let mut hasher = SipHasher13::new();
        hasher.write(&node.to_be_bytes());
        hasher.write(key.as_bytes());
        hasher.finish()
    })
}

/// Takes pieces over: whoever had them writes nothing more.
async fn take(
    registry: &mut Registry,
    work: Work,
    incarnation: i64,
    taken: &[i64],
) -> Result<(), StoreError> {
    if taken.is_empty() {
        return Ok(());
    }
    let sql = "-- take\nINSERT INTO held (work, number, incarnation) \
        SELECT $1, number, $2 FROM UNNEST($3::bigint[]) AS taken (number)";
    sqlx::query(sql)
        .bind(name(work))
        .bind(incarnation)
        .bind(taken)
        .execute(&mut *registry.conn)
        .await?;
    let sql = match work {
        Work::Source => "-- fences\nUPDATE sources SET fence = fence + 1 WHERE id = ANY($1)",
        Work::Subscription => {
            "-- fences\nUPDATE positions SET fence = fence + 1 WHERE subscription = ANY($1)"
        }
        Work::Retention | Work::Pending => return Ok(()),
    };
    sqlx::query(sql).bind(taken).execute(&mut *registry.conn).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_spread_evenly_and_little_of_it_moves() {
        let (three, four) = (BTreeSet::from([11, 12, 13]), BTreeSet::from([11, 12, 13, 14]));
        let keys: Vec<String> = (0..3_000).map(|number| format!("orders-{number}")).collect();
        for nodes in [&three, &four] {
            for node in nodes {
                let share = keys.iter().filter(|key| best(nodes, key) == Some(*node)).count();
                let even = keys.len() / nodes.len();
                assert!(share.abs_diff(even) <= even / 10, "{node} of {nodes:?}: {share}");
            }
        }
        let moved = keys.iter().filter(|key| best(&three, key) != best(&four, key));
        let moved: Vec<_> = moved.map(|key| best(&four, key)).collect();
        assert!(moved.iter().all(|node| *node == Some(14)), "only to the one that came");
        assert_eq!(best(&BTreeSet::new(), "orders"), None);
    }
}
