//! Stopping once, stopping twice, and starting a second relay on one file.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Answer, Place, Receiver, eventually, receiver::Delivery};

/// A topic and a subscription to it.
fn pushing_to(url: &str) -> String {
    format!(
        "topics: {{ numbers: {{}} }}\nsubscriptions:\n  - name: sink\n    topic: numbers\n    \
         from: earliest\n    webhook: {{ url: \"{url}\", secret: {{ env: HOOK_SECRET }} }}\n"
    )
}

#[tokio::test]
async fn a_soft_stop_finishes_what_is_in_flight_and_saves_it() {
    let slow = Answer { status: 204, delay: Duration::from_millis(300) };
    let receiver = Receiver::start(move |_| slow).await;
    let place = Place::new(&pushing_to(&receiver.url()));
    let relay = place.start().await;
    relay.api().publish("numbers", 1, 40).await;
    receiver.until_requests(3).await;
    assert_eq!(relay.stop().await.code(), Some(0));
    let first = receiver.deliveries();
    assert!(first.iter().all(Delivery::accepted), "something was cut off");

    let relay = place.start().await;
    receiver.until_accepted(40).await;
    assert_eq!(receiver.requests(), 40, "a settled delivery was repeated after a soft stop");
    assert!(relay.stop().await.success());
}

#[tokio::test]
async fn a_second_signal_drops_the_work_and_says_so() {
    let stuck = Answer { status: 204, delay: Duration::from_secs(100) };
    let receiver = Receiver::start(move |_| stuck).await;
    let place = Place::new(&pushing_to(&receiver.url()));
    let mut relay = place.start().await;
    relay.api().publish("numbers", 1, 5).await;
    receiver.until_requests(1).await;
    relay.signal(Signal::TERM);
    // The soft stop is taken when the API does not answer any more.
    let api = relay.api().clone();
    eventually("the API closed", || async {
        let request = api.request("GET", "/readyz").timeout(Duration::from_secs(1));
        (api.try_send(request).await.is_none_or(|reply| reply.status != 200)).then_some(())
    })
    .await;
    relay.signal(Signal::TERM);
    assert_eq!(relay.ended().await.code(), Some(3));
}

#[tokio::test]
async fn a_second_relay_on_the_same_file_names_the_first_and_leaves_it_alone() {
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    let other = Place::new("");
    other.write_raw(&format!(
        "store: \"sqlite:{}\"\nlisten: 127.0.0.1:0\ntopics: {{ numbers: {{}} }}\n",
        place.store().display()
    ));
    let second = other.run(&["run", "-c", other.config().to_str().unwrap()]).await;
    assert_eq!(second.code, Some(78), "{second:?}");
    let first = relay.id().to_string();
    assert!(second.stderr.contains(&first), "does not name process {first}: {second:?}");
    relay.api().publish("numbers", 1, 3).await;
    assert_eq!(relay.api().head("numbers").await, 3);
    assert!(relay.stop().await.success());
}
