//! A node whose file changes.

use std::{path::Path, time::Duration};

use sqlx::Connection as _;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Node, NodeError};
use crate::{
    clock::Clock,
    config::{self, Config},
    event::{Topic, Version},
    notices,
    settings::{SubscriptionSettings, TopicSettings},
    store::{
        Append, NewSubscription, Origin, Read, SourceProgress, SourceStatus, StartFrom, StoreError,
        SubscriptionStatus,
    },
    stuck::Stuck,
};

const START: &str = "sources: [{ name: shop, topic: t, http: { url: https://a.example/, id: id } }]
subscriptions: [{ name: old, topic: t, webhook: { url: https://b.example/ } }]
";

fn file(directory: &Path, text: &str) -> Config {
    let store = directory.join("m.db");
    let text = format!("store: \"sqlite:{}\"\n{text}", store.display());
    config::parse(&text, "m.yaml", |_| None).unwrap()
}

async fn start(directory: &Path) -> Node {
    Node::start(file(directory, START), &[], Clock::system()).await.unwrap()
}

/// Reloads a file with another topic, source and subscription, without the old ones, and with
/// `bad` in it; answers why it was refused, after looking that nothing else happened.
async fn refused(node: &mut Node, directory: &Path, bad: &str) -> String {
    let text = format!(
        "topics: {{ fresh: {{}} }}
sources: [{{ name: more, topic: fresh, http: {{ url: https://c.example/, id: id }} }}]
subscriptions:
- {{ name: first, topic: fresh, webhook: {{ url: https://b.example/ }} }}
- {bad}
"
    );
    let error = node.reload(file(directory, &text)).await.unwrap_err();
    assert!(matches!(error, NodeError::Config(_)), "{error}");
    assert_eq!(error.exit_code(), 78);
    assert!(node.store.topic(&"fresh".parse().unwrap()).await.is_err());
    let sources = node.store.sources().await.unwrap();
    assert_eq!(sources.len(), 1);
    assert_eq!(sources[0].status, SourceStatus::Active);
    let first = node.store.subscription(&"first".parse().unwrap()).await;
    assert!(matches!(first, Err(StoreError::NotFound { .. })));
    let old = node.store.subscription(&"old".parse().unwrap()).await.unwrap();
    assert_eq!(old.status, SubscriptionStatus::Active);
    assert_eq!(node.sources.borrow()[0].name.as_str(), "shop");
    error.to_string()
}

#[tokio::test]
async fn a_refused_file_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut node = start(directory.path()).await;
    let mine = NewSubscription {
        name: "mine".parse().unwrap(),
        origin: Origin::Api,
        topics: vec!["t".parse().unwrap()],
        from: StartFrom::Latest,
        settings: SubscriptionSettings::new("https://b.example/".into(), Vec::new()),
    };
    node.store.put_subscription(&mine, node.clock.now()).await.unwrap();

    let bad = "{ name: mine, topic: t, webhook: { url: https://b.example/ } }";
    let why = refused(&mut node, directory.path(), bad).await;
    assert!(why.contains("`mine` was made through the API"), "{why}");
    let bad = "{ name: far, topic: t, from: \"7\", webhook: { url: https://b.example/ } }";
    let why = refused(&mut node, directory.path(), bad).await;
    assert!(why.contains("`from: 7`: expected at most 1,"), "{why}");

    // A position that is there needs no beginning.
    let text = START.replace("topic: t, webhook", "topic: t, from: \"7\", webhook");
    node.reload(file(directory.path(), &text)).await.unwrap();
    node.stop(CancellationToken::new()).await;
}

/// Whoever still works for the old topic must notice.
#[tokio::test]
async fn another_topic_raises_the_fence_of_a_source() {
    let directory = tempfile::tempdir().unwrap();
    let mut node = start(directory.path()).await;
    let before = node.store.source(&"shop".parse().unwrap()).await.unwrap();
    assert_eq!(before.config_hash, node.sources.borrow()[0].config_hash);
    // Nothing else changes, not even the type that events have by default.
    let mut config = file(directory.path(), &format!("topics: {{ u: {{}} }}\n{START}"));
    config.sources[0].topic = "u".parse().unwrap();
    node.reload(config).await.unwrap();
    let after = node.store.source(&before.name).await.unwrap();
    assert!(after.fence > before.fence, "{after:?}");
    assert_eq!(after.config_hash, node.sources.borrow()[0].config_hash);
    node.stop(CancellationToken::new()).await;
}

#[tokio::test]
async fn the_topic_of_notices_is_there_from_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let mut node = start(directory.path()).await;
    let topic = node.store.topic(&Topic::notices()).await.unwrap();
    assert_eq!(topic.settings, notices::settings());
    // Who gets notices changes nothing about their topic.
    let mut config = file(directory.path(), START);
    config.topics.push((Topic::notices(), TopicSettings::default()));
    config.subscriptions[0].topics.push(Topic::notices().into());
    node.reload(config).await.unwrap();
    let topic = node.store.topic(&Topic::notices()).await.unwrap();
    assert_eq!(topic.settings, notices::settings());
    node.stop(CancellationToken::new()).await;
}

#[tokio::test]
async fn a_role_that_breaks_down_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let mut node = start(directory.path()).await;
    assert!(timeout(Duration::from_millis(10), node.failed()).await.is_err());
    node.roles.spawn(async { panic!("a role that is meant to break down") });
    timeout(Duration::from_secs(10), node.failed()).await.unwrap();
    node.stop(CancellationToken::new()).await;
}

/// Saves a cursor for `shop`, as its walk would.
async fn walked(node: &Node) {
    let source = node.store.source(&"shop".parse().unwrap()).await.unwrap();
    let progress = SourceProgress {
        source: source.id,
        fence: source.fence,
        cursor: Some("{}".into()),
        complete: true,
        ..SourceProgress::default()
    };
    let (topic, now) = (source.topic, node.clock.now());
    let append = Append { topic, events: Vec::new(), progress: Some(progress), now };
    node.store.append(append).await.unwrap();
}

#[tokio::test]
async fn a_source_that_needs_a_cursor_keeps_nothing_else_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut node = start(directory.path()).await;
    walked(&node).await;
    let text = START.replace("https://a.example/", "https://a.example/?v=2").replace(
        "sources: [",
        "sources: [{ name: more, topic: fresh, http: { url: https://c.example/, id: id } }, ",
    );
    node.reload(file(directory.path(), &text)).await.unwrap();
    assert!(node.store.source(&"more".parse().unwrap()).await.is_ok());
    let shop = node.store.source(&"shop".parse().unwrap()).await.unwrap();
    assert!(shop.needs_cursor());
    let stuck = Stuck::of(&shop).unwrap();
    assert_eq!(stuck.reason, "needs_cursor");
    assert!(stuck.since.is_some());
    // Its worker is the new one, and has the contract that it waits with.
    let setups = node.sources.borrow().clone();
    let setup = setups.iter().find(|setup| setup.name == shop.name).unwrap();
    assert!(setup.config_hash == shop.config_hash && !shop.accepts(&setup.contract));
    node.stop(CancellationToken::new()).await;
    // It starts, too.
    let node = Node::start(file(directory.path(), &text), &[], Clock::system()).await.unwrap();
    node.stop(CancellationToken::new()).await;
}

/// What is stored of one source may be what another begins with.
#[tokio::test]
async fn sources_that_would_share_their_events_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut node = start(directory.path()).await;
    let moved = "{ name: shop, topic: t, http: { url: https://a.example/?v=2, id: id } }";
    let second = "{ name: second, topic: t, http: { url: https://a.example/, id: id } }";
    // In either order it is the new one that is to be named otherwise.
    for text in [[moved, second], [second, moved]] {
        let text = format!("sources: [{}]\n", text.join(", "));
        let error = node.reload(file(directory.path(), &text)).await.unwrap_err().to_string();
        for told in [
            "`shop` and `second` of topic `t`",
            "`https://a.example/`",
            "below `http:` of `second`, as `source: \"https://a.example/#second\"`",
        ] {
            assert!(error.contains(told), "{error}");
        }
        assert!(node.store.source(&"second".parse().unwrap()).await.is_err());
    }
    let named = second.replace("id: id", "id: id, source: \"https://a.example/#second\"");
    let text = format!("sources: [{moved}, {named}]\n");
    node.reload(file(directory.path(), &text)).await.unwrap();
    // Topics keep them apart as well.
    let apart = second.replace("topic: t", "topic: u").replace("second", "third");
    let text = format!("sources: [{moved}, {named}, {apart}]\n");
    node.reload(file(directory.path(), &text)).await.unwrap();
    node.stop(CancellationToken::new()).await;
}

/// Earlier releases left the query out, so that two sources could share what they are known by.
#[tokio::test]
async fn old_sources_that_share_are_told_what_to_write() {
    let directory = tempfile::tempdir().unwrap();
    let entry = |team: &str, more: &str| {
        let url = format!("https://a.example/?team={team}");
        format!("{{ name: {team}, topic: t, http: {{ url: \"{url}\", id: id{more} }} }}")
    };
    let both = |more: &str| format!("sources: [{}, {}]\n", entry("one", ""), entry("two", more));
    let node = Node::start(file(directory.path(), &both("")), &[], Clock::system()).await.unwrap();
    node.stop(CancellationToken::new()).await;
    let path = format!("sqlite:{}", directory.path().join("m.db").display());
    let mut conn = sqlx::SqliteConnection::connect(&path).await.unwrap();
    let before = "UPDATE sources SET event_source = NULL, config_hash = 'x', walks = 1";
    sqlx::raw_sql(before).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    let refused = Node::start(file(directory.path(), &both("")), &[], Clock::system()).await;
    let error = refused.err().unwrap();
    assert_eq!(error.exit_code(), 78);
    let error = error.to_string();
    let (why, rest) = error.split_once(", as `source: ").unwrap();
    assert!(why.contains("`one` and `two` of topic `t`"), "{error}");
    assert!(why.ends_with("below `http:` of `two`"), "{error}");
    // As it is printed.
    let text = both(&format!(", source: {}", rest.trim_end_matches('`')));
    let node = Node::start(file(directory.path(), &text), &[], Clock::system()).await.unwrap();
    let source = async |name: &str| {
        node.store.source(&name.parse().unwrap()).await.unwrap().event_source.unwrap()
    };
    assert_eq!(source("one").await, "https://a.example/");
    assert_eq!(source("two").await, "https://a.example/?team=two");
    node.stop(CancellationToken::new()).await;
}

/// A file that was cut at the end of a line is good, and has less in it.
#[tokio::test]
async fn a_file_without_most_of_what_runs_is_refused_unless_that_is_allowed() {
    let directory = tempfile::tempdir().unwrap();
    let one = |name: &str| {
        format!("- {{ name: {name}, topic: t, webhook: {{ url: https://b.example/ }} }}\n")
    };
    let named = |count: usize| {
        let all: String = ["a", "b", "c"].into_iter().take(count).map(one).collect();
        file(directory.path(), &format!("subscriptions:\n{all}"))
    };
    let mut node = Node::start(named(3), &[], Clock::system()).await.unwrap();
    let running = async |node: &Node| {
        let all = node.store.subscriptions(0).await.unwrap();
        let active = all.iter().filter(|one| one.status == SubscriptionStatus::Active);
        active.map(|one| one.name.to_string()).collect::<Vec<_>>().concat()
    };
    let error = node.reload(named(1)).await.unwrap_err().to_string();
    for told in [
        "it leaves out 2 of the 3 sources and subscriptions",
        "subscription `b`, subscription `c`;",
        "`milkrun reload --allow-removal`",
        "`reload: { allow_removal: true }`",
    ] {
        assert!(error.contains(told), "{error}");
    }
    assert_eq!(running(&node).await, "abc");
    node.reload(named(2)).await.unwrap();
    assert_eq!(running(&node).await, "ab");
    // What left is not counted any more; half may go.
    node.reload(named(1)).await.unwrap();
    // Of one, all is most.
    assert!(node.reload(file(directory.path(), "sources: []\n")).await.is_err());
    assert_eq!(running(&node).await, "a");
    let allowed = "reload: { allow_removal: true }\n";
    node.reload(file(directory.path(), allowed)).await.unwrap();
    assert_eq!(running(&node).await, "");
    let store = node.store.clone();
    let removed = async || {
        let page = store.read(&Topic::notices(), Read::after(Version::ZERO)).await.unwrap();
        let subjects = page.events.iter().map(|event| {
            assert_eq!(event.attributes.get("type").unwrap(), "subscription.removed");
            event.attributes.get("subject").unwrap()
        });
        subjects.collect::<Vec<_>>().concat()
    };
    timeout(Duration::from_secs(20), async {
        while removed().await != "cba" {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    node.stop(CancellationToken::new()).await;
    // A start takes any file.
    let node = Node::start(named(3), &[], Clock::system()).await.unwrap();
    node.stop(CancellationToken::new()).await;
    let node = Node::start(named(0), &[], Clock::system()).await.unwrap();
    assert_eq!(running(&node).await, "");
    node.stop(CancellationToken::new()).await;
}
