//! What a lane decides by: read under the locks of a transaction, and kept for the next one.
//!
//! The keys of events that came before are in memory. A topic whose head is where this lane left it
//! has gained none; else those of other nodes are read from there on.

use std::collections::{BTreeSet, HashMap};

use sqlx::PgConnection;

use super::{
    history,
    row::{self, Cells, signed},
    shared::{Shared, has_gone_back},
};
use crate::{
    event::{Topic, Version},
    store::{
        Pending, SourceProgress, StoreError, TopicState,
        rules::{
            group::Plan,
            known::{Change, Known, KnownPending, KnownPosition, KnownSource},
            ops::{DuePending, Hot},
        },
    },
};

/// What a lane knows.
#[derive(Default)]
pub(super) struct Synced {
    pub(super) known: Known,
    /// Of each topic beside its state.
    pub(super) marks: HashMap<i64, Marks>,
    /// Where events go now.
    pub(super) slot: i32,
}

/// What tells whether something of a topic is new.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Marks {
    /// Of the head.
    pub(super) slot: i32,
    /// What is pending, as of this change.
    waiting: i64,
    /// The keys of versions up to it are gone.
    forgotten: u64,
}

impl Synced {
    /// Locks what the operations are about and learns how it is; answers numbers for the events that
    /// begin to wait.
    pub(super) async fn sync(
        &mut self,
        conn: &mut PgConnection,
        ops: &[Hot],
        shared: &Shared,
    ) -> Result<Vec<i64>, StoreError> {
        let (mut names, mut topics) = (BTreeSet::new(), BTreeSet::new());
        // Each with its topic: pairs of two numbers.
        let (mut sources, mut positions) = (Vec::new(), BTreeSet::new());
        let mut later = 0;
        for op in ops {
            match op {
                Hot::Append { append, .. } => {
                    names.insert(&append.topic);
                    let of = |progress: &SourceProgress| (&append.topic, progress.source);
                    sources.extend(append.progress.as_ref().map(of));
                    later += append.events.iter().filter(|it| it.deliver_at.is_some()).count();
                }
                Hot::Release { due, .. } => topics.extend(due.iter().map(|due| due.topic)),
                Hot::Settle { settlement, .. } => {
                    positions.insert((settlement.topic, settlement.position));
                }
                Hot::Health { .. } => {}
            }
        }
        if !names.is_empty() || !topics.is_empty() {
            self.topics(conn, &names, topics.into_iter().collect(), shared).await?;
        }
        if !sources.is_empty() {
            let number = |(topic, source)| Some((*self.known.names.get(topic)?, source));
            let sources: BTreeSet<_> = sources.into_iter().filter_map(number).collect();
            self.sources(conn, sources, shared).await?;
        }
        if !positions.is_empty() {
            self.positions(conn, positions, shared).await?;
        }
        if later > 0 { self.numbers(conn, later, shared).await } else { Ok(Vec::new()) }
    }

    async fn topics(
        &mut self,
        conn: &mut PgConnection,
        names: &BTreeSet<&Topic>,
        ids: Vec<i64>,
        shared: &Shared,
    ) -> Result<(), StoreError> {
        let asked: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        let sql = "-- locked topics\nSELECT *, (SELECT max(slots.slot) FROM slots) AS slot_now \
            FROM topics WHERE name = ANY($1) OR id = ANY($2) ORDER BY id FOR NO KEY UPDATE";
        let rows = sqlx::query(sql).bind(asked).bind(&ids).fetch_all(&mut *conn).await?;
        let mut found = BTreeSet::new();
        for row in &rows {
            let mut state = row::topic_state(row)?;
            if let Some(seen) = shared.published(&state.topic)
                && seen.state.id == state.id
                && has_gone_back(&state, &seen.state)
            {
                let (now, troubles) = (shared.clock.now(), &shared.server.troubles);
                state = history::cut(conn, &state, seen.state.head, now, troubles).await?;
            }
            let cells = Cells::of(row, "topics");
            self.slot = cells.get::<Option<i32>>("slot_now")?.unwrap_or_default();
            let marks = Marks {
                slot: cells.get("slot")?,
                waiting: cells.get("waiting")?,
                forgotten: cells.count("forgotten")?,
            };
            found.insert(state.topic.clone());
            self.topic(conn, state, marks).await?;
        }
        for gone in names.iter().filter(|name| !found.contains(**name)) {
            if let Some(id) = self.known.names.get(*gone).copied() {
                self.known.apply(Change::TopicGone(id));
                self.marks.remove(&id);
            }
        }
        Ok(())
    }

    async fn topic(
        &mut self,
        conn: &mut PgConnection,
        state: TopicState,
        marks: Marks,
    ) -> Result<(), StoreError> {
        let id = state.id;
        if let Some(other) = self.known.names.get(&state.topic).copied()
            && other != id
        {
            self.known.apply(Change::TopicGone(other));
        }
        let mut head = self.known.topics.get(&id).map(|known| known.state.head);
        if head.is_some_and(|known| known > state.head) {
            // What was committed is gone: the database was set back.
            self.known.apply(Change::TopicGone(id));
            head = None;
        }
        let before = if head.is_some() { self.marks.get(&id).copied() } else { None };
        let from = head.unwrap_or_default();
        let moved = head.is_none() || from < state.head;
        self.known.apply(Change::Topic(state));
        if moved {
            self.keys(conn, id, from).await?;
        }
        if before.is_none_or(|before| before.waiting != marks.waiting) {
            self.pending(conn, id).await?;
        }
        let forgotten = before.map_or(0, |before| before.forgotten);
        if head.is_some() && forgotten < marks.forgotten {
            let count = usize::try_from(marks.forgotten - forgotten).unwrap_or(usize::MAX);
            self.known.apply(Change::KeysGone(id, Version(marks.forgotten), count));
        }
        self.marks.insert(id, marks);
        Ok(())
    }

    /// The keys of versions above `from`.
    async fn keys(
        &mut self,
        conn: &mut PgConnection,
        id: i64,
        from: Version,
    ) -> Result<(), StoreError> {
        let sql = "-- seen\nSELECT first, hashes FROM seen WHERE topic = $1 AND first > $2 ORDER BY first";
        let rows = sqlx::query(sql).bind(id).bind(signed(from.0)).fetch_all(conn).await?;
        let Some(topic) = self.known.topics.get_mut(&id) else { return Ok(()) };
        for row in &rows {
            let row = Cells::of(row, "seen");
            let mut version: Version = row.get("first")?;
            for key in row.hashes("hashes")? {
                topic.keys.insert(key, version);
                version = version.next();
                self.known.key_count += 1;
            }
        }
        Ok(())
    }

    async fn pending(&mut self, conn: &mut PgConnection, id: i64) -> Result<(), StoreError> {
        let sql =
            "-- pending of a topic\nSELECT id, due, hash, committed FROM pending WHERE topic = $1";
        let rows = sqlx::query(sql).bind(id).fetch_all(conn).await?;
        let before = self.known.topics.get(&id).map(|topic| topic.pending.values().copied());
        let before: Vec<i64> = before.into_iter().flatten().collect();
        for id in before {
            self.known.wait_no_more(id);
        }
        for row in &rows {
            let row = Cells::of(row, "pending");
            let one = KnownPending {
                topic: id,
                key: row.hashes("hash")?.next().unwrap_or_default(),
                due: row.get("due")?,
                committed: row.get("committed")?,
            };
            self.known.wait(row.get("id")?, one);
        }
        Ok(())
    }

    async fn sources(
        &mut self,
        conn: &mut PgConnection,
        asked: BTreeSet<(i64, i64)>,
        shared: &Shared,
    ) -> Result<(), StoreError> {
        let (topics, ids): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        let sql = "-- locked sources\nSELECT s.id, s.fence, s.journal_next, s.rejected_next, \
            (SELECT h.incarnation FROM held h WHERE h.work = 'source' AND h.number = s.id) AS holder \
            FROM sources s WHERE (s.topic, s.id) IN (SELECT * FROM UNNEST($1::bigint[], $2::bigint[])) \
            ORDER BY s.id FOR NO KEY UPDATE";
        let rows = sqlx::query(sql).bind(topics).bind(ids).fetch_all(conn).await?;
        // What was known of others is not needed again.
        self.known.sources.clear();
        for row in &rows {
            let row = Cells::of(row, "sources");
            let one = KnownSource {
                fence: fence(row, shared)?,
                journal_next: row.count("journal_next")?,
                rejected_next: row.count("rejected_next")?,
            };
            self.known.sources.insert(row.get("id")?, one);
        }
        Ok(())
    }

    async fn positions(
        &mut self,
        conn: &mut PgConnection,
        asked: BTreeSet<(i64, i64)>,
        shared: &Shared,
    ) -> Result<(), StoreError> {
        let (topics, ids): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        let sql = "-- locked positions\nSELECT p.id, p.subscription, p.topic, p.fence, p.job, \
            (SELECT h.incarnation FROM held h WHERE h.work = 'subscription' \
             AND h.number = p.subscription) AS holder \
            FROM positions p WHERE (p.topic, p.id) IN (SELECT * FROM UNNEST($1::bigint[], $2::bigint[])) \
            ORDER BY p.id FOR NO KEY UPDATE";
        let rows = sqlx::query(sql).bind(topics).bind(ids).fetch_all(conn).await?;
        // What was known of others is not needed again.
        self.known.positions.clear();
        for row in &rows {
            let row = Cells::of(row, "positions");
            let one = KnownPosition {
                subscription: row.get("subscription")?,
                topic: row.get("topic")?,
                fence: fence(row, shared)?,
                job: row.get("job")?,
            };
            self.known.positions.insert(row.get("id")?, one);
        }
        Ok(())
    }

    /// Numbers for so many events that begin to wait, and how many more may.
    async fn numbers(
        &mut self,
        conn: &mut PgConnection,
        count: usize,
        shared: &Shared,
    ) -> Result<Vec<i64>, StoreError> {
        let all: i64 = sqlx::query_scalar("-- pending count\nSELECT count(*) FROM pending")
            .fetch_one(&mut *conn)
            .await?;
        let others = usize::try_from(all).unwrap_or_default();
        let others = others.saturating_sub(self.known.pending.len());
        self.known.pending_max = shared.pending_max.saturating_sub(others);
        let sql = "-- pending numbers\nSELECT nextval(pg_get_serial_sequence('pending', 'id')) \
            FROM generate_series(1, $1)";
        Ok(sqlx::query_scalar(sql).bind(signed(count as u64)).fetch_all(conn).await?)
    }

    /// Whether an event still waits, until then or for its commit.
    pub(super) fn is_still(&self, due: &DuePending) -> bool {
        let known = self.known.pending.get(&due.id);
        known.is_some_and(|known| known.due == due.due || known.due == Pending::PREPARED)
    }

    /// Whether what is pending in the topic changes with the plan.
    pub(super) fn changes_pending(plan: &Plan) -> BTreeSet<i64> {
        let waiting = plan.waiting.iter().map(|waiting| waiting.known.topic);
        waiting.chain(plan.released().map(|(due, _)| due.topic)).collect()
    }

    /// Takes over what a commit changed of the marks.
    pub(super) fn committed(&mut self, plan: &Plan) {
        for topic in Self::changes_pending(plan) {
            self.marks.entry(topic).or_default().waiting += 1;
        }
        for topic in plan.topics.values().filter(|topic| !topic.events.is_empty()) {
            let marks = self.marks.entry(topic.id).or_default();
            marks.slot = marks.slot.max(self.slot);
        }
    }
}

/// The fence of a row that this node may write by: none, as long as another node holds its work.
fn fence(row: Cells<'_>, shared: &Shared) -> Result<u64, StoreError> {
    let holder: Option<i64> = row.get("holder")?;
    let is_anothers = shared.is_anothers(holder);
    if is_anothers { Ok(u64::MAX) } else { row.count("fence") }
}
