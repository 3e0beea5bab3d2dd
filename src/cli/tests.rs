//! Tests of the command line: its definition, and the commands against an API that is scripted.

use clap::{CommandFactory as _, Parser as _};
use serde_json::json;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{body_json, method, path, query_param},
};

use super::{Cli, Failure, client::Client};

mod edges;
mod examples;
mod file;
mod store;
mod subscriptions;
mod waiting;

/// One page of a producer, and a file with a source for it and a subscription.
async fn producer_and_file(directory: &std::path::Path) -> (MockServer, std::path::PathBuf) {
    let server = MockServer::start().await;
    let items = json!([{ "id": "a" }, { "id": "b" }, { "no": "id" }]);
    Mock::given(method("GET"))
        .and(path("/list"))
        .respond_with(ResponseTemplate::new(200).set_body_json(items))
        .mount(&server)
        .await;
    let file = directory.join("m.yaml");
    let (uri, store) = (server.uri(), directory.join("m.db"));
    let text = format!(
        "store: \"sqlite:{}\"\nlisten: 127.0.0.1:1\noutbound: {{ allow: [127.0.0.1] }}\n\
         sources: [{{ name: shop, topic: t, http: {{ url: \"{uri}/list\", id: id }} }}]\n\
         subscriptions: [{{ name: b, topic: t, webhook: {{ url: \"{uri}/hooks\" }} }}]\n",
        store.display()
    );
    std::fs::write(&file, text).unwrap();
    (server, file)
}

async fn on_file(file: &std::path::Path, words: &str) -> Result<(), Failure> {
    let words = ["milkrun", "-c", file.to_str().unwrap()].into_iter().chain(words.split(' '));
    Cli::try_parse_from(words).unwrap().run().await.map(|_| ())
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn arguments_are_read() {
    for good in [
        "run -c m.yaml --role probe --role api",
        "run --role probe,dispatch --drain 5s",
        "demo --once",
        "demo --cluster --once",
        "check --online",
        "doctor --online -o json",
        "config schema",
        "verify --id m --timestamp -1 --signature v1,x --body b.json",
        "config show -c x.yaml",
        "probe shop --dry-run --pages 2",
        "series milkrun_topic_head --label topic=a --since 1h --step 1m -o json",
        "topics",
        "topics new-epoch --all --reason restored",
        "topics new-epoch orders",
        "events orders --after 5 --follow -o json",
        "subscriptions rewind billing earliest --topic orders",
        "subscriptions create b --url http://a --topic t --transform {} --generate-ed25519",
        "subscriptions attempts b --failed --since 2026-01-31T12:00:00Z --status 500",
        "dead-letters billing",
        "dead-letters",
        "dead-letters list --limit 3",
        "attempts",
        "attention",
        "find order-9931",
        "try orders filter=true --last 5 -o json",
        "attempts billing --failed",
        "dead-letters billing redrive --all",
        "dead-letters billing delete 1 2",
        "sources cursor shop --reset",
        "sources cursor shop --keep",
        "listen billing --to 3000/hooks --since 10m --keep f --max-attempts 3",
        "listen --topic orders --exec cat --after 5 --once",
        "init https://a.example/list -H a:b --print",
        "top --once",
        "debug bundle f.tar.gz --log-file l",
        "subscriptions attempts b --all",
        "dead-letters billing list --all",
        "wait billing --lag 0 --timeout 60s",
        "wait billing --owed 5",
        "subscriptions rewind billing --after 5",
        "subscriptions resume billing --since 10m --topic t",
        "subscriptions resume billing --from earliest",
        "replay billing --at earliest",
        "replay billing --from 5 --to 9",
        "healthcheck --server http://127.0.0.1:1",
        "migrate --from sqlite:a.db --to postgres://db/log",
        "completions bash",
    ] {
        let words = std::iter::once("milkrun").chain(good.split(' '));
        Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{good}: {error}"));
    }
    for bad in [
        "",
        "rnu",
        "run --role cook",
        "topics new-epoch",
        "topics new-epoch orders --all",
        "subscriptions create b --url http://a",
        "subscriptions create b --url http://a --topic t --header x",
        "subscriptions create b --url http://a --topic t --transform [1]",
        "subscriptions create b --url http://a --topic t --secret x --generate-ed25519",
        "subscriptions resume b --topic t",
        "subscriptions rewind b",
        "subscriptions rewind b earliest --at 5",
        "subscriptions rewind b --at 5 --after 5",
        "listen billing",
        "listen billing --to 3000 --exec cat",
        "listen --to 3000",
        "listen billing --to 3000 --since 1m --after 5",
        "dead-letters billing redrive",
        "dead-letters billing redrive --all 1",
        "sources cursor shop",
        "sources cursor shop --keep --reset",
        "sources cursor shop {} --keep",
        "probe shop --pages 3",
        "migrate --to postgres://db/log",
        "events",
        "verify --request r --id m",
    ] {
        let words = std::iter::once("milkrun").chain(bad.split_whitespace());
        let error = Cli::try_parse_from(words).expect_err(bad);
        assert_eq!(error.exit_code(), 2, "{bad}");
    }
}

async fn milkrun(server: &MockServer, words: &str) -> Result<(), Failure> {
    let uri = server.uri();
    let words = ["milkrun", "--server", &uri].into_iter().chain(words.split(' '));
    Cli::try_parse_from(words).unwrap().run().await.map(|_| ())
}

/// Each command makes exactly this request.
#[tokio::test]
async fn commands_ask_the_api() {
    for (words, verb, at, body) in [
        ("topics", "GET", "/v1/topics", None),
        ("topics show orders", "GET", "/v1/topics/orders", None),
        (
            "topics new-epoch orders --reason r",
            "POST",
            "/v1/topics/orders/new-epoch",
            Some(json!({ "reason": "r" })),
        ),
        ("sources", "GET", "/v1/sources", None),
        ("series milkrun_topic_head", "GET", "/v1/series", None),
        ("sources poll shop", "POST", "/v1/sources/shop/poll", Some(json!({}))),
        ("probe shop", "POST", "/v1/sources/shop/poll", Some(json!({}))),
        (
            "sources cursor shop {\"a\":1}",
            "POST",
            "/v1/sources/shop/cursor",
            Some(json!({ "cursor": { "a": 1 }, "apply": true })),
        ),
        (
            "sources cursor shop --reset",
            "POST",
            "/v1/sources/shop/cursor",
            Some(json!({ "cursor": null, "apply": true })),
        ),
        (
            "sources cursor shop --keep",
            "POST",
            "/v1/sources/shop/cursor",
            Some(json!({ "keep": true, "apply": true })),
        ),
        ("sources rejected shop", "GET", "/v1/sources/shop/rejected", None),
        ("subscriptions", "GET", "/v1/subscriptions", None),
        ("subscriptions pause b", "POST", "/v1/subscriptions/b/pause", Some(json!({}))),
        (
            "subscriptions rewind b 42 --topic t",
            "POST",
            "/v1/subscriptions/b/rewind",
            Some(json!({ "from": "42", "topic": "t" })),
        ),
        ("subscriptions delete b", "DELETE", "/v1/subscriptions/b", None),
        (
            "subscriptions create b --url http://a.example --topic t",
            "POST",
            "/v1/subscriptions",
            Some(
                json!({ "name": "b", "topics": ["t"], "from": "latest", "webhook": { "url": "http://a.example" } }),
            ),
        ),
        ("dead-letters b", "GET", "/v1/subscriptions/b/dead-letters", None),
        (
            "dead-letters b redrive --all",
            "POST",
            "/v1/subscriptions/b/dead-letters/redrive",
            Some(json!({ "all": true })),
        ),
        (
            "dead-letters b delete 3 4",
            "DELETE",
            "/v1/subscriptions/b/dead-letters",
            Some(json!({ "ids": [3, 4] })),
        ),
        ("healthcheck", "GET", "/readyz", None),
        // What a name is, the API says; it never becomes another path.
        ("topics show ../x", "GET", "/v1/topics/..%2Fx", None),
    ] {
        asks(words, verb, at, body).await;
    }
}

/// Makes exactly this request.
async fn asks(words: &str, verb: &str, at: &str, body: Option<serde_json::Value>) {
    let server = MockServer::start().await;
    let mut mock = Mock::given(method(verb)).and(path(at));
    if let Some(body) = body {
        mock = mock.and(body_json(body));
    }
    mock.respond_with(ResponseTemplate::new(200).set_body_json(json!({})))
        .expect(1)
        .mount(&server)
        .await;
    milkrun(&server, words).await.unwrap_or_else(|error| panic!("{words}: {error}"));
    server.verify().await;
}

#[tokio::test]
async fn events_are_read_to_the_end() {
    let server = MockServer::start().await;
    let page = |next: &str, head: Option<u64>| {
        let mut page = json!({ "next": next, "events": [{ "id": "a", "version": 1 }] });
        if let Some(head) = head {
            page["head"] = head.into();
        }
        ResponseTemplate::new(200).set_body_json(page)
    };
    let events = || Mock::given(method("GET")).and(path("/v1/topics/orders/events"));
    events()
        .and(query_param("after", "0"))
        .and(query_param("limit", "100"))
        .respond_with(page("0a1b2c3d-1", None))
        .expect(1)
        .mount(&server)
        .await;
    events()
        .and(query_param("after", "0a1b2c3d-1"))
        .and(query_param("limit", "99"))
        .respond_with(page("0a1b2c3d-2", Some(2)))
        .expect(1)
        .mount(&server)
        .await;
    milkrun(&server, "events orders --after 0 -o json").await.unwrap();
    server.verify().await;
}

#[tokio::test]
async fn what_the_api_refuses_is_told() {
    let server = MockServer::start().await;
    let problem = json!({
        "type": "about:blank", "title": "Not Found", "status": 404,
        "code": "not_found", "detail": "topic `x` does not exist"
    });
    Mock::given(path("/v1/topics/x"))
        .respond_with(ResponseTemplate::new(404).set_body_json(problem))
        .mount(&server)
        .await;
    let failure = milkrun(&server, "topics show x").await.unwrap_err();
    assert_eq!(failure.message, "Not Found: topic `x` does not exist [not_found]");
    assert_eq!(failure.code, 1);
    let failure = milkrun(&server, "topics show strange").await.unwrap_err();
    assert!(failure.message.contains("but not as a relay: status 404"), "{failure}");
}

#[tokio::test]
async fn a_relay_that_is_not_there_is_told() {
    // A port that was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let server = format!("http://{address}");
    let cli = Cli::try_parse_from(["milkrun", "--server", &server, "topics"]).unwrap();
    let failure = cli.run().await.unwrap_err();
    assert!(failure.message.starts_with("no relay answers at"), "{failure}");
    let cli = Cli::try_parse_from(["milkrun", "--server", "localhost:80", "topics"]).unwrap();
    assert_eq!(cli.run().await.unwrap_err().code, 2);
}

/// Also of a command that wants nothing of it.
#[tokio::test]
async fn a_file_that_is_named_and_not_there_is_told() {
    for words in [
        "check",
        "run",
        "config show",
        "config schema",
        "demo --once",
        "completions bash",
        "topics",
        "reload",
    ] {
        let words = ["milkrun", "-c", "/does/not/exist.yaml"].into_iter().chain(words.split(' '));
        let failure = Cli::try_parse_from(words).unwrap().run().await.unwrap_err();
        assert_eq!(failure.code, 78, "{failure}");
        assert!(failure.message.contains("/does/not/exist.yaml"), "{failure}");
    }
}

/// A bad file ends every command that needs it with exit code 78.
#[tokio::test]
async fn a_bad_file_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("m.yaml");
    // A public address without keys is refused before anything is opened.
    std::fs::write(&file, "listen: 0.0.0.0:8080\n").unwrap();
    let failure = on_file(&file, "check").await.unwrap_err();
    assert_eq!(failure.code, 78, "{failure}");
    std::fs::write(&file, "stroe: x\n").unwrap();
    for words in ["check", "run", "config show", "probe x --dry-run"] {
        let file = file.to_str().unwrap();
        let words = ["milkrun", "-c", file].into_iter().chain(words.split(' '));
        let failure = Cli::try_parse_from(words).unwrap().run().await.unwrap_err();
        assert_eq!(failure.code, 78);
        assert!(failure.message.contains("m.yaml:1:1: unknown key `stroe`: did you mean `store`?"));
    }
}

/// A person is shown the gaps, too, which the topic has.
#[tokio::test]
async fn a_source_is_shown_with_its_gaps() {
    for (words, gaps) in [("sources show shop", 1), ("sources show shop -o json", 0)] {
        let server = MockServer::start().await;
        let answers = |at: &str, answer: serde_json::Value| {
            let answer = ResponseTemplate::new(200).set_body_json(answer);
            Mock::given(method("GET")).and(path(at)).respond_with(answer)
        };
        let view = json!({ "name": "shop", "topic": "orders", "status": "active" });
        answers("/v1/sources/shop", view).expect(1).mount(&server).await;
        let list = json!({ "gaps": [{ "source": "shop" }] });
        answers("/v1/topics/orders/gaps", list).expect(gaps).mount(&server).await;
        milkrun(&server, words).await.unwrap();
        server.verify().await;
    }
}

/// More topics than one answer holds.
#[tokio::test]
async fn all_topics_are_found_page_by_page() {
    let server = MockServer::start().await;
    let page = |names: std::ops::Range<u32>| {
        let topics: Vec<_> = names.map(|n| json!({ "topic": format!("t{n:04}") })).collect();
        let page = ResponseTemplate::new(200).set_body_json(json!({ "topics": topics }));
        let next = "</v1/topics?limit=1000&after=t0999>; rel=\"next\"";
        if topics.len() == 1_000 { page.insert_header("link", next) } else { page }
    };
    let list = || Mock::given(method("GET")).and(path("/v1/topics"));
    list().and(query_param("after", "t0999")).respond_with(page(1_000..1_002)).mount(&server).await;
    list().respond_with(page(0..1_000)).with_priority(9).mount(&server).await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({})))
        .expect(1_002)
        .mount(&server)
        .await;
    milkrun(&server, "topics new-epoch --all").await.unwrap();
    server.verify().await;
    let all = Client::new(&server.uri()).unwrap().list(&["v1", "topics"], "topics").await.unwrap();
    assert_eq!(all["topics"].as_array().unwrap().len(), 1_002);
}
