//! Tables: where pieces end, what is owed, which keys go.

use std::time::Duration;

use super::*;
use crate::store::EpochStart;

fn topic(oldest: u64, head: u64, bytes: u64) -> TopicState {
    let start = EpochStart {
        epoch: crate::event::Epoch(1),
        first: Version(1),
        started: Micros(0),
        reason: "created".into(),
    };
    TopicState {
        id: 1,
        uid: "0".repeat(16),
        topic: "orders".parse().unwrap(),
        head: Version(head),
        oldest: Version(oldest),
        bytes,
        recorded: Micros(0),
        epochs: [start].into(),
        edit: 0,
        settings: TopicSettings::default(),
    }
}

#[test]
fn age_and_number_let_go_unless_somebody_is_owed() {
    let mut state = topic(1, 100, 0);
    state.settings.max_count = Some(30);
    for (by_age, expected) in [(10, 70), (90, 90)] {
        assert_eq!(Limits::of(&state, Version(by_age)).cut(), Version(expected));
    }
    let limits = Limits { by_age: Version(60), by_count: Version(70) };
    for (floor, by_age, by_count, expected) in [
        // Nobody holds it up.
        (100, 0, 0, 70),
        // A floor does, whichever limit asks.
        (20, 0, 0, 20),
        // It is owed no longer by age, nor by number.
        (20, 50, 0, 50),
        (20, 0, 65, 65),
        // Never more than the limits let go.
        (20, 99, 99, 70),
    ] {
        let owed = OwedUntil { by_age: Version(by_age), by_count: Version(by_count) };
        assert_eq!(limits.cut_above(Version(floor), owed), Version(expected), "{floor} {owed:?}");
    }
}

#[test]
fn owed_has_an_end_by_age_and_one_by_number() {
    let now = Micros(100_000_000);
    let mut settings =
        TopicSettings { max_age: Some(Duration::from_secs(10)), ..TopicSettings::default() };
    settings.owed = Duration::from_secs(30);
    assert_eq!(owed_moments(&settings, now), (Micros(60_000_000), Some(Micros(70_000_000))));
    settings.owed = Duration::ZERO;
    assert_eq!(owed_moments(&settings, now), (Micros(90_000_000), None));
}

#[test]
fn a_piece_ends_at_its_limit_and_beyond_it_only_above_the_cap() {
    let sizes: Vec<(Version, u64)> = (1..=5).map(|version| (Version(version), 10)).collect();
    for (soft, cap, expected) in [
        (0, u64::MAX, None),
        (2, u64::MAX, Some((2, 80))),
        (9, u64::MAX, Some((5, 50))),
        (0, 75, Some((3, 70))),
        (2, 0, Some((5, 50))),
    ] {
        let cut = piece(&topic(1, 10, 100), &sizes, Version(soft), cap);
        assert_eq!(cut, expected.map(|(cut, bytes)| (Version(cut), bytes)), "{soft} {cap}");
    }
}

#[test]
fn what_goes_while_it_is_owed_is_counted() {
    let state = topic(3, 20, 0);
    let open = [Version(6), Version(12)];
    for (cut, floor, reach, exceptions, expected) in [
        // Settled up to there.
        (10, 10, 15, 0, None),
        // Above the reach all is owed; what went before is not counted again.
        (10, 0, 0, 0, Some((3, 10, 1 + 8))),
        // Below it what is open and excepted.
        (10, 5, 15, 2, Some((6, 10, 1 + 2))),
    ] {
        let place = (Version(floor), Version(reach), &open[..]);
        let owed = owed(&state, Version(cut), place, exceptions);
        let expected = expected.map(|(first, last, count)| Owed {
            first: Version(first),
            last: Version(last),
            count,
        });
        assert_eq!(owed, expected, "{cut} {place:?}");
    }
}

#[test]
fn keys_go_by_age_by_number_and_when_there_are_too_many() {
    let mut state = topic(1, 100, 0);
    state.settings.dedupe_count = 60;
    state.settings.dedupe_age = Duration::from_secs(1);
    let row =
        |up_to, recorded| KeyRow { up_to: Version(up_to), count: 10, recorded: Micros(recorded) };
    let rows = [row(10, 9_000_000), row(40, 9_000_000), row(50, 8_000_000), row(60, 9_500_000)];
    let now = Micros(10_000_000);
    let gone = |too_many| keys_to_forget(&state, &rows, now, too_many);
    assert_eq!(gone(0), KeysGone { rows: 3, count: 30, more: false });
    assert_eq!(gone(31), KeysGone { rows: 4, count: 40, more: false });
    let many = [KeyRow { count: 200_000, ..rows[0] }, rows[1]];
    let gone = keys_to_forget(&state, &many, now, 0);
    assert_eq!(gone, KeysGone { rows: 1, count: 200_000, more: true });
}
