//! What the doctor finds on this machine, good and bad.

use std::fs;

use serde_json::Value;

use crate::support::{Place, Producer, Receiver};

fn yaml(producer: &Producer, receiver: &Receiver) -> String {
    format!(
        "sources: [{{ name: shop, topic: t, http: {} }}]\n\
         subscriptions: [{{ name: crm, topic: t, webhook: {{ url: \"{}\", secret: {{ env: HOOK_SECRET }} }} }}]\n",
        producer.http(50),
        receiver.url()
    )
}

async fn found(place: &Place, words: &[&str]) -> (Option<i32>, Vec<Value>) {
    let end = place.run(&[&["doctor", "-o", "json"], words].concat()).await;
    let told: Value = serde_json::from_str(&end.stdout).unwrap_or_else(|_| panic!("{end:?}"));
    assert_eq!(told["good"], end.code == Some(0), "{end:?}");
    (end.code, told["checks"].as_array().unwrap().clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_is_fit_is_good_and_left_as_it_was() {
    let (producer, receiver) = (Producer::start(50).await, Receiver::accepting().await);
    let place = Place::new(&yaml(&producer, &receiver));
    let folder = place.store().parent().unwrap().to_owned();
    let count = || fs::read_dir(&folder).unwrap().count();
    let before = count();
    let (code, checks) = found(&place, &["--online"]).await;
    assert_eq!(code, Some(0), "{checks:?}");
    for kind in ["configuration", "store", "disk", "open files", "certificates", "host", "clock"] {
        assert!(checks.iter().any(|one| one["check"] == kind), "{kind}: {checks:?}");
    }
    assert_eq!((count(), receiver.requests()), (before, 0), "nothing stays, nothing is pushed");
    let told = place.run(&["doctor"]).await;
    assert!(told.stdout.lines().all(|line| line.starts_with("good")), "{told:?}");
    assert!(told.stderr.is_empty() && !told.stdout.contains("clock"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_bad_is_told_with_what_helps() {
    let (producer, receiver) = (Producer::start(50).await, Receiver::accepting().await);
    let good = yaml(&producer, &receiver);
    let place = Place::new(&good);
    let bad = |checks: &[Value], kind: &str| {
        let found = checks.iter().find(|one| one["check"] == kind && one["good"] == false);
        let found = found.unwrap_or_else(|| panic!("{kind} is not bad: {checks:?}"));
        format!("{}; {}", found["told"].as_str().unwrap(), found["remedy"].as_str().unwrap())
    };
    place.write(&good.replace("HOOK_SECRET", "NO_SUCH_SECRET"));
    let (code, checks) = found(&place, &[]).await;
    assert_eq!((code, checks.len()), (Some(1), 1), "{checks:?}");
    assert!(bad(&checks, "configuration").contains("`NO_SUCH_SECRET` is not set"), "{checks:?}");

    let unknown = "http: { url: \"https://nobody.invalid/\", id: id }";
    place.write(&format!(
        "sources: [{{ name: shop, topic: t, {unknown} }}]\n\
         subscriptions: [{{ name: crm, topic: t, webhook: {{ url: \"http://127.0.0.1:9/\" }} }}]\n"
    ));
    let plain = place.run(&["doctor"]).await;
    assert_eq!(plain.code, Some(1), "{plain:?}");
    assert!(plain.stderr.contains("checks are bad"), "{plain:?}");
    let (_, checks) = found(&place, &["--online"]).await;
    assert!(bad(&checks, "host").contains("no address for `nobody.invalid`"), "{checks:?}");
    assert!(bad(&checks, "clock").contains("does not answer"), "{checks:?}");
}
