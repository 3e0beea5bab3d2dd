//! Who does what: each node has a term that ends, and pieces of work that are its own until then.
//!
//! A node whose term has run out keeps what it has as long as nobody took it over. Whoever takes a
//! piece over raises its fence in the same statement, so that what the former holder still writes
//! is refused.
//!
//! Each step is one statement, which the database ends by itself: a node that stands still in the
//! middle of a claim holds up nobody else's.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use sqlx::{PgConnection, PgPool, postgres::PgRow};

use super::{
    PostgresStore,
    incoming::state,
    registry::CHANGED,
    row::Cells,
    shared::{Lease, Shared},
    spread::{self, Claim, Piece},
};
use crate::{
    event::Micros,
    store::{Holding, Member, MemberState, NewMember, Share, StoreError, Work},
};

/// The trouble of a node whose name another process has.
const NAME_TAKEN: &str = "node_name_taken";

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
        let asked = self.shared.clock.steady();
        self.check_name(&new.name).await?;
        state::check(&mut *self.shared.holding.acquire().await?).await?;
        // An earlier process of this name has ended: its term with it.
        let sql = "-- join\nWITH number AS (SELECT nextval('incarnations') AS next), \
            freed AS (DELETE FROM held USING nodes n WHERE n.name = $1 AND held.incarnation = n.incarnation) \
            INSERT INTO nodes (incarnation, name, work, until, roles, release) \
            SELECT next, $1, $2, clock_timestamp() + $3 * interval '1 microsecond', $4, $5 FROM number \
            ON CONFLICT (name) DO UPDATE SET incarnation = excluded.incarnation, \
            work = excluded.work, until = excluded.until, roles = excluded.roles, \
            release = excluded.release RETURNING incarnation";
        let term = self.shared.term;
        let incarnation: i64 = sqlx::query_scalar(sql)
            .bind(&*new.name)
            .bind(work)
            .bind(micros(term))
            .bind(&new.roles)
            .bind(env!("CARGO_PKG_VERSION"))
            .fetch_one(&self.shared.holding)
            .await?;
        *self.shared.lease.lock() =
            Lease { incarnation: Some(incarnation), end: Some(asked.plus(term)) };
        tell(&self.shared).await?;
        Ok(Member { incarnation: incarnation.cast_unsigned(), term: Some(term) })
    }

    async fn renew(&self, member: &Member) -> Result<(), StoreError> {
        let sql = "-- renew\nUPDATE nodes SET until = clock_timestamp() + $2 * interval '1 microsecond' \
            WHERE incarnation = $1";
        let asked = self.shared.clock.steady();
        let renewed = sqlx::query(sql)
            .bind(member.incarnation.cast_signed())
            .bind(micros(self.shared.term))
            .execute(&self.shared.holding)
            .await?;
        if renewed.rows_affected() == 0 {
            return Err(StoreError::Stale);
        }
        self.shared.lease.lock().end = Some(asked.plus(self.shared.term));
        Ok(())
    }

    async fn claim(&self, member: &Member, work: Work) -> Result<Share, StoreError> {
        let (incarnation, pool) = (member.incarnation.cast_signed(), &self.shared.holding);
        let mut nodes = living(pool, work).await?;
        if !nodes.contains(&incarnation) {
            // Whoever gave its part back and claims again has one again.
            let sql = "-- works\nUPDATE nodes SET work = array_append(work, $2) WHERE incarnation = $1 \
                AND until > clock_timestamp()";
            let works = sqlx::query(sql).bind(incarnation).bind(name(work)).execute(pool).await?;
            if works.rows_affected() == 0 {
                return Err(StoreError::Stale);
            }
            nodes.insert(incarnation);
        }
        drop_dead(pool, self.shared.term).await?;
        let pieces = pieces(pool, work).await?;
        let Claim { wanted, stays, leaving } =
            spread::claim(incarnation, &nodes, self.settled(work, &nodes), &pieces);
        take(pool, work, incarnation, &wanted).await?;
        leave(pool, work, &stays, &leaving).await?;
        // Another node may have taken some of them meanwhile, if this one's term had run out.
        let sql = "-- held now\nSELECT number FROM held WHERE incarnation = $1 AND work = $2 \
            AND leaves IS NULL";
        let held: Vec<i64> =
            sqlx::query_scalar(sql).bind(incarnation).bind(name(work)).fetch_all(pool).await?;
        Ok(Share::These(held.into_iter().collect()))
    }

    async fn leaving(&self, member: &Member) -> Result<BTreeMap<Work, BTreeSet<i64>>, StoreError> {
        let sql = "-- leaving\nSELECT work, number FROM held WHERE incarnation = $1 AND leaves IS NOT NULL";
        let rows: Vec<(String, i64)> = sqlx::query_as(sql)
            .bind(member.incarnation.cast_signed())
            .fetch_all(&self.shared.holding)
            .await?;
        let mut leaving = BTreeMap::<Work, BTreeSet<i64>>::new();
        for (called, number) in rows {
            if let Some(work) = Work::ALL.into_iter().find(|work| name(*work) == called) {
                leaving.entry(work).or_default().insert(number);
            }
        }
        Ok(leaving)
    }

    async fn leave(
        &self,
        member: &Member,
        work: Work,
        ended: &BTreeSet<i64>,
    ) -> Result<(), StoreError> {
        // What was told to stay after all is not free.
        let sql = "-- ended\nDELETE FROM held WHERE incarnation = $1 AND work = $2 AND number = ANY($3) \
            AND leaves IS NOT NULL";
        let left = sqlx::query(sql)
            .bind(member.incarnation.cast_signed())
            .bind(name(work))
            .bind(ended.iter().copied().collect::<Vec<i64>>())
            .execute(&self.shared.holding)
            .await?;
        if left.rows_affected() > 0 {
            tell(&self.shared).await?;
        }
        Ok(())
    }

    async fn give_back(&self, member: &Member, work: Work) -> Result<(), StoreError> {
        let incarnation = member.incarnation.cast_signed();
        for sql in [
            "-- ends\nUPDATE nodes SET work = array_remove(work, $2) WHERE incarnation = $1",
            "-- give back\nDELETE FROM held WHERE incarnation = $1 AND work = $2",
            "-- leaves for good\nDELETE FROM nodes WHERE incarnation = $1 AND work = '{}' AND $2 <> ''",
        ] {
            sqlx::query(sql)
                .bind(incarnation)
                .bind(name(work))
                .execute(&self.shared.holding)
                .await?;
        }
        tell(&self.shared).await
    }

    async fn members(&self) -> Result<Vec<MemberState>, StoreError> {
        members(&self.shared).await
    }
}

impl PostgresStore {
    /// The nodes that work may move to from who holds it.
    fn settled(&self, work: Work, living: &BTreeSet<i64>) -> BTreeSet<i64> {
        let (now, ago) = (self.shared.clock.steady(), spread::settles(self.shared.term));
        self.shared.comers.settled(work, living, now, ago)
    }

    /// Whether no other process that lives has this node's name since it joined.
    async fn check_name(&self, name: &str) -> Result<(), StoreError> {
        let Some(mine) = self.shared.lease.lock().incarnation else { return Ok(()) };
        let sql = "-- name\nSELECT EXISTS (SELECT 1 FROM nodes WHERE name = $1 AND incarnation <> $2 \
            AND until > clock_timestamp())";
        let taken = sqlx::query_scalar(sql).bind(name).bind(mine);
        if taken.fetch_one(&self.shared.holding).await? {
            let detail = format!(
                "another process has joined as node `{name}`, so this one does nothing: give each \
                 process a `cluster.node` of its own"
            );
            self.shared.server.troubles.began(NAME_TAKEN, detail.clone());
            return Err(StoreError::Conflict(detail));
        }
        self.shared.server.troubles.ended(NAME_TAKEN, "this node has its name for itself again");
        Ok(())
    }
}

/// Every node that is known, and what each holds.
pub(super) async fn members(shared: &Shared) -> Result<Vec<MemberState>, StoreError> {
    let sql = "-- members\nSELECT incarnation, name, roles, release, greatest(0, (extract(epoch FROM \
        until - clock_timestamp()) * 1000000)::bigint) AS left_us, until > clock_timestamp() AS lives \
        FROM nodes ORDER BY name";
    let rows = sqlx::query(sql).fetch_all(&shared.pool).await?;
    let sql =
        "-- held\nSELECT incarnation, work, array_agg(number) FROM held GROUP BY incarnation, work";
    let held: Vec<(i64, String, Vec<i64>)> = sqlx::query_as(sql).fetch_all(&shared.pool).await?;
    let own = shared.lease.lock().incarnation;
    let member = |row: &PgRow| {
        let row = Cells::of(row, "nodes");
        let incarnation: i64 = row.get("incarnation")?;
        let own_work = held.iter().filter(|(holder, ..)| *holder == incarnation);
        let share = |(_, work, numbers): &(i64, String, Vec<i64>)| {
            let work = Work::ALL.into_iter().find(|known| name(*known) == work)?;
            Some((work, Share::These(numbers.iter().copied().collect())))
        };
        let lives: bool = row.get("lives")?;
        let left = row.get::<Option<Micros>>("left_us")?.filter(|_| lives);
        Ok(MemberState {
            name: row.get("name")?,
            incarnation: incarnation.cast_unsigned(),
            roles: row.get("roles")?,
            release: row.get("release")?,
            lives,
            term_left: left.map(|left| Duration::from_micros(left.0.unsigned_abs())),
            is_this: own == Some(incarnation),
            held: own_work.filter_map(share).collect(),
        })
    };
    rows.iter().map(member).collect()
}

/// Whether there is work of nodes whose terms have run out, and after what time there may be more: when
/// the next term ends, if it is not renewed.
pub(super) async fn orphans(shared: &Shared) -> Result<(bool, Option<Duration>), StoreError> {
    let sql = "-- orphans\nSELECT EXISTS (SELECT 1 FROM held WHERE NOT EXISTS (SELECT 1 FROM nodes n \
        WHERE n.incarnation = held.incarnation AND n.until > clock_timestamp())), \
        (SELECT (extract(epoch FROM min(until) - clock_timestamp()) * 1000000)::bigint FROM nodes \
        WHERE until > clock_timestamp())";
    let (are_there, left_us): (bool, Option<i64>) =
        sqlx::query_as(sql).fetch_one(&shared.holding).await?;
    Ok((are_there, left_us.map(|left| Duration::from_micros(left.max(0).unsigned_abs()))))
}

/// Forgets nodes that have been away for long.
pub(super) async fn forget(conn: &mut PgConnection) -> Result<(), StoreError> {
    let sql = "-- old nodes\nDELETE FROM nodes WHERE until < clock_timestamp() - interval '1 hour'";
    sqlx::query(sql).execute(conn).await?;
    Ok(())
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The nodes that do this kind of work and whose term has not run out.
async fn living(pool: &PgPool, work: Work) -> Result<BTreeSet<i64>, StoreError> {
    let sql = "-- living\nSELECT incarnation FROM nodes WHERE until > clock_timestamp() AND $1 = ANY(work)";
    let nodes: Vec<i64> = sqlx::query_scalar(sql).bind(name(work)).fetch_all(pool).await?;
    Ok(nodes.into_iter().collect())
}

/// Frees what nodes held whose terms have run out.
async fn drop_dead(pool: &PgPool, term: Duration) -> Result<(), StoreError> {
    // When the database was away every term has run out at once: for a whole one everybody may come
    // back to what he had.
    let sql = "-- run out\nDELETE FROM held WHERE greatest(pg_postmaster_start_time(), \
        (SELECT since FROM history)) < clock_timestamp() - $1 * interval '1 microsecond' \
        AND NOT EXISTS (SELECT 1 FROM nodes n \
        WHERE n.incarnation = held.incarnation AND n.until > clock_timestamp())";
    sqlx::query(sql).bind(micros(term)).execute(pool).await?;
    Ok(())
}

/// All pieces of a kind.
async fn pieces(pool: &PgPool, work: Work) -> Result<Vec<Piece>, StoreError> {
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
        "-- pieces\nSELECT p.number, p.key, h.incarnation, h.leaves IS NOT NULL FROM ({all}) p \
         LEFT JOIN held h ON h.work = $1 AND h.number = p.number"
    );
    let rows: Vec<(i64, String, Option<i64>, bool)> =
        sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(name(work)).fetch_all(pool).await?;
    let piece = |(number, key, holder, leaves)| Piece { number, key, holder, leaves };
    Ok(rows.into_iter().map(piece).collect())
}

/// Marks pieces that are another node's part by now, and those that stay after all. They are freed by who
/// holds them: it alone knows when its roles were told.
async fn leave(pool: &PgPool, work: Work, kept: &[i64], leaving: &[i64]) -> Result<(), StoreError> {
    if !kept.is_empty() {
        let sql = "-- stays\nUPDATE held SET leaves = NULL WHERE work = $1 AND number = ANY($2)";
        sqlx::query(sql).bind(name(work)).bind(kept).execute(pool).await?;
    }
    if !leaving.is_empty() {
        let sql = "-- leaves\nUPDATE held SET leaves = clock_timestamp() \
            WHERE work = $1 AND number = ANY($2) AND leaves IS NULL";
        sqlx::query(sql).bind(name(work)).bind(leaving).execute(pool).await?;
    }
    Ok(())
}

/// Takes free pieces that nobody else took meanwhile: whoever had them writes nothing more.
async fn take(
    pool: &PgPool,
    work: Work,
    incarnation: i64,
    wanted: &[i64],
) -> Result<(), StoreError> {
    if wanted.is_empty() {
        return Ok(());
    }
    let fences = match work {
        Work::Source => {
            "UPDATE sources SET fence = fence + 1 WHERE id IN (SELECT number FROM taken)"
        }
        Work::Subscription => {
            "UPDATE positions SET fence = fence + 1 WHERE subscription IN (SELECT number FROM taken)"
        }
        Work::Retention | Work::Pending => "SELECT 1",
    };
    let sql = format!(
        "-- take\nWITH taken AS (INSERT INTO held (work, number, incarnation) \
         SELECT $1, number, $2 FROM UNNEST($3::bigint[]) AS wanted (number) WHERE EXISTS \
         (SELECT 1 FROM nodes WHERE incarnation = $2 AND until > clock_timestamp()) \
         ON CONFLICT DO NOTHING RETURNING number), fenced AS ({fences}) SELECT number FROM taken"
    );
    let take = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(name(work)).bind(incarnation);
    take.bind(wanted).execute(pool).await?;
    Ok(())
}

/// Tells all nodes that there may be work to claim.
async fn tell(shared: &Shared) -> Result<(), StoreError> {
    let sql = "-- claimable\nSELECT pg_notify($1, '')";
    sqlx::query(sql).bind(CHANGED).execute(&shared.holding).await?;
    shared.announce();
    Ok(())
}
