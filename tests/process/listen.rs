//! Events handed to a local server by cursor: each once per acknowledgement, none lost, no place moved.

use std::{fs, process::Stdio};

use serde_json::Value;
use sinks::sign::{self, Secret};
use tokio::process::Child;

use crate::support::{
    Place, Raw, eventually,
    receiver::{Answer, Receiver},
    relay::SECRET,
};

const RESTARTS: u64 = 20;
const EACH: u64 = 10;

/// A listener whose acknowledgements go to a file.
fn listener(place: &Place, words: &[&str]) -> Child {
    let out = fs::File::options().create(true).append(true).open(place.path("acks")).unwrap();
    let log = fs::File::options().create(true).append(true).open(place.path("told")).unwrap();
    let words = [words, &["--keep", "place", "-o", "json"]].concat();
    let mut command = place.command(&words);
    command.env("MILKRUN_WEBHOOK_SECRET", SECRET);
    command.stdin(Stdio::null()).stdout(out).stderr(log).spawn().unwrap()
}

/// How often the listener has told it.
fn told(place: &Place, words: &str) -> usize {
    fs::read_to_string(place.path("told")).unwrap_or_default().matches(words).count()
}

/// Waits until the listener has found the relay for the `times`th time.
async fn until_listening(place: &Place, times: usize) {
    let is_told = || async { (told(place, "listening to") >= times).then_some(()) };
    eventually("the listener listens", is_told).await;
}

/// The versions that were acknowledged, in order.
fn acknowledged(place: &Place) -> Vec<u64> {
    let text = fs::read_to_string(place.path("acks")).unwrap();
    let acks = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    acks.map(|ack| ack["version"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_loses_nothing_through_restarts_and_sleeps() {
    // Every seventh event is refused twice, and the relay is killed between two attempts as well.
    let mut local = Receiver::start(|delivery| {
        let is_refused = delivery.version.is_multiple_of(7) && delivery.attempt < 3;
        Answer::status(if is_refused { 500 } else { 204 })
    })
    .await;
    let place = Place::new(
        "topics: { numbers: {} }\nsubscriptions:\n  - { name: hook, topic: numbers, format: data, \
         webhook: { url: \"http://127.0.0.1:1/\" } }\n",
    );
    let mut relay = place.start().await;
    assert_eq!(place.run(&["subscriptions", "pause", "hook"]).await.code, Some(0));
    let url = local.url();
    let words = ["listen", "hook", "--to", &url, "--after", "0"];
    let mut listening = listener(&place, &words);
    until_listening(&place, 1).await;
    for round in 0..RESTARTS {
        let (first, last) = (round * EACH + 1, (round + 1) * EACH);
        if round == 10 {
            // It goes on where it was; between an acknowledgement and its note it would repeat one.
            let all = || async { (acknowledged(&place).len() as u64 >= first - 1).then_some(()) };
            eventually("what was handed over is noted", all).await;
            listening.kill().await.unwrap();
            listening = listener(&place, &words);
            until_listening(&place, 2).await;
        }
        if round % 4 == 1 {
            // The local server sleeps while events come, and nothing is on its way to it.
            local.until_accepted(usize::try_from(first - 1).unwrap()).await;
            local.down();
        }
        let unheard = told(&place, "nobody listens");
        relay.api().publish("numbers", first, last).await;
        if round % 4 == 1 {
            let is_told = || async { (told(&place, "nobody listens") > unheard).then_some(()) };
            eventually("the listener tells that nobody listens", is_told).await;
        }
        relay.kill().await;
        if round % 4 == 1 {
            local.up().await;
        }
        relay = place.start().await;
    }
    let count = RESTARTS * EACH;
    local.until_accepted(usize::try_from(count).unwrap()).await;
    eventually("the last is noted", || async {
        (acknowledged(&place).len() as u64 >= count).then_some(())
    })
    .await;
    listening.kill().await.unwrap();
    let told = fs::read_to_string(place.path("told")).unwrap();
    assert_eq!(acknowledged(&place), (1..=count).collect::<Vec<_>>(), "{told}");
    let mut accepted: Vec<u64> =
        local.deliveries().iter().filter(|one| one.accepted()).map(|one| one.version).collect();
    accepted.sort_unstable();
    assert_eq!(accepted, (1..=count).collect::<Vec<_>>(), "{told}");
    for word in
        ["waits for the relay", "the relay answers again", "nobody listens", "it answers 500"]
    {
        assert!(told.contains(word), "{word}: {told}");
    }
    let view = relay.api().get("/v1/subscriptions/hook").await.ok();
    assert_eq!((&view["owed"], &view["positions"][0]["reach"]), (&count.into(), &0.into()));
    assert!(relay.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_handed_over_is_a_webhook() {
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    relay.api().publish("numbers", 1, 3).await;
    let local =
        Raw::start(|_, _| Some(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n".to_vec()))
            .await;
    let url = local.url("/hooks");
    fs::write(place.path("secret"), SECRET).unwrap();
    let words =
        ["listen", "numbers", "--to", &url, "--since", "10m", "--once", "--secret-file", "secret"];
    let ended = place.run(&words).await;
    assert_eq!((ended.code, ended.stdout.lines().count()), (Some(0), 3), "{ended:?}");
    let uid = relay.api().get("/v1/topics/numbers").await.ok()["uid"].as_str().unwrap().to_owned();
    let secret: [Secret; 1] = [SECRET.parse().unwrap()];
    for (at, sent) in local.sent().iter().enumerate() {
        let header = |name| sent.header(name).unwrap_or_else(|| panic!("{name}: {sent:?}"));
        let id = header("webhook-id");
        assert!(id.starts_with(&uid) && id.ends_with(&format!("-{}", at + 1)), "{id}");
        let timestamp = header("webhook-timestamp").parse().unwrap();
        let signed = sign::signature(&secret, id, timestamp, sent.body.as_bytes());
        assert_eq!(header("webhook-signature"), signed);
        assert_eq!(header("content-type"), "application/cloudevents+json");
        let event: Value = serde_json::from_str(&sent.body).unwrap();
        assert!(event["version"].is_null() && event["specversion"] == "1.0", "{event}");
    }
    let exec = [
        "listen",
        "numbers",
        "--exec",
        "echo $MILKRUN_VERSION $WEBHOOK_ID >> got",
        "--after",
        "1",
        "--once",
    ];
    let ended = place.run(&exec).await;
    assert!(ended.code == Some(0) && ended.stderr.contains("whsec_"), "{ended:?}");
    let got = fs::read_to_string(place.path("got")).unwrap();
    let versions: Vec<&str> = got.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(versions, ["2", "3"]);
    let fails =
        ["listen", "numbers", "--exec", "exit 3", "--after", "2", "--once", "--max-attempts", "2"];
    let ended = place.run(&fails).await;
    assert!(
        ended.stderr.contains("GIVEN UP") && ended.stderr.contains("ended with 3"),
        "{ended:?}"
    );
    let nothing = place.run(&["listen", "nothing", "--to", "3000"]).await;
    assert!(
        nothing.code == Some(1) && nothing.stderr.contains("neither a subscription nor a topic")
    );
    assert!(relay.stop().await.success());
}
