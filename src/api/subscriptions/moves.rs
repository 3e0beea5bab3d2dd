//! Moving positions: what would be delivered from there on, and doing it.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::place::Place;
use crate::{
    api::{ApiState, problem::Problem},
    event::{Name, Topic, Version},
    store::{PositionSummary, StoreError, Subscription, TopicState},
};

/// What moving a position comes to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Move)]
pub(crate) struct MoveView {
    topic: String,
    /// The first version that would be looked at,
    from: u64,
    /// and the last: the newest. Below `from` when there is none.
    to: u64,
    /// Events between them, which are sent as the filter wants them.
    events: u64,
    /// Those of them that were looked at before: what the filter wants of them is sent again.
    again: u64,
    /// Events that were not looked at yet, and would be left out.
    left_out: u64,
}

/// A position that is to be moved.
pub(super) struct Move {
    topic: Topic,
    state: Arc<TopicState>,
    /// Where it stands.
    reach: Version,
    /// The last version that is not wanted.
    to: Version,
}

impl Move {
    pub(super) fn view(&self) -> MoveView {
        // What retention has taken is nowhere to be sent from.
        let oldest = self.state.oldest.previous();
        let (reach, to) = (self.reach.max(oldest), self.to.max(oldest));
        MoveView {
            topic: self.topic.to_string(),
            from: to.next().0,
            to: self.state.head.0,
            events: self.state.head.0.saturating_sub(to.0),
            again: reach.0.saturating_sub(to.0),
            left_out: to.0.saturating_sub(reach.0),
        }
    }
}

/// The moves of the position in `topic`, or of all of them. A version or cursor is the first event
/// wanted when `inclusive`, else the last one not wanted.
pub(super) async fn found(
    api: &ApiState,
    subscription: &Subscription,
    place: Place,
    inclusive: bool,
    topic: Option<Topic>,
) -> Result<Vec<Move>, Problem> {
    let name = &subscription.name;
    let mut meant: Vec<&PositionSummary> = subscription.live().collect();
    if let Some(wanted) = topic {
        meant.retain(|position| position.topic == wanted);
        if meant.is_empty() {
            let detail = format!("`topic`: subscription `{name}` is not in `{wanted}`");
            return Err(Problem::field("topic", detail));
        }
    }
    if meant.len() > 1 && !place.is_of_any_topic() {
        let detail = "a version or cursor is of one topic: say which in `topic`";
        return Err(Problem::field("topic", detail));
    }
    let mut moves = Vec::with_capacity(meant.len());
    for position in meant {
        let state = api.store.topic(&position.topic).await?;
        let to = place.resolve(api, &state, inclusive).await?;
        moves.push(Move { topic: position.topic.clone(), state, reach: position.reach, to });
    }
    Ok(moves)
}

/// Every position where it stands: what is told of those that are not moved.
pub(super) async fn as_they_stand(
    api: &ApiState,
    subscription: &Subscription,
) -> Result<Vec<Move>, StoreError> {
    let mut moves = Vec::new();
    for position in subscription.live() {
        let (state, reach) = (api.store.topic(&position.topic).await?, position.reach);
        moves.push(Move { topic: position.topic.clone(), state, reach, to: reach });
    }
    Ok(moves)
}

/// Moves them.
pub(super) async fn make(api: &ApiState, name: &Name, moves: &[Move]) -> Result<(), StoreError> {
    for one in moves {
        api.store.rewind(name, Some(&one.topic), one.to, api.clock.now()).await?;
    }
    Ok(())
}
