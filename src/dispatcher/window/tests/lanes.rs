//! Order by key and by priority.

use super::*;

#[test]
fn a_busy_key_parks_its_own_events_only() {
    let mut window = Window::new(saved(), keyed());
    window.extend(events(1..=6), NOW, by_parity);
    assert_eq!(first(window.start_new(1, NOW)), Some(1));
    assert_eq!(first(window.start_new(1, NOW)), Some(2));
    assert_eq!(window.start_new(1, NOW), None);
    assert_eq!(window.exceptions(), 4, "parked");
    window.settle(Version(1), Settled::Retry(exception(Version(1), 50)));
    window.settle(Version(2), Settled::Delivered);
    assert_eq!(first(window.start_new(1, Micros(0))), Some(4));
    assert_eq!(window.start_new(1, Micros(0)), None, "3 and 5 wait for 1");
    window.settle(Version(4), Settled::Dead(letter(Version(4))));
    assert_eq!(first(window.start_new(1, Micros(0))), Some(6), "the key goes on");
    assert_eq!(first(window.start_due(Micros(50))), Some(1));
    window.settle(Version(1), Settled::Delivered);
    assert_eq!(first(window.start_new(1, NOW)), Some(3));
}

#[test]
fn lanes_are_kept_with_exceptions_and_learnt_for_what_was_open() {
    let mut state = saved();
    let mut window = Window::new(state.clone(), keyed());
    window.extend(events(1..=6), NOW, by_parity);
    window.start_new(1, NOW);
    window.start_new(1, NOW);
    assert_eq!(window.start_new(1, NOW), None);
    apply(&mut state, &window.save(NOW).unwrap());
    // A crash.
    let mut window = Window::new(state, keyed());
    assert_eq!(window.unknown(9), [Version(1), Version(2)]);
    assert_eq!((window.start_new(1, NOW), window.next_new()), (None, None), "not known yet");
    window.learn(Version(2), 1);
    window.learn(Version(1), 2);
    assert_eq!(first(window.start_new(1, NOW)), Some(1));
    assert_eq!(first(window.start_new(1, NOW)), Some(2));
    assert_eq!(window.start_new(1, NOW), None);
}

#[test]
fn a_key_that_stops_stands_until_its_letter_is_redriven_or_deleted() {
    let mut state = saved();
    let stopping = Rules { stop_key: true, ..keyed() };
    let mut window = Window::new(state.clone(), stopping);
    window.extend(events(1..=4), NOW, by_parity);
    window.start_new(1, NOW);
    window.settle(Version(1), Settled::Dead(letter(Version(1))));
    assert_eq!(first(window.start_new(1, NOW)), Some(2), "the other key");
    assert_eq!(window.start_new(1, NOW), None);
    let settlement = window.save(NOW).unwrap();
    assert_eq!((settlement.dead.len(), settlement.put[0].kind), (1, ExceptionKind::Stopped));
    apply(&mut state, &settlement);
    let mut again = Window::new(state.clone(), stopping);
    again.learn(Version(2), 1);
    assert_eq!(first(again.start_new(1, NOW)), Some(2), "still after a crash");
    assert_eq!(again.start_new(1, NOW), None);
    for redriven in [true, false] {
        let mut window = Window::new(state.clone(), stopping);
        window.learn(Version(2), 1);
        window.begin_merge();
        let mut read = state.clone();
        read.exceptions.retain(|known| known.version != Version(1));
        if redriven {
            let lane = Some(2);
            read.exceptions.push(Exception { lane, ..exception(Version(1), 0) });
        }
        window.merge(read);
        if redriven {
            assert_eq!(first(window.start_due(NOW)), Some(1));
            window.settle(Version(1), Settled::Delivered);
        }
        assert_eq!(all(window.start_new(9, NOW)), [2, 3]);
    }
}

#[test]
fn under_a_strict_order_only_the_head_goes() {
    let mut window = Window::new(saved(), Rules { order: Order::Strict, ..rules() });
    let strict = |_: &Event| Sifted::Wanted { lane: STRICT, priority: 0 };
    window.extend(events(1..=3), NOW, strict);
    assert_eq!(first(window.start_new(1, NOW)), Some(1));
    assert_eq!((window.next_new(), window.start_new(1, NOW)), (None, None));
    assert_eq!((window.exceptions(), window.reach()), (0, Version(1)), "nothing is parked");
    window.settle(Version(1), Settled::Retry(exception(Version(1), 50)));
    assert_eq!(window.start_new(1, NOW), None);
    window.start_due(Micros(50)).unwrap();
    window.settle(Version(1), Settled::Delivered);
    assert_eq!(all(window.start_new(2, NOW)), [2, 3], "a batch keeps the order inside");
}

#[test]
fn a_changed_order_holds_for_what_is_there() {
    let mut window = Window::new(saved(), keyed());
    window.extend(events(1..=6), NOW, by_parity);
    window.start_new(1, NOW);
    window.start_new(1, NOW);
    window.start_new(1, NOW);
    window.rule(rules());
    let mut free: Vec<u64> = std::iter::from_fn(|| first(window.start_new(1, NOW))).collect();
    free.sort_unstable();
    assert_eq!(free, [3, 4, 5, 6], "nothing waits any more");
    window.rule(keyed());
    assert_eq!(window.unknown(9), [Version(1), Version(2)], "of the others it is kept");
}

#[test]
fn what_overtook_before_there_was_an_order_waits_for_those_it_overtook() {
    let exceptions = vec![exception(Version(3), 0)];
    let state = PositionState { reach: Version(1), exceptions, ..saved() };
    let mut window = Window::new(state, Rules { order: Order::Strict, ..rules() });
    let strict = |_: &Event| Sifted::Wanted { lane: STRICT, priority: 0 };
    assert_eq!(window.start_due(NOW), None, "2 was not sent");
    window.extend(events(2..=4), NOW, strict);
    assert_eq!(first(window.start_new(1, NOW)), Some(2));
    assert_eq!(window.start_due(NOW), None);
    window.settle(Version(2), Settled::Delivered);
    assert_eq!(window.start_new(1, NOW), None);
    assert_eq!(first(window.start_due(NOW)), Some(3));
    window.settle(Version(3), Settled::Delivered);
    assert_eq!(first(window.start_new(1, NOW)), Some(4));
}

#[test]
fn halves_keep_the_order_of_keys() {
    let batch = Some(BatchPolicy { max_events: 4, max_wait: Duration::ZERO });
    let mut window = Window::new(saved(), Rules { batch, ..keyed() });
    window.extend(events(1..=4), NOW, by_parity);
    assert_eq!(all(window.start_new(4, NOW)), [1, 2, 3, 4], "in order inside");
    window.split(&[Version(1), Version(2), Version(3), Version(4)]);
    assert_eq!(all(window.start_new(4, NOW)), [1, 2]);
    assert_eq!(window.start_new(4, NOW), None, "3 waits for 1, 4 for 2");
    window.settle(Version(1), Settled::Retry(exception(Version(1), 90)));
    window.settle(Version(2), Settled::Delivered);
    assert_eq!(all(window.start_new(4, NOW)), [4]);
    assert_eq!(window.start_new(4, NOW), None);
    window.start_due(Micros(90));
    window.settle(Version(1), Settled::Delivered);
    assert_eq!(all(window.start_new(4, NOW)), [3]);
}

#[test]
fn higher_priorities_overtake_and_nobody_is_overtaken_for_ever() {
    let mut window = window(saved());
    let urgent = |event: &Event| {
        let priority = if event.version.0 >= 4 { 9 } else { 0 };
        Sifted::Wanted { lane: FREE, priority }
    };
    window.extend(events(1..=6), NOW, urgent);
    assert_eq!(first(window.start_new(1, NOW)), Some(4));
    assert_eq!(first(window.start_new(1, NOW)), Some(5));
    assert_eq!(window.reach(), Version(0));
    let later = NOW.plus(Duration::from_mins(1));
    assert_eq!(first(window.start_new(1, later)), Some(1), "overdue");
    window.settle(Version(5), Settled::Retry(exception(Version(5), 0)));
    window.settle(Version(4), Settled::Delivered);
    let settlement = window.save(NOW).unwrap();
    assert_eq!((settlement.reach, &settlement.open[..]), (Version(1), &[Version(1)][..]));
    // A crash: what lies beyond the reach is sent again, what stands out is not new.
    let mut state = saved();
    apply(&mut state, &settlement);
    let mut crashed = super::Window::new(state, rules());
    crashed.extend(events(2..=6), NOW, free);
    let new: Vec<u64> = std::iter::from_fn(|| first(crashed.start_new(1, NOW))).collect();
    assert_eq!(new, [1, 2, 3, 4, 6]);
    assert_eq!(first(crashed.start_due(NOW)), Some(5));
    assert_eq!(first(window.start_new(1, NOW)), Some(6));
    assert_eq!(first(window.start_new(1, NOW)), Some(2));
    assert_eq!(first(window.start_new(1, NOW)), Some(3));
    assert_eq!(window.reach(), Version(6));
}
