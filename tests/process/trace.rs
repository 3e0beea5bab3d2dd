//! Where one event is, by the command.

use crate::support::{
    Place, eventually,
    receiver::{Answer, Receiver},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_says_where_an_event_is_and_what_helps() {
    let (good, bad) = (Receiver::accepting().await, Receiver::start(|_| Answer::status(400)).await);
    let hook = |receiver: &Receiver| format!("webhook: {{ url: \"{}\" }}", receiver.url());
    let place = Place::new(&format!(
        "topics: {{ numbers: {{}} }}\nsubscriptions:\n  - {{ name: good, topic: numbers, {} }}\n  \
         - {{ name: bad, topic: numbers, retry: {{ never_retry: [400] }}, {} }}\n",
        hook(&good),
        hook(&bad)
    ));
    let relay = place.start().await;
    relay.api().publish("numbers", 1, 3).await;
    good.until_accepted(3).await;
    let id = crate::support::producer::id(2);
    let told = eventually("all that became of it", || async {
        let told = place.run(&["trace", "numbers", "2"]).await;
        assert_eq!(told.code, Some(0), "{told:?}");
        let is_whole = told.stdout.contains("dead letter: refused")
            && told.stdout.contains("delivered")
            && told.stdout.matches("400").count() == 2;
        is_whole.then_some(told.stdout)
    })
    .await;
    let (_, helps) = told.split_once('`').unwrap();
    let (helps, _) = helps.split_once('`').unwrap();
    assert_eq!(helps, "milkrun dead-letters bad redrive --topic numbers --from 2 --to 2");
    for words in [
        vec!["trace", "numbers", id.as_str()],
        vec!["trace", "numbers", id.as_str(), "--source", "/numbers"],
        vec!["trace", "numbers", "--id", id.as_str()],
    ] {
        let same = place.run(&words).await;
        assert!(same.stdout.starts_with("event     numbers 2 "), "{words:?}: {same:?}");
    }
    for words in
        [["trace", "numbers", "nobody"], ["trace", "nothing", "1"], ["trace", "numbers", "9"]]
    {
        let none = place.run(&words).await;
        assert_eq!((none.code, none.stdout.as_str()), (Some(1), ""), "{words:?}: {none:?}");
    }
    let words: Vec<&str> = helps.split(' ').skip(1).collect();
    let redriven = place.run(&words).await;
    assert!(redriven.code == Some(0) && redriven.stdout.contains('1'), "{redriven:?}");
    assert!(relay.stop().await.success());
}
