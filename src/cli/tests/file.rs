//! What is done with a file alone, beside a relay or without one.

use super::*;

/// A file that is being edited leads to its relay; one that is not there leads nowhere else.
#[tokio::test]
async fn a_client_finds_the_relay_of_its_file() {
    let server = MockServer::start().await;
    Mock::given(path("/v1/topics"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({ "topics": [] })))
        .expect(2)
        .mount(&server)
        .await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("m.yaml");
    let ask = async || {
        let words = ["milkrun", "-c", file.to_str().unwrap(), "topics"];
        Cli::try_parse_from(words).unwrap().run().await.map(|_| ())
    };
    for rest in ["", "stroe: x\nsources: [{ name: 7 }]\n"] {
        std::fs::write(&file, format!("listen: {}\n{rest}", server.address())).unwrap();
        ask().await.unwrap();
    }
    std::fs::remove_file(&file).unwrap();
    let failure = ask().await.unwrap_err();
    assert_eq!(failure.code, 78);
    assert!(failure.message.contains("m.yaml: there is no such file"), "{failure}");
}

#[tokio::test]
async fn a_dry_run_asks_the_producer_and_stores_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (server, file) = producer_and_file(directory.path()).await;
    for words in ["probe shop --dry-run", "probe shop --dry-run -o json"] {
        on_file(&file, words).await.unwrap();
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 2);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    let failure = on_file(&file, "probe shpo --dry-run").await.unwrap_err();
    assert_eq!(failure.code, 2);
    assert!(failure.message.ends_with("has no source `shpo`: did you mean `shop`?"), "{failure}");
}

/// An answer that is not ready is waited for, and a pause that is too long is not.
#[tokio::test]
async fn a_dry_run_waits_for_the_producer() {
    let directory = tempfile::tempdir().unwrap();
    let (server, file) = producer_and_file(directory.path()).await;
    let answers = |status, after: &str, times| {
        let answer = ResponseTemplate::new(status).insert_header("retry-after", after);
        Mock::given(method("GET"))
            .and(path("/list"))
            .respond_with(answer)
            .up_to_n_times(times)
            .with_priority(1)
            .mount(&server)
    };
    answers(202, "1", 1).await;
    on_file(&file, "probe shop --dry-run").await.unwrap();
    assert_eq!(server.received_requests().await.unwrap().len(), 2);
    for (status, kind) in [(202, "waiting"), (429, "status")] {
        answers(status, "600", 1).await;
        let failure = on_file(&file, "probe shop --dry-run").await.unwrap_err();
        assert!(failure.message.starts_with(&format!("{kind}: ")), "{failure}");
        assert!(failure.message.ends_with("a relay would ask again in 600 s"), "{failure}");
        assert!(failure.message.contains("\nhelps: "), "{failure}");
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 4);
}

#[tokio::test]
async fn check_online_asks_everybody_and_pushes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (server, file) = producer_and_file(directory.path()).await;
    on_file(&file, "check").await.unwrap();
    assert!(server.received_requests().await.unwrap().is_empty());
    // The third item is no event, which is told.
    let failure = on_file(&file, "check --online").await.unwrap_err();
    assert_eq!(failure.message, "1 could not be used");
    let methods: Vec<String> =
        server.received_requests().await.unwrap().iter().map(|r| r.method.to_string()).collect();
    assert_eq!(methods, ["GET", "HEAD"]);
    // A check makes no store.
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

/// A cursor that was stored for another URL is told before it does harm.
#[tokio::test]
async fn check_finds_a_cursor_of_another_contract() {
    let directory = tempfile::tempdir().unwrap();
    let (server, file) = producer_and_file(directory.path()).await;
    let config = crate::config::load(&file, |_| None).unwrap();
    let clock = crate::clock::Clock::system();
    let start_and_stop = async || {
        let node = crate::node::Node::start(config.clone(), &[], clock.clone()).await.unwrap();
        node.stop(tokio_util::sync::CancellationToken::new()).await;
    };
    start_and_stop().await;
    let store =
        crate::store::open(config.store.as_str(), &crate::store::Options::default()).await.unwrap();
    let source = store.source(&config.sources[0].name).await.unwrap();
    let progress = crate::store::SourceProgress {
        source: source.id,
        fence: source.fence,
        cursor: Some("{}".into()),
        ..Default::default()
    };
    let (topic, now) = (source.topic, clock.now());
    let append = crate::store::Append { topic, events: Vec::new(), progress: Some(progress), now };
    store.append(append).await.unwrap();
    store.close().await;
    drop(store);
    // The cursor of a walk belongs to the contract it was made for.
    start_and_stop().await;
    on_file(&file, "check").await.unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(&format!("{}/list", server.uri()), "https://a.example/"))
        .unwrap();
    let failure = on_file(&file, "check").await.unwrap_err();
    assert_eq!(failure.code, 78);
    assert!(failure.message.contains("source `shop` has a cursor"), "{failure}");
    // With the old cursor, and commands that work as printed.
    assert!(failure.message.contains("({})"), "{failure}");
    let command = failure.message.lines().last().unwrap().trim();
    assert_eq!(command, format!("milkrun sources cursor shop --reset -c {}", file.display()));
    Cli::try_parse_from(command.split(' ')).unwrap().run().await.unwrap();
    on_file(&file, "check").await.unwrap();
}

/// A restored copy is announced before a relay serves it.
#[tokio::test]
async fn an_epoch_is_begun_without_a_relay() {
    let directory = tempfile::tempdir().unwrap();
    let (_server, file) = producer_and_file(directory.path()).await;
    let failure = on_file(&file, "topics new-epoch --all").await.unwrap_err();
    assert!(failure.message.contains("there is no such file"), "{failure}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    let config = crate::config::load(&file, |_| None).unwrap();
    let clock = crate::clock::Clock::system();
    let node = crate::node::Node::start(config.clone(), &[], clock).await.unwrap();
    node.stop(tokio_util::sync::CancellationToken::new()).await;
    on_file(&file, "topics new-epoch --all --reason restored").await.unwrap();
    let store =
        crate::store::open(config.store.as_str(), &crate::store::Options::default()).await.unwrap();
    let topic = store.topic(&"t".parse().unwrap()).await.unwrap();
    assert_eq!(topic.epochs.last().unwrap().reason, "restored");
    store.close().await;
}
