//! Places in flight, given and given back.

use std::cell::RefCell;

use super::*;
use crate::clock::ManualClock;

fn clock(at: i64) -> Clock {
    Clock::Manual(ManualClock::new(Micros(at)))
}

#[tokio::test]
async fn a_health_that_is_reset_during_a_save_is_saved_after_it() {
    let held = r#"{"state":"holding","hold":{"since_us":1,"interval_ms":5000,
        "next_trial_us":9,"turn":"new","last_position":1}}"#;
    let endpoint = Endpoint::new(1, (0, Some(held)), Common::new(1, 1), &clock(1));
    endpoint.unsaved.store(true, SeqCst);
    let written = RefCell::new(Vec::new());
    let put = |resets: u64, health: String| {
        let is_first = written.borrow().is_empty();
        let is_holding = Health::read(Some(&health)).is_holding();
        written.borrow_mut().push((resets, is_holding));
        let endpoint = &endpoint;
        async move {
            if is_first {
                endpoint.resume(1, Micros(2), Micros(2));
            }
            Ok(())
        }
    };
    endpoint.save_by(&clock(1), put).await.unwrap();
    assert_eq!(*written.borrow(), [(0, true), (1, false)]);
}

#[tokio::test]
async fn consent_is_asked_for_once_and_brings_a_rate() {
    let endpoint = Endpoint::new(1, (0, None), Common::new(9, 9), &clock(0));
    endpoint.set("h", Some(100.0), Some("a"));
    let refused: Result<(), _> = endpoint.agree("a", async { Err("no") }, || "waited").await;
    assert_eq!(refused, Err("no"));
    endpoint.agree("a", async { Ok(Some(1.0)) }, || ()).await.unwrap();
    endpoint.agree("a", async { panic!("asked again") }, || ()).await.unwrap();
    endpoint.pace().spend(1, Micros(1_000_000));
    assert!(endpoint.pace().ready_at() > Micros(1_900_000));
    assert!(endpoint.agree("b", async { Err("another") }, || "waited").await.is_err());
    endpoint.set("h", Some(100.0), None);
    assert!(!endpoint.has_agreed("a"));
    endpoint.pace().spend(1, Micros(9_000_000));
    assert!(endpoint.pace().ready_at() < Micros(9_100_000), "the rate went with the consent");
}

#[tokio::test]
async fn who_waits_for_consent_takes_the_answer_that_it_waited_for() {
    let endpoint = Endpoint::new(1, (0, None), Common::new(9, 9), &clock(0));
    let (answer, answered) = tokio::sync::oneshot::channel::<()>();
    let first = endpoint.agree(
        "a",
        async {
            answered.await.unwrap();
            Err("no")
        },
        || "waited",
    );
    let second = endpoint.agree("a", async { panic!("asked twice") }, || "waited");
    let release = async { answer.send(()).unwrap() };
    let (first, second, ()) = tokio::join!(first, second, release);
    assert_eq!((first, second), (Err("no"), Err("waited")));
}
