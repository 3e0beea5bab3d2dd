//! A subscription's positions moved by an operator, forth or back.

use super::{commit::signed, positions, subscriptions, writer::Desk};
use crate::{
    event::{Micros, Name, Topic, Version},
    store::{StoreError, Subscription},
};

/// Moves positions so that the next event is the one after `to`.
pub(super) async fn rewind(
    desk: &mut Desk,
    name: Name,
    topic: Option<Topic>,
    to: Version,
    now: Micros,
) -> Result<Subscription, StoreError> {
    let known = subscriptions::one(&mut desk.conn, &name).await?;
    let only = topic
        .as_ref()
        .map(|topic| Ok::<_, StoreError>(desk.memory.topic(topic)?.state.id))
        .transpose()?;
    let mut moved = positions::of(desk, known.id);
    moved.retain(|(_, topic)| only.is_none_or(|only| only == *topic));
    if let (true, Some(topic)) = (moved.is_empty(), &topic) {
        return Err(StoreError::Conflict(format!(
            "subscription `{name}` is not in topic `{topic}`"
        )));
    }
    for (position, topic) in moved {
        let head = desk.memory.topics.get(&topic).map_or(Version::ZERO, |topic| topic.state.head);
        if to > head {
            return Err(StoreError::Conflict(format!("version {to} is ahead of the head {head}")));
        }
        positions::release(desk, position, to, now).await?;
        // What lies between is owed from now on. The least of NULL and a number is NULL.
        let sql = "-- begun\nUPDATE positions SET start_after = min(start_after, $2) WHERE id = $1";
        sqlx::query(sql).bind(position).bind(signed(to.0)).execute(&mut desk.conn).await?;
        // A redriven event that the log has let go of is here alone; no rewind leads back to it.
        let sql = "-- drop exceptions\nDELETE FROM exceptions WHERE position = $1 \
            AND (attributes IS NULL OR kind = 'stopped')";
        sqlx::query(sql).bind(position).execute(&mut desk.conn).await?;
    }
    subscriptions::touch(desk, known.id).await?;
    subscriptions::one(&mut desk.conn, &name).await
}
