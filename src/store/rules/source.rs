//! Sources: what putting one again changes, and what may be done to one.

use super::registry::has_left;
use crate::store::{NewSource, SourceState, SourceStatus, Steer, StoreError};

/// What a source that is put again changes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Renewal<'a> {
    /// The CloudEvents `source` of its events.
    pub(crate) event_source: &'a str,
    /// Another configuration: the walk under way is of no use.
    pub(crate) is_changed: bool,
    /// Its cursor is for the same contract as an earlier release wrote it.
    pub(crate) takes_over_cursor: bool,
    /// Its cursor can be used; if not, it stands still until one is set or kept.
    pub(crate) can_go_on: bool,
}

/// What putting a source over a known one changes.
pub(crate) fn renewal<'a>(known: &'a SourceState, new: &'a NewSource) -> Renewal<'a> {
    let event_source = new.event_source.chosen(Some(known));
    Renewal {
        event_source,
        is_changed: known.config_hash != new.config_hash
            || known.put_contract != new.contract
            || known.event_source.as_deref().is_some_and(|stored| stored != event_source),
        takes_over_cursor: known.is_before(new),
        can_go_on: known.goes_with(new),
    }
}

/// Whether putting a source over a known one changes nothing.
pub(crate) fn is_as_known(known: &SourceState, new: &NewSource) -> bool {
    let renewal = renewal(known, new);
    known.status != SourceStatus::Removed
        && known.topic == new.topic
        && known.event_source.as_deref() == Some(renewal.event_source)
        && !renewal.is_changed
}

/// Whether that may be done to a source.
pub(crate) fn may_steer(known: &SourceState, steer: &Steer) -> Result<(), StoreError> {
    match steer {
        Steer::Pause | Steer::Resume | Steer::Poll if known.status == SourceStatus::Removed => {
            Err(has_left("source", &known.name))
        }
        Steer::KeepCursor if known.cursor.is_none() => Err(StoreError::Conflict(format!(
            "source `{}` has no cursor that could be kept; it starts as at the first run",
            known.name
        ))),
        _ => Ok(()),
    }
}

/// Whether what the walk under way has listed is of no use then.
pub(crate) fn drops_journal(steer: &Steer) -> bool {
    matches!(steer, Steer::Cursor(_) | Steer::Reset(_) | Steer::KeepCursor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::Micros, store::EventSource};

    fn known(status: SourceStatus, cursor: Option<&str>, contract: &str) -> SourceState {
        SourceState {
            id: 1,
            name: "shop".parse().unwrap(),
            topic: "orders".parse().unwrap(),
            status,
            fence: 1,
            contract: contract.into(),
            put_contract: "now".into(),
            event_source: Some("/shop".into()),
            config_hash: "1".into(),
            cursor: cursor.map(str::to_owned),
            old_cursor: None,
            stuck_at: None,
            mark: None,
            mark_at: Micros(0),
            journaled: 0,
            walks: 0,
            next_poll: Micros(0),
            asked_at: Micros(0),
            report: None,
            appended: 0,
            duplicates: 0,
            rejected: 0,
            removed_at: None,
        }
    }

    fn new(config_hash: &str, contract: &str) -> NewSource {
        NewSource {
            name: "shop".parse().unwrap(),
            topic: "orders".parse().unwrap(),
            contract: contract.into(),
            contract_before: Some("before".into()),
            event_source: EventSource::fixed("/other"),
            config_hash: config_hash.into(),
        }
    }

    #[test]
    fn what_is_as_it_was_is_known() {
        let is = |status, hash, contract| {
            is_as_known(
                &known(status, None, "now"),
                &NewSource { event_source: EventSource::fixed("/shop"), ..new(hash, contract) },
            )
        };
        assert!(is(SourceStatus::Active, "1", "now") && is(SourceStatus::Paused, "1", "now"));
        assert!(!is(SourceStatus::Removed, "1", "now"), "it comes back");
        assert!(!is(SourceStatus::Active, "2", "now") && !is(SourceStatus::Active, "1", "new"));
        let now = known(SourceStatus::Active, None, "now");
        assert!(!is_as_known(
            &now,
            &NewSource { topic: "bills".parse().unwrap(), ..new("1", "now") }
        ));
        let named = EventSource { set: Some("/other".into()), ..EventSource::fixed("/shop") };
        assert!(!is_as_known(&now, &NewSource { event_source: named, ..new("1", "now") }));
    }

    #[test]
    fn another_configuration_or_contract_is_a_change_and_a_cursor_may_not_fit() {
        let cursor = Some("\"4\"");
        for (contract, (hash, put), expected) in [
            ("now", ("1", "now"), (false, false, true)),
            ("now", ("2", "now"), (true, false, true)),
            ("now", ("1", "new"), (true, false, false)),
            ("before", ("1", "now"), (false, true, true)),
            // Set by hand: good for any.
            ("", ("1", "new"), (true, false, true)),
        ] {
            let (known, new) = (known(SourceStatus::Active, cursor, contract), new(hash, put));
            let found = renewal(&known, &new);
            let told = (found.is_changed, found.takes_over_cursor, found.can_go_on);
            assert_eq!((told, found.event_source), (expected, "/shop"), "{contract} {hash} {put}");
        }
    }

    #[test]
    fn one_that_left_the_file_is_not_polled_and_no_cursor_is_none_to_keep() {
        let removed = known(SourceStatus::Removed, None, "now");
        for steer in [Steer::Pause, Steer::Resume, Steer::Poll, Steer::KeepCursor] {
            assert!(matches!(may_steer(&removed, &steer), Err(StoreError::Conflict(_))));
        }
        assert!(may_steer(&removed, &Steer::Cursor("1".into())).is_ok());
        let active = known(SourceStatus::Active, Some("1"), "now");
        assert!(may_steer(&active, &Steer::KeepCursor).is_ok());
        assert!(drops_journal(&Steer::KeepCursor) && !drops_journal(&Steer::Poll));
    }
}
