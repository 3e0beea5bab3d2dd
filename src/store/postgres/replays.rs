//! Replay jobs: started, listed, ended. A running one has a position of its own.

use async_trait::async_trait;
use sqlx::{PgConnection, postgres::PgRow};

use super::{
    PostgresStore,
    positions::{self, end_position},
    registry::{Registry, locked},
    row::{Cells, signed},
    shared::Shared,
    steering::touch,
    summaries,
};
use crate::{
    event::{Micros, Name},
    store::{
        Fence, Job, JobStatus, NewJob, Replays, StoreError,
        rules::{bounds, registry},
    },
};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "-- jobs\nSELECT j.id, t.name AS topic, j.first, j.last, j.rate, j.status, \
             coalesce(p.reach, j.reach) AS reach, coalesce(p.delivered, j.delivered) AS delivered, \
             j.started, j.ended, p.id AS position, coalesce(p.open, '') AS open, \
             (SELECT count(*) FROM exceptions x WHERE x.topic = p.topic AND x.position = p.id) AS excepted \
             FROM jobs j JOIN topics t ON t.id = j.topic LEFT JOIN positions p ON p.job = j.id \
             AND p.subscription = j.subscription ",
            $rest
        )
    };
}

#[async_trait]
impl Replays for PostgresStore {
    async fn start_replay(
        &self,
        name: &Name,
        job: &NewJob,
        now: Micros,
    ) -> Result<Job, StoreError> {
        let mut registry = self.registry().await?;
        let job = start(&mut registry, name, job, now).await?;
        registry.commit().await?;
        Ok(job)
    }

    async fn replays(&self, name: &Name) -> Result<Vec<Job>, StoreError> {
        list(&self.shared, name).await
    }

    async fn cancel_replay(&self, name: &Name, id: i64, now: Micros) -> Result<Job, StoreError> {
        let mut registry = self.registry().await?;
        let job = cancel(&mut registry, name, id, now).await?;
        registry.commit().await?;
        Ok(job)
    }

    async fn end_replay(&self, position: i64, fence: Fence, now: Micros) -> Result<(), StoreError> {
        let mut registry = self.registry().await?;
        end(&mut registry, position, fence, now).await?;
        registry.commit().await
    }
}

fn job(row: &PgRow) -> Result<Job, StoreError> {
    let topic = Cells::of(row, "topics").get("topic")?;
    let open = Cells::of(row, "positions").versions("open")?;
    let row = Cells::of(row, "jobs");
    Ok(Job {
        id: row.get("id")?,
        topic,
        from: row.get("first")?,
        to: row.get("last")?,
        rate: row.get("rate")?,
        status: row.get("status")?,
        reach: row.get("reach")?,
        unsettled: row.count("excepted")? + open.len() as u64,
        delivered: row.count("delivered")?,
        started: row.get("started")?,
        ended: row.get("ended")?,
    })
}

/// The jobs of a subscription, newest first.
pub(super) async fn list(shared: &Shared, name: &Name) -> Result<Vec<Job>, StoreError> {
    let mut conn = shared.pool.acquire().await?;
    let subscription = summaries::one(&mut conn, &shared.seal, name).await?.id;
    let rows = sqlx::query(select!("WHERE j.subscription = $1 ORDER BY j.id DESC LIMIT 110"))
        .bind(subscription)
        .fetch_all(&mut *conn)
        .await?;
    rows.iter().map(job).collect()
}

/// The job of this number, and its position while it runs.
pub(super) async fn one(
    conn: &mut PgConnection,
    subscription: i64,
    id: i64,
) -> Result<(Job, Option<i64>), StoreError> {
    let row = sqlx::query(select!("WHERE j.subscription = $1 AND j.id = $2"))
        .bind(subscription)
        .bind(id)
        .fetch_optional(conn)
        .await?
        .ok_or_else(|| StoreError::not_found("replay", id.to_string()))?;
    Ok((job(&row)?, Cells::of(&row, "positions").get("position")?))
}

/// Starts a job with a position of its own.
pub(super) async fn start(
    registry: &mut Registry,
    name: &Name,
    new: &NewJob,
    now: Micros,
) -> Result<Job, StoreError> {
    let known = summaries::one(&mut registry.conn, &registry.shared.seal, name).await?;
    let topic = locked(&mut registry.conn, &new.topic).await?;
    let held = positions::of(&mut registry.conn, known.id).await?;
    let is_in_topic = held.iter().any(|(_, held)| *held == topic.id);
    let running = known.positions.iter().filter(|position| position.job.is_some()).count();
    registry::may_replay(name, is_in_topic, &topic, new, running)?;
    positions::room(registry, 1).await?;
    let reach = signed(new.from.previous().0);
    let sql = "-- new job\nINSERT INTO jobs (subscription, topic, first, last, rate, status, reach, started) \
        VALUES ($1, $2, $3, $4, $5, 'running', $6, $7) RETURNING id";
    let id: i64 = sqlx::query_scalar(sql)
        .bind(known.id)
        .bind(topic.id)
        .bind(signed(new.from.0))
        .bind(signed(new.to.0))
        .bind(new.rate.map(|rate| rate.to_string()))
        .bind(reach)
        .bind(now.0)
        .fetch_one(&mut *registry.conn)
        .await?;
    let sql = "-- position of a job\nINSERT INTO positions (subscription, topic, reach, job) \
        VALUES ($1, $2, $3, $4)";
    sqlx::query(sql)
        .bind(known.id)
        .bind(topic.id)
        .bind(reach)
        .bind(id)
        .execute(&mut *registry.conn)
        .await?;
    let sql = "-- jobs bound\nDELETE FROM jobs WHERE subscription = $1 AND status <> 'running' \
        AND id NOT IN (SELECT id FROM jobs WHERE subscription = $1 AND status <> 'running' \
        ORDER BY id DESC LIMIT $2)";
    sqlx::query(sql)
        .bind(known.id)
        .bind(bounds::ENDED_JOBS_MAX)
        .execute(&mut *registry.conn)
        .await?;
    touch(registry, known.id).await?;
    Ok(one(&mut registry.conn, known.id, id).await?.0)
}

/// Ends a job before its time; one that was cancelled already stays so.
pub(super) async fn cancel(
    registry: &mut Registry,
    name: &Name,
    id: i64,
    now: Micros,
) -> Result<Job, StoreError> {
    let known = summaries::one(&mut registry.conn, &registry.shared.seal, name).await?;
    let (job, position) = one(&mut registry.conn, known.id, id).await?;
    if job.status == JobStatus::Done {
        return Err(StoreError::Conflict(format!("replay {id} of `{name}` is done already")));
    }
    if let Some(position) = position {
        end_position(registry, position, JobStatus::Cancelled, now).await?;
        touch(registry, known.id).await?;
    }
    Ok(one(&mut registry.conn, known.id, id).await?.0)
}

/// Ends a job that has nothing left to do.
pub(super) async fn end(
    registry: &mut Registry,
    position: i64,
    fence: Fence,
    now: Micros,
) -> Result<(), StoreError> {
    let sql = "-- job position\nSELECT subscription, fence, job FROM positions WHERE id = $1 \
        FOR NO KEY UPDATE";
    let row = sqlx::query(sql).bind(position).fetch_optional(&mut *registry.conn).await?;
    let Some(row) = row else { return Err(StoreError::Stale) };
    let row = Cells::of(&row, "positions");
    let is_live = row.get::<Option<i64>>("job")?.is_none();
    match row.count("fence")? {
        _ if is_live => Err(StoreError::Conflict("live delivery does not end".into())),
        held if held == fence => {
            end_position(registry, position, JobStatus::Done, now).await?;
            touch(registry, row.get("subscription")?).await
        }
        _ => Err(StoreError::Stale),
    }
}
