//! Notices on the whole way: from what happens to who subscribed to hear of it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU16, Ordering::SeqCst},
};

use serde_json::{Value, json};

use super::{
    RUN,
    hooks::{Hook, Hooks, Said},
    subscribe,
};
use crate::support::{Place, eventually};

const OPS: u32 = 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_becomes_of_a_subscription_is_heard_by_another_and_nothing_of_that_one() {
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    let status = Arc::new(AtomicU16::new(503));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (answer, kept) = (status.clone(), heard.clone());
    let hooks = Hooks::start(move |hook: &Hook| {
        if hook.whose != OPS {
            return Said::status(answer.load(SeqCst));
        }
        // It fails too, now and then, and has holds of its own.
        if hook.version.is_multiple_of(2) && hook.attempt < 4 {
            return Said::status(503);
        }
        kept.lock().unwrap().push(serde_json::from_slice::<Value>(&hook.body).unwrap());
        Said::status(204)
    })
    .await;
    let quick = json!({
        "hold": { "after": 3, "interval": "20ms", "max_interval": "20ms" },
        "retry": { "schedule": ["10ms", "10ms", "10ms", "10ms", "10ms"], "never_retry": [400] },
    });
    let mut ops = quick.clone();
    ops["topic"] = "milkrun.notices".into();
    // What this test itself does is told too.
    ops["filter"] = json!({ "not": { "exact": { "type": "operator.action" } } });
    subscribe(relay.api(), "ops", &hooks.url(OPS), &ops).await;
    subscribe(relay.api(), "sink", &hooks.url(0), &quick).await;

    let list = heard.clone();
    let notices_heard = |count: usize| {
        let list = list.clone();
        eventually("a notice", move || {
            let heard = list.lock().unwrap().len();
            async move { (heard >= count).then_some(()) }
        })
    };
    relay.api().publish("numbers", 1, 5).await;
    notices_heard(1).await;
    status.store(204, SeqCst);
    notices_heard(2).await;
    hooks.until(RUN, "the first five", |counts| counts.accepted >= 5 + 2).await;
    status.store(400, SeqCst);
    relay.api().publish("numbers", 6, 6).await;
    notices_heard(3).await;
    status.store(410, SeqCst);
    relay.api().publish("numbers", 7, 7).await;
    notices_heard(4).await;

    let heard = heard.lock().unwrap().clone();
    let told: Vec<_> =
        heard.iter().map(|event| (text(event, "type"), text(event, "subject"))).collect();
    let expected = [
        "subscription.failing",
        "subscription.recovered",
        "dead_letter.added",
        "subscription.disabled",
    ];
    for (kind, told) in expected.iter().zip(&told) {
        assert_eq!(*told, (*kind, "sink"), "{heard:?}");
    }
    assert_eq!(told.len(), expected.len(), "{heard:?}");
    assert_eq!(heard[0]["source"], "milkrun");
    assert_eq!(heard[0]["data"]["last"]["status"], 503, "{heard:?}");
    assert_eq!(heard[2]["data"]["count"], 1, "{heard:?}");
    let all = relay.api().log("milkrun.notices").await;
    let told = all.iter().filter(|line| !line.contains("operator.action")).count();
    assert_eq!(told, 4, "something else was told: {all:?}");
    assert!(relay.stop().await.success());
}

fn text<'a>(event: &'a Value, name: &str) -> &'a str {
    event[name].as_str().unwrap()
}
