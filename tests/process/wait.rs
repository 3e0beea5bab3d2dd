//! Waiting for a subscription in a script, and what a trace says of one that sends nothing.

use crate::support::{Place, receiver::Receiver};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_waits_and_a_pause_is_told() {
    let hook = Receiver::accepting().await;
    let place = Place::new(&format!(
        "topics: {{ numbers: {{}} }}\nsubscriptions:\n  - {{ name: hook, topic: numbers, webhook: {{ url: \
         \"{}\" }} }}\n",
        hook.url()
    ));
    let late = place.run(&["wait", "hook", "--timeout", "300ms"]).await;
    assert!(late.code == Some(4) && late.stderr.contains("no relay answers"), "{late:?}");
    let relay = place.start().await;
    relay.api().publish("numbers", 1, 3).await;
    let waited = place.run(&["wait", "hook"]).await;
    assert!(waited.code == Some(0) && waited.stdout.contains("owed 0 events"), "{waited:?}");
    hook.until_accepted(3).await;
    assert_eq!(place.run(&["wait", "nobody"]).await.code, Some(1));
    assert_eq!(place.run(&["subscriptions", "pause", "hook"]).await.code, Some(0));
    relay.api().publish("numbers", 4, 5).await;
    let late = place.run(&["wait", "hook", "--lag", "1", "--timeout", "300ms"]).await;
    assert!(late.code == Some(4) && late.stderr.contains("it is paused"), "{late:?}");
    assert_eq!(place.run(&["wait", "hook", "--owed", "2"]).await.code, Some(0));
    let trace = place.run(&["trace", "numbers", "5"]).await;
    for part in ["the subscription is paused", "`milkrun subscriptions resume hook`"] {
        assert!(trace.stdout.contains(part), "{part}: {trace:?}");
    }
    // One way to name a place; the former ones say the new.
    let rewound = place.run(&["subscriptions", "rewind", "hook", "--after", "1"]).await;
    assert!(rewound.code == Some(0) && rewound.stderr.is_empty(), "{rewound:?}");
    let reach =
        relay.api().get("/v1/subscriptions/hook").await.ok()["positions"][0]["reach"].clone();
    assert_eq!(reach, 1);
    let former = place.run(&["subscriptions", "rewind", "hook", "earliest"]).await;
    assert!(former.code == Some(0) && former.stderr.contains("`--at earliest`"), "{former:?}");
    let head = relay.api().get("/v1/topics/numbers").await.ok()["cursor"].clone();
    let head = head.as_str().unwrap();
    let resumed = place.run(&["subscriptions", "resume", "hook", "--after", head]).await;
    assert!(resumed.code == Some(0) && resumed.stderr.is_empty(), "{resumed:?}");
    let foreign = ["subscriptions", "rewind", "hook", "--after", "00000001-2"];
    let refused = place.run(&foreign).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("history_changed"), "{refused:?}");
    let since = place.run(&["replay", "hook", "--since", "10m", "--wait"]).await;
    assert_eq!(since.code, Some(0), "{since:?}");
    assert_eq!(place.run(&["replay", "hook"]).await.code, Some(2));
    assert!(relay.stop().await.success());
}
