//! Pending events: what may be done to one.

use super::known::{Known, KnownPending};
use crate::{
    event::Topic,
    store::{Pending, StoreError},
};

/// A pending event of a topic, or `NotFound`.
pub(crate) fn known(known: &Known, topic: &Topic, id: i64) -> Result<KnownPending, StoreError> {
    let topic = known.topic(topic)?.state.id;
    let one = known.pending.get(&id).copied();
    one.filter(|one| one.topic == topic).ok_or_else(|| not_found(id))
}

/// The error for one that is not there.
pub(crate) fn not_found(id: i64) -> StoreError {
    StoreError::not_found("pending event", id.to_string())
}

/// Whether it may be due at another time.
pub(crate) fn may_change(id: i64, one: &KnownPending) -> Result<(), StoreError> {
    if one.due == Pending::PREPARED {
        let problem = format!("pending event {id} is prepared: it waits for its commit");
        return Err(StoreError::Conflict(problem));
    }
    Ok(())
}

/// Whether it may be committed.
pub(crate) fn may_commit(id: i64, one: &KnownPending) -> Result<(), StoreError> {
    if one.due != Pending::PREPARED {
        let problem = format!("pending event {id} is not prepared: it goes when it is due");
        return Err(StoreError::Conflict(problem));
    }
    Ok(())
}

/// Whether it may be taken back.
pub(crate) fn may_cancel(id: i64, one: &KnownPending) -> Result<(), StoreError> {
    if one.committed {
        let problem =
            format!("pending event {id} was committed: it goes into the log when it is due");
        return Err(StoreError::Conflict(problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Micros;

    #[test]
    fn what_is_prepared_is_committed_once_and_not_taken_back_then() {
        let one = |due, committed| KnownPending { topic: 1, key: 2, due, committed };
        for (one, change, commit, cancel) in [
            (one(Micros(9), false), true, false, true),
            (one(Pending::PREPARED, false), false, true, true),
            (one(Micros(9), true), true, false, false),
        ] {
            let told = (may_change(3, &one).is_ok(), may_commit(3, &one).is_ok());
            assert_eq!((told, may_cancel(3, &one).is_ok()), ((change, commit), cancel), "{one:?}");
        }
    }
}
