//! Events that fail: they die by their schedule, and nobody waits for them.

use super::rig::*;
use crate::{
    event::Version,
    settings::TopicSettings,
    store::{AttemptQuery, DeadReason, DeadSelect},
};

/// Turns the clock until everything is delivered or dead.
async fn run_out(rig: &Rig, head: u64) {
    for _ in 0..1_000 {
        let done = || rig.count("delivered") + rig.count("dead");
        let judged = || {
            let all = done() + rig.count("retry");
            usize::try_from(all).unwrap() == rig.pushes().len()
        };
        rig.until(judged).await;
        if done() >= head {
            return;
        }
        let (before, dead) = (rig.pushes().len(), done());
        rig.turn(10);
        // Something falls due, or the next turn brings it.
        let _ = tokio::time::timeout(std::time::Duration::from_millis(200), async {
            while rig.pushes().len() == before && done() == dead {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    panic!("not everything ended: {:?}", rig.pushes());
}

#[tokio::test]
async fn one_event_in_a_hundred_dies_by_the_schedule_and_a_redrive_delivers_it() {
    let mut rig = Rig::new(settings()).await;
    rig.publish(2_000).await;
    rig.answer(|push| status(if push.version.is_multiple_of(100) { 500 } else { 200 }));
    rig.start();
    // The others do not wait: the clock stands still.
    rig.judged(2_000).await;
    assert_eq!((rig.count("delivered"), rig.count("retry")), (1_980, 20));
    run_out(&rig, 2_000).await;
    rig.stop().await;
    let dead = rig.dead_letters().await;
    assert_eq!(dead.len(), 20);
    for letter in &dead {
        assert_eq!((letter.reason, letter.attempts), (DeadReason::Attempts, 3));
        assert_eq!(letter.last.status, Some(500));
    }
    rig.all_settled(2_000).await;

    rig.start();
    rig.answer(|_| status(200));
    let now = rig.clock.now();
    assert_eq!(rig.store.redrive(&name(), DeadSelect::All, None, now).await.unwrap(), 20);
    rig.until(|| rig.count("delivered") == 2_000).await;
    rig.stop().await;
    assert!(rig.dead_letters().await.is_empty());
    rig.all_settled(2_000).await;
    assert_eq!(rig.subscription().await.positions[0].delivered, 2_000);
}

#[tokio::test]
async fn a_redrive_is_taken_up_while_the_position_is_served() {
    let mut rig = Rig::new(settings()).await;
    rig.publish(3).await;
    rig.answer(|push| status(if push.version == 2 { 422 } else { 200 }));
    let mut refusing = settings();
    refusing.retry.never_retry = vec![422];
    rig.store.set_subscription(&name(), &refusing, None, rig.clock.now()).await.unwrap();
    rig.start();
    rig.judged(3).await;
    rig.saved(|saved| saved.positions[0].dead_letters == 1).await;
    rig.answer(|_| status(200));
    rig.store.redrive(&name(), DeadSelect::All, None, rig.clock.now()).await.unwrap();
    rig.judged(4).await;
    rig.stop().await;
    assert_eq!(rig.pushes()[3].version, 2);
    assert_eq!(rig.pushes()[3].attempt, 1, "a redrive starts the attempts at zero");
    rig.all_settled(3).await;
}

#[tokio::test]
async fn a_poison_event_on_a_quiet_subscription_does_not_stop_the_next_good_one() {
    for answer in [status(500), reset()] {
        let mut rig = Rig::new(settings()).await;
        rig.publish(1).await;
        rig.answer(move |push| if push.version == 1 { answer.clone() } else { status(200) });
        rig.start();
        rig.judged(1).await;
        rig.turn(10);
        rig.judged(2).await;
        rig.publish(1).await;
        rig.until(|| rig.count("delivered") == 1).await;
        rig.stop().await;
        assert!(rig.pushes().iter().any(|push| push.version == 2));
    }
}

#[tokio::test]
async fn an_event_that_crashes_its_receiver_dies_when_others_arrive_between() {
    let mut rig = Rig::new(settings()).await;
    rig.publish(1).await;
    rig.answer(|push| if push.version == 1 { reset() } else { status(200) });
    rig.start();
    rig.judged(1).await;
    for round in 1..=3 {
        rig.publish(1).await;
        rig.until(|| rig.count("delivered") == round).await;
        rig.turn(10);
        rig.until(|| rig.count("retry") + rig.count("dead") == round + 1).await;
    }
    rig.stop().await;
    assert_eq!(rig.count("dead"), 1, "{:?}", rig.pushes());
    assert_eq!(rig.dead_letters().await[0].attempts, 4);
    rig.all_settled(4).await;
}

#[tokio::test]
async fn it_does_not_die_when_nothing_arrives_between() {
    let mut rig = Rig::new(settings()).await;
    rig.publish(1).await;
    rig.answer(|_| reset());
    rig.start();
    for attempt in 1..=50 {
        rig.judged(attempt).await;
        rig.turn(60);
    }
    rig.stop().await;
    assert_eq!(rig.count("dead"), 0);
}

#[tokio::test]
async fn retries_take_at_most_a_quarter_of_the_places() {
    let mut wide = settings();
    wide.concurrency = 8;
    let mut rig = Rig::new(wide).await;
    rig.publish(40).await;
    rig.answer(|push| status(if push.version % 2 == 0 { 500 } else { 200 }));
    rig.start();
    rig.judged(40).await;
    rig.stick(true);
    rig.turn(10);
    rig.pushed(42).await;
    rig.publish(100).await;
    rig.pushed(48).await;
    let retries = rig.pushes()[40..].iter().filter(|push| push.attempt > 1).count();
    assert_eq!(retries, 2, "{:?}", &rig.pushes()[40..]);
    rig.stick(false);
    rig.until(|| rig.count("delivered") >= 70).await;
    rig.stop().await;
}

#[tokio::test]
async fn nothing_new_starts_when_the_exceptions_are_full() {
    let mut narrow = settings();
    narrow.max_exceptions = 10;
    let mut rig = Rig::new(narrow).await;
    rig.publish(100).await;
    // One good one in ten keeps the endpoint open.
    rig.answer(|push| status(if push.version % 3 == 0 { 200 } else { 500 }));
    rig.start();
    rig.saved(|saved| saved.positions[0].exceptions == 10).await;
    let reach = rig.subscription().await.positions[0].reach;
    assert!(reach < Version(20), "{reach}");
    run_out(&rig, 100).await;
    rig.stop().await;
    rig.all_settled(100).await;
    assert_eq!(rig.dead_letters().await.len(), 67);
}

#[tokio::test]
async fn every_attempt_leaves_a_record() {
    let mut rig = Rig::new(settings()).await;
    rig.publish(1).await;
    rig.answer(|push| status(if push.attempt < 3 { 500 } else { 200 }));
    rig.start();
    for attempt in 1..=3 {
        rig.judged(attempt).await;
        rig.turn(10);
    }
    rig.stop().await;
    let query = AttemptQuery { version: Some(Version(1)), limit: 10, ..AttemptQuery::default() };
    let records = loop {
        let records = rig.store.attempts(query.clone()).await.unwrap();
        if records.len() == 3 {
            break records;
        }
    };
    let told: Vec<_> = records.iter().map(|r| (r.attempt, r.status, r.verdict.as_str())).collect();
    assert_eq!(
        told,
        [(3, Some(200), "delivered"), (2, Some(500), "retry"), (1, Some(500), "retry")]
    );
    assert_eq!(records[0].answer, b"so");
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn full_exceptions_stop_new_events_and_are_told_once() {
    let log = Log::default();
    let writer = log.clone();
    let logging = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    let _logging = tracing::subscriber::set_default(logging);
    let mut small = settings();
    small.max_exceptions = 2;
    let mut rig = Rig::new(small).await;
    rig.publish(10).await;
    rig.answer(|_| status(500));
    rig.start();
    rig.judged(2).await;
    rig.turn(10);
    rig.judged(4).await;
    rig.saved(|saved| saved.positions[0].exceptions == 2).await;
    rig.stop().await;
    assert!(rig.pushes().iter().all(|push| push.version <= 2), "{:?}", rig.pushes());
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.matches("subscription.exceptions_full").count(), 1, "{text}");
}

#[tokio::test]
async fn what_is_sent_at_most_once_travels_with_its_bytes() {
    let mut once = settings();
    once.retry.max_attempts = Some(1);
    let mut rig = Rig::new(once).await;
    rig.publish(1).await;
    rig.answer(|_| status(500));
    rig.start();
    rig.until(|| rig.count("dead") == 1).await;
    rig.answer(|_| status(200));
    rig.publish(1).await;
    rig.until(|| rig.count("delivered") == 1).await;
    rig.stop().await;
    let short = TopicSettings { max_count: Some(1), ..TopicSettings::default() };
    let now = rig.clock.now();
    rig.store.put_topic(&topic(), &short, now).await.unwrap();
    while rig.store.trim(now).await.unwrap().more {}
    assert_eq!(rig.store.topic(&topic()).await.unwrap().oldest, Version(2));
    assert_eq!(rig.store.redrive(&name(), DeadSelect::All, None, now).await.unwrap(), 1);
    rig.start();
    rig.until(|| rig.count("delivered") == 2).await;
    rig.stop().await;
    assert_eq!(rig.versions(), [1, 2, 1]);
    rig.all_settled(2).await;
}

#[tokio::test]
async fn what_the_log_cannot_give_is_told_and_the_rest_arrives() {
    let mut rig = Rig::new(settings()).await;
    rig.publish(10).await;
    rig.damage(
        "UPDATE events SET data = x'5b5d' WHERE slot & 255 = 3;
         DELETE FROM events WHERE slot & 255 BETWEEN 5 AND 6",
    )
    .await;
    rig.start();
    rig.judged(7).await;
    rig.saved(|saved| saved.positions[0].dead_letters == 1).await;
    rig.stop().await;
    let mut versions: Vec<_> = rig.pushes().iter().map(|push| push.version).collect();
    versions.sort_unstable();
    assert_eq!(versions, [1, 2, 4, 7, 8, 9, 10]);
    let dead = rig.dead_letters().await;
    assert_eq!((dead.len(), dead[0].from, dead[0].reason), (1, Version(3), DeadReason::Damaged));
    assert_eq!(dead[0].last.error.as_deref(), Some("version 3 is damaged: its checksum is wrong"));
    assert!(dead[0].event.is_none(), "what is damaged is not shown either");
    let told = rig.store.trim(rig.clock.now()).await.unwrap().damage;
    let told: Vec<_> = told.iter().map(|damage| (damage.reason, damage.from.0)).collect();
    assert_eq!(told, [("event_damaged", 3), ("events_missing", 5)]);
    rig.all_settled(10).await;
}

/// It was good when it was tried first.
#[tokio::test]
async fn an_event_that_was_damaged_since_its_first_attempt_dies() {
    let mut rig = Rig::new(settings()).await;
    rig.publish(2).await;
    rig.answer(|push| status(if push.version == 1 { 500 } else { 200 }));
    rig.start();
    rig.judged(2).await;
    rig.stop().await;
    rig.damage("UPDATE events SET data = x'5b5d' WHERE slot & 255 = 1").await;
    rig.start();
    rig.turn(20);
    rig.saved(|saved| saved.positions[0].dead_letters == 1).await;
    rig.stop().await;
    assert_eq!(rig.dead_letters().await[0].reason, DeadReason::Damaged);
    assert_eq!(rig.pushes().len(), 2);
}
