//! Whether a position that a reader brings is in the history that a topic has.

use super::problem::Problem;
use crate::{
    event::{Position, Version},
    store::TopicState,
};

/// The version of a position that is good: at most the head, and of the epoch it names. A bare
/// version is compared with the head only.
///
/// # Errors
/// `history_changed` with the last version that both histories share.
pub(super) fn check(state: &TopicState, position: Position) -> Result<Version, Problem> {
    let version = position.version;
    let good = version <= state.head
        && position.epoch.is_none_or(|epoch| state.epoch_of(version) == epoch);
    if good {
        return Ok(version);
    }
    let epoch = state.epochs.last().map_or_else(|| state.epoch_of(version), |start| start.epoch);
    Err(Problem::history_changed(last_common(state, position), epoch, state.head))
}

/// As [`check`], and nothing above the version may have been removed.
///
/// # Errors
/// As [`check`]; `gone` with the oldest version kept.
pub(super) fn check_kept(state: &TopicState, position: Position) -> Result<Version, Problem> {
    let after = check(state, position)?;
    if after.next() < state.oldest { Err(Problem::gone(state.oldest)) } else { Ok(after) }
}

/// A history known by its epoch is shared until the next epoch begins; of an unknown one nothing
/// is known to be shared.
fn last_common(state: &TopicState, position: Position) -> Version {
    let Some(epoch) = position.epoch else { return state.head };
    match state.epochs.iter().position(|start| start.epoch == epoch) {
        Some(index) => {
            let ends = state.epochs.get(index + 1).map_or(state.head, |next| next.first.previous());
            position.version.min(ends).min(state.head)
        }
        None => Version::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Epoch, Micros},
        settings::TopicSettings,
        store::EpochStart,
    };

    fn state() -> TopicState {
        let start = |epoch, first| EpochStart {
            epoch: Epoch(epoch),
            first: Version(first),
            started: Micros(0),
            reason: String::new(),
        };
        TopicState {
            id: 1,
            uid: "0123456789abcdef".to_owned(),
            topic: "orders".parse().unwrap(),
            head: Version(150),
            oldest: Version(20),
            bytes: 0,
            recorded: Micros(0),
            epochs: vec![start(0xa, 1), start(0xb, 101)].into(),
            edit: 0,
            settings: TopicSettings::default(),
        }
    }

    fn outcome(text: &str) -> Result<u64, (&'static str, Option<u64>)> {
        let position = text.parse().unwrap();
        check_kept(&state(), position).map(|version| version.0).map_err(|problem| {
            let value: serde_json::Value = serde_json::from_str(&problem.to_json()).unwrap();
            (problem.code, value["last_common"].as_u64().or(value["oldest"].as_u64()))
        })
    }

    #[test]
    fn a_position_is_good_gone_or_of_another_history() {
        for (text, expected) in [
            ("150", Ok(150)),
            ("0000000b-150", Ok(150)),
            ("0000000a-100", Ok(100)),
            ("19", Ok(19)),
            ("18", Err(("gone", Some(20)))),
            ("0", Err(("gone", Some(20)))),
            ("151", Err(("history_changed", Some(150)))),
            ("0000000b-151", Err(("history_changed", Some(150)))),
            // Written before the cut, beyond it.
            ("0000000a-101", Err(("history_changed", Some(100)))),
            ("0000000a-140", Err(("history_changed", Some(100)))),
            // The later history includes the earlier one, but the cursor is not one we gave.
            ("0000000b-90", Err(("history_changed", Some(90)))),
            ("0000000c-90", Err(("history_changed", Some(0)))),
        ] {
            assert_eq!(outcome(text), expected, "{text}");
        }
    }

    #[test]
    fn the_head_before_a_new_epoch_begins_is_good() {
        let mut state = state();
        state.head = Version(100);
        assert!(check(&state, "0000000a-100".parse().unwrap()).is_ok());
        let problem = check(&state, "0000000a-140".parse().unwrap()).unwrap_err();
        assert!(problem.to_json().contains(r#""last_common":100"#));
        assert!(problem.to_json().contains(r#""epoch":"0000000b""#));
    }
}
