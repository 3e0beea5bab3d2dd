//! What other nodes did, and telling them of one's own.
//!
//! A node hears the others over one connection. What it appended it tells at most every 5 ms, in a
//! transaction of its own: inside the append a notification costs several times the append. While
//! the connection is broken everything is looked at every second.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sqlx::postgres::PgListener;
use tokio_util::sync::CancellationToken;

use super::{holding, registry::CHANGED, row, shared::Shared};
use crate::{clock, event::Version, store::StoreError};

/// Which channel tells of heads.
const MOVED: &str = "milkrun_moved";
/// How often everything is looked at while nothing is heard, and what is pending in any case.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long after the end of a term it is looked at.
const ENDED: Duration = Duration::from_millis(20);
/// How often that is done although everything was heard.
const LOOK_ALL_EVERY: Duration = Duration::from_secs(15);
/// How long heads are gathered.
const GATHERED: Duration = Duration::from_millis(5);
/// PostgreSQL takes 8,000 bytes of a notification.
const PAYLOAD_MAX: usize = 7_900;

/// Tells the other nodes until `stop`.
pub(super) async fn tell(shared: Arc<Shared>, stop: CancellationToken) {
    let telling = async {
        loop {
            shared.moved.some.notified().await;
            tokio::time::sleep(GATHERED).await;
            let heads = std::mem::take(&mut *shared.moved.heads.lock());
            if let Err(error) = notify(&shared, &heads).await {
                tracing::debug!(%error, "other nodes were not told of appended events; tried again");
                for (topic, head) in heads {
                    shared.moved.note_if_none(topic, head);
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    };
    stop.run_until_cancelled(telling).await;
}

async fn notify(shared: &Shared, heads: &BTreeMap<i64, Version>) -> Result<(), StoreError> {
    let mut payload = String::new();
    let mut payloads = Vec::new();
    for (topic, head) in heads {
        let one = format!("{topic}:{head} ");
        if payload.len() + one.len() > PAYLOAD_MAX {
            payloads.push(std::mem::take(&mut payload));
        }
        payload.push_str(&one);
    }
    payloads.push(payload);
    // Nobody is told while no other node lives.
    let sql = "-- moved\nSELECT pg_notify($1, payload) FROM UNNEST($2::text[]) AS payload \
        WHERE (SELECT count(*) FROM nodes WHERE until > clock_timestamp()) > 1";
    sqlx::query(sql).bind(MOVED).bind(payloads).execute(&shared.pool).await?;
    Ok(())
}

/// Listens until `stop`.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let heard = stop.run_until_cancelled(listen(&shared)).await;
        if let Some(Err(error)) = heard {
            tracing::debug!(%error, "other nodes are not heard; looked at every second");
            look(&shared).await;
            stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await;
        }
    }
}

async fn listen(shared: &Shared) -> Result<(), StoreError> {
    let mut listener = PgListener::connect_with(&shared.pool).await?;
    listener.listen_all([CHANGED, MOVED]).await?;
    // What happened before anybody listened.
    look(shared).await;
    let opened = clock::instant();
    let (mut looked, mut looked_all, mut pause) = (opened, opened, LOOK_EVERY);
    loop {
        let left = pause.saturating_sub(looked.elapsed());
        let heard = tokio::time::timeout(left, listener.try_recv()).await;
        let (mut has_changed, mut has_orphans) = (false, false);
        match heard {
            // While a connection was made anew nothing was heard.
            Ok(Ok(None)) => return Ok(()),
            Ok(Ok(Some(first))) => {
                // What came meanwhile is looked at once.
                let rest = std::iter::from_fn(|| listener.next_buffered());
                for heard in std::iter::once(first).chain(rest).collect::<Vec<_>>() {
                    if heard.channel() == MOVED {
                        take(shared, heard.payload()).await?;
                    } else {
                        has_changed = true;
                    }
                }
            }
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {}
        }
        // However much is heard: nobody tells of what is due, nor of a node that died.
        if looked.elapsed() >= pause {
            looked = clock::instant();
            shared.look_at_pending().await;
            // The work of a node that died is claimed as soon as its term has ended.
            let (are_there, ends_in) = holding::orphans(shared).await?;
            has_orphans = are_there;
            pause = ends_in.map_or(LOOK_EVERY, |left| (left + ENDED).min(LOOK_EVERY));
        }
        if has_changed || looked_all.elapsed() >= LOOK_ALL_EVERY {
            look(shared).await;
            looked_all = clock::instant();
        }
        if has_changed || has_orphans {
            shared.announce();
        }
        if !shared.server.is_current(opened) {
            return Ok(());
        }
    }
}

/// Takes over heads that moved elsewhere.
async fn take(shared: &Shared, payload: &str) -> Result<(), StoreError> {
    let moved = payload.split(' ').filter_map(|one| {
        let (topic, head) = one.split_once(':')?;
        Some((topic.parse::<i64>().ok()?, Version(head.parse().ok()?)))
    });
    let moved: Vec<_> = moved.collect();
    if moved.iter().any(|(topic, _)| *topic == 0) {
        shared.look_at_pending().await;
    }
    let is_new = |(topic, head): &(i64, Version)| {
        let topics = shared.topics.read();
        let known = topics.values().find(|known| known.state.id == *topic);
        known.is_none_or(|known| known.state.head < *head)
    };
    let new: Vec<i64> = moved
        .into_iter()
        .filter(|(topic, _)| *topic != 0)
        .filter(is_new)
        .map(|(topic, _)| topic)
        .collect();
    if new.is_empty() {
        return Ok(());
    }
    let sql = "-- moved topics\nSELECT * FROM topics WHERE id = ANY($1)";
    for row in &sqlx::query(sql).bind(new).fetch_all(&shared.pool).await? {
        shared.publish(&Arc::new(row::topic_state(row)?));
    }
    Ok(())
}

/// Learns heads and what is due.
async fn look(shared: &Shared) {
    if let Err(error) = shared.refresh().await {
        tracing::debug!(%error, "the topics were not looked at");
    }
    shared.look_at_pending().await;
}
