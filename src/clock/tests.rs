//! What leaps of the wall mean for the three readings.

use super::*;

const START: Micros = Micros(1_800_000_000_000_000);
const HOUR_US: i64 = 3_600_000_000;

fn clock() -> (ManualClock, Clock) {
    let manual = ManualClock::new(START);
    (manual.clone(), Clock::Manual(manual))
}

#[test]
fn a_wall_that_is_set_moves_no_pause() {
    let (manual, clock) = clock();
    for by in [-HOUR_US, -60_000_000, HOUR_US, 365 * 24 * HOUR_US] {
        let (steady, now) = (clock.steady(), clock.now());
        manual.set(by);
        assert_eq!((clock.steady(), clock.now().0 - now.0), (steady, by));
        assert_eq!(clock.look(), Some(Leap::Set(by)));
        assert_eq!(clock.look(), None);
    }
}

#[test]
fn a_wall_that_was_set_forth_is_believed_after_hours_and_one_set_back_at_once() {
    let (manual, clock) = clock();
    manual.set(HOUR_US);
    let second = Duration::from_secs(1);
    assert!(clock.believed().since(START) <= second, "before anybody has looked");
    assert_eq!(clock.look(), Some(Leap::Set(HOUR_US)));
    manual.advance(CONFIRMED_AFTER.saturating_sub(second));
    assert_eq!(clock.look(), None);
    assert!(clock.believed().since(START) <= CONFIRMED_AFTER);
    manual.advance(second);
    assert_eq!(clock.look(), Some(Leap::Confirmed(HOUR_US)));
    assert_eq!(clock.believed(), clock.now());
    manual.set(-2 * HOUR_US);
    assert_eq!(clock.believed(), clock.now());
    assert_eq!(clock.look(), Some(Leap::Set(-2 * HOUR_US)));
    // Set forth again, it is no nearer to what was believed once.
    manual.set(HOUR_US);
    assert_eq!(clock.look(), Some(Leap::Set(HOUR_US)));
    assert!(clock.now().since(clock.believed()) >= Duration::from_mins(59));
}

#[test]
fn a_clock_that_is_steered_is_believed() {
    let (manual, clock) = clock();
    for _ in 0..100 {
        manual.advance(Duration::from_secs(1));
        manual.set(400_000);
        assert_eq!(clock.look(), None);
        assert_eq!(clock.believed(), clock.now());
    }
}

#[test]
fn what_was_stored_before_the_wall_was_set_back_is_moved_by_as_much() {
    let (manual, clock) = clock();
    let due = START.plus(Duration::from_secs(30));
    assert_eq!(clock.of_stored(START), 0);
    // As after a restart: the steady reading begins anew at the wall.
    manual.set(-HOUR_US);
    let by = clock.of_stored(START);
    assert_eq!(Micros(due.0 + by), clock.steady().plus(Duration::from_secs(30)));
    assert_eq!(clock.to_store(), -HOUR_US);
}

#[tokio::test]
async fn the_machine_waits_by_the_steady_reading() {
    let clock = Clock::system();
    let began = (clock.steady(), clock.now());
    clock.pause(Duration::from_millis(20)).await;
    clock.until_wall(began.1.plus(Duration::from_millis(30))).await;
    assert!(clock.steady().since(began.0) >= Duration::from_millis(20));
    assert!(clock.now().since(began.1) >= Duration::from_millis(30));
    assert_eq!(clock.look(), None);
}

#[tokio::test(start_paused = true)]
async fn a_suspension_makes_no_pause_longer() {
    let clock = Clock::system();
    let two_seconds = Duration::from_secs(2);
    let waiting = clock.clone();
    let waiting = tokio::spawn(async move { waiting.pause(two_seconds).await });
    tokio::task::yield_now().await;
    let began = instant();
    // The timers stand while the machine has been up for longer: as after a suspension.
    std::thread::sleep(two_seconds + Duration::from_millis(100));
    let looked = clock.look();
    assert!(matches!(looked, Some(Leap::Slept(slept)) if slept >= two_seconds), "{looked:?}");
    waiting.await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO, "it waited by the timers");
}
