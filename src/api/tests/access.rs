//! Who may do what: every route against every kind of caller, as `docs/access.md` says.

mod keys;
mod seen;

use std::collections::BTreeSet;

use super::*;
use crate::{
    api::gate::needs::{NEEDS, Need},
    event::Name,
    key::{AccessKey, Grant, KeyText, Scope},
    store::{EventSource, NewSource, NewSubscription, Origin, StartFrom},
};

const SCOPES: [Scope; 3] = [Scope::Read, Scope::Publish, Scope::Subscribe];

/// A kind of caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Sends no key.
    Nobody,
    /// Sends one that this relay does not know.
    Unknown,
    /// Everything, until a moment ago.
    Expired,
    /// Of the owner `billing`, in `orders`.
    One(Scope),
    /// All scopes but `admin`, of another owner.
    OtherOwner,
    /// All scopes but `admin`, in another topic.
    OtherTopic,
    /// To read, in all topics.
    ReadsAll,
    Admin,
}

const KINDS: [Kind; 9] = [
    Kind::Nobody,
    Kind::Unknown,
    Kind::Expired,
    Kind::One(Scope::Read),
    Kind::One(Scope::Publish),
    Kind::One(Scope::Subscribe),
    Kind::OtherOwner,
    Kind::OtherTopic,
    Kind::ReadsAll,
];

/// A relay with a key for each kind of caller.
struct Guarded {
    relay: Relay,
    keys: Vec<(Kind, KeyText)>,
}

fn grant(owner: &str, scopes: &[Scope], topics: &[&str]) -> Grant {
    Grant {
        owner: owner.parse().unwrap(),
        scopes: scopes.iter().copied().collect(),
        topics: topics.iter().map(|topic| topic.parse().unwrap()).collect(),
        rate: None,
    }
}

impl Guarded {
    async fn new() -> Self {
        let relay = Relay::new().await;
        let mut keys = Vec::new();
        for (kind, grant, expires) in [
            (Kind::Expired, grant("billing", &[Scope::Admin], &["*"]), Some(NOW)),
            (Kind::One(Scope::Read), grant("billing", &[Scope::Read], &["orders"]), None),
            (Kind::One(Scope::Publish), grant("billing", &[Scope::Publish], &["orders"]), None),
            (Kind::One(Scope::Subscribe), grant("billing", &[Scope::Subscribe], &["orders"]), None),
            (Kind::OtherOwner, grant("shipping", &SCOPES, &["orders"]), None),
            (Kind::OtherTopic, grant("billing", &SCOPES, &["payments"]), None),
            (Kind::ReadsAll, grant("auditor", &[Scope::Read], &["*"]), None),
            (Kind::Admin, grant("ops", &[Scope::Admin], &["*"]), None),
        ] {
            let (key, text) = AccessKey::fresh(None, grant, expires, NOW).unwrap();
            relay.store.put_key(&key).await.unwrap();
            keys.push((kind, text));
        }
        let unknown = KeyText::new(&"unknown".parse().unwrap(), [7; 32]);
        keys.push((Kind::Unknown, unknown));
        let mut guarded = Self { relay, keys };
        guarded.open().await;
        guarded
    }

    /// Puts the API over the store with the keys as they are now.
    async fn open(&mut self) {
        let state = self.relay.state(self.relay.store.clone(), Access::Keyed, Limits::default());
        state.gate.refresh().await.unwrap();
        self.relay.router = router(state, Router::new());
    }

    fn key(&self, kind: Kind) -> Option<&KeyText> {
        self.keys.iter().find(|(of, _)| *of == kind).map(|(_, text)| text)
    }

    /// Calls with the key of a caller.
    async fn call(&self, kind: Kind, method: &Method, path: &str, body: Value) -> Reply {
        let mut request = typed(method.clone(), path);
        if let Some(key) = self.key(kind) {
            request = request.header("authorization", format!("Bearer {}", key.reveal()));
        }
        self.relay.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// What the routes are about: a topic, a source into it, a subscription of `billing`.
    async fn fill(&self) {
        let store = &self.relay.store;
        let topic: Topic = "orders".parse().unwrap();
        store.put_topic(&topic, &TopicSettings::default(), NOW).await.unwrap();
        store.put_source(&source("orders"), NOW).await.unwrap();
        // It is there already, unless the last call deleted it.
        let _ = store.put_subscription(&subscription("thing", "orders"), NOW).await;
    }
}

fn source(topic: &str) -> NewSource {
    NewSource {
        name: "thing".parse().unwrap(),
        topic: topic.parse().unwrap(),
        contract: "c".into(),
        contract_before: None,
        event_source: EventSource::fixed("/thing"),
        config_hash: "h".into(),
    }
}

fn subscription(name: &str, topic: &str) -> NewSubscription {
    let mut settings = crate::settings::SubscriptionSettings::new(
        "https://billing.example/hooks".into(),
        vec!["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()],
    );
    settings.owner = Some("billing".parse().unwrap());
    NewSubscription {
        name: name.parse().unwrap(),
        origin: Origin::Api,
        topics: vec![topic.parse().unwrap()],
        from: StartFrom::Latest,
        settings,
    }
}

/// How a caller is answered; `None`: as somebody who may.
fn refusal(need: Need, kind: Kind) -> Option<(u16, &'static str)> {
    const FORBIDDEN: Option<(u16, &str)> = Some((403, "forbidden"));
    let has = |scope| match kind {
        Kind::One(only) => only == scope,
        Kind::OtherOwner | Kind::OtherTopic => true,
        Kind::ReadsAll => scope == Scope::Read,
        _ => false,
    };
    match kind {
        _ if need == Need::Nothing => None,
        Kind::Nobody => Some((401, "key_missing")),
        Kind::Unknown => Some((401, "key_unknown")),
        Kind::Expired => Some((401, "key_expired")),
        Kind::Admin => None,
        _ => match need {
            Need::Nothing | Need::Key => None,
            Need::Some(scope) => {
                if has(scope) {
                    None
                } else {
                    FORBIDDEN
                }
            }
            Need::Topic(scope) if has(scope) && kind != Kind::OtherTopic => None,
            Need::Source if has(Scope::Read) && kind != Kind::OtherTopic => None,
            Need::Subscription if kind == Kind::One(Scope::Subscribe) => None,
            Need::Subscription if has(Scope::Subscribe) => Some((404, "not_found")),
            Need::Everything if kind == Kind::ReadsAll => None,
            _ => FORBIDDEN,
        },
    }
}

#[tokio::test]
async fn every_route_lets_in_whose_key_is_good_for_it_and_nobody_else() {
    let guarded = Guarded::new().await;
    let mut count = 0;
    for (method, route, _, need) in &NEEDS {
        let path = route
            .replace("{topic}", "orders")
            .replace("{name}", "thing")
            .replace("{version}", "1")
            .replace("{id}", "1");
        for kind in KINDS.into_iter().chain([Kind::Admin]) {
            guarded.fill().await;
            let reply = guarded.call(kind, method, &path, json!({})).await;
            let told = || format!("{method} {route}, {kind:?}: {}", reply.text());
            count += 1;
            let code = serde_json::from_slice::<Value>(&reply.body).unwrap_or_default();
            let code = code["code"].as_str().unwrap_or_default().to_owned();
            if let Some((status, expected)) = refusal(*need, kind) {
                assert_eq!((reply.status.as_u16(), &*code), (status, expected), "{}", told());
                let challenge = reply.header("www-authenticate");
                assert_eq!(challenge.starts_with("Bearer "), status != 404, "{}", told());
            } else {
                assert!(!matches!(reply.status.as_u16(), 401 | 403), "{}", told());
                assert!(!code.starts_with("key_") && code != "internal", "{}", told());
                let is_of_thing = reply.text().contains("subscription `thing`");
                assert!(reply.status.as_u16() != 404 || !is_of_thing, "{}", told());
            }
        }
    }
    assert_eq!(count, NEEDS.len() * (KINDS.len() + 1));
}

#[tokio::test]
async fn every_route_says_what_it_needs() {
    let relay = Relay::new().await;
    let document = relay.get("/openapi.json").await.ok().json();
    let mut documented = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            documented.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let known: BTreeSet<String> =
        NEEDS.iter().map(|(method, path, ..)| format!("{method} {path}")).collect();
    assert_eq!(known, documented);
    assert_eq!(known.len(), NEEDS.len(), "each once");
}

/// The page for people says the same.
#[test]
fn the_table_of_access_is_the_one_that_holds() {
    let page = include_str!("../../../docs/access.md");
    let rows: Vec<String> = page
        .lines()
        .filter(|line| line.starts_with("| `") && line.contains(" /"))
        .map(str::to_owned)
        .collect();
    let words = |need: Need| match need {
        Need::Nothing => "no key".to_owned(),
        Need::Key => "any key; the answer has only what it is good for".to_owned(),
        Need::Some(scope) => format!("`{scope}`; the answer has only what the key is good for"),
        Need::Topic(Scope::Read) => "`read` in the topic; no key for a public topic".to_owned(),
        Need::Topic(scope) => format!("`{scope}` in the topic"),
        Need::Source => "`read` in the source's topic".to_owned(),
        Need::Subscription => "`subscribe`, of its owner, in its topics".to_owned(),
        Need::Everything => "`read` in all topics".to_owned(),
        Need::Admin => "`admin`".to_owned(),
    };
    let expected: Vec<String> = NEEDS
        .iter()
        .map(|(method, path, _, need)| format!("| `{method} {path}` | {} |", words(*need)))
        .collect();
    assert_eq!(rows, expected, "docs/access.md:\n{}", expected.join("\n"));
}

#[tokio::test]
async fn lists_have_only_what_the_key_is_good_for() {
    let guarded = Guarded::new().await;
    guarded.fill().await;
    let store = &guarded.relay.store;
    let payments: Topic = "payments".parse().unwrap();
    store.put_topic(&payments, &TopicSettings::default(), NOW).await.unwrap();
    store.put_topic(&Name::notices(), &TopicSettings::default(), NOW).await.unwrap();
    store.put_subscription(&subscription("paid", "payments"), NOW).await.unwrap();
    for (kind, path, list, field, expected) in [
        (Kind::One(Scope::Read), "/v1/topics", "topics", "topic", &["orders"][..]),
        (Kind::OtherTopic, "/v1/topics", "topics", "topic", &["payments"]),
        (Kind::ReadsAll, "/v1/topics", "topics", "topic", &["orders", "payments"]),
        (Kind::Admin, "/v1/topics", "topics", "topic", &["milkrun.notices", "orders", "payments"]),
        (Kind::One(Scope::Read), "/v1/sources", "sources", "name", &["thing"]),
        (Kind::OtherTopic, "/v1/sources", "sources", "name", &[]),
        (Kind::One(Scope::Subscribe), "/v1/subscriptions", "subscriptions", "name", &["thing"]),
        (Kind::OtherTopic, "/v1/subscriptions", "subscriptions", "name", &["paid"]),
        (Kind::OtherOwner, "/v1/subscriptions", "subscriptions", "name", &[]),
        (Kind::Admin, "/v1/subscriptions", "subscriptions", "name", &["paid", "thing"]),
    ] {
        let answer = guarded.call(kind, &Method::GET, path, json!({})).await.ok().json();
        let names: Vec<&str> = answer[list]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one[field].as_str().unwrap())
            .collect();
        assert_eq!(names, expected, "{kind:?} {path}");
    }
}

#[tokio::test]
async fn a_public_topic_is_read_without_a_key_and_written_with_one() {
    let guarded = Guarded::new().await;
    guarded.fill().await;
    let topic: Topic = "orders".parse().unwrap();
    let settings = TopicSettings { public: true, ..TopicSettings::default() };
    guarded.relay.store.put_topic(&topic, &settings, NOW).await.unwrap();
    let batch = "application/cloudevents-batch+json";
    let publish = request(Method::POST, "/v1/topics/orders/events")
        .header("content-type", batch)
        .header("authorization", format!("Bearer {}", guarded.key(Kind::Admin).unwrap().reveal()));
    let body = json!([event(1)]).to_string();
    guarded.relay.send(publish.body(Body::from(body)).unwrap()).await.ok();
    let get = async |path: &str| guarded.call(Kind::Nobody, &Method::GET, path, json!({})).await;
    let page = get("/v1/topics/orders/events?limit=1").await.ok();
    assert_eq!(versions(&page.json()), [1]);
    assert!(page.header("cache-control").starts_with("public"), "{:?}", page.headers);
    get("/v1/topics/orders").await.ok();
    get("/v1/topics/orders/events/1").await.ok();
    let trace = get("/v1/topics/orders/events/1/trace").await.ok().json();
    assert_eq!(trace["subscriptions"], json!([]), "whose it is is nobody else's concern");
    let own =
        guarded.call(Kind::Admin, &Method::GET, "/v1/topics/orders/events/1/trace", json!({}));
    assert_eq!(own.await.ok().json()["subscriptions"][0]["subscription"], "thing");
    get("/v1/topics").await.problem(401, "key_missing");
    get("/v1/topics/orders/pending").await.problem(401, "key_missing");
    let post = guarded.call(Kind::Nobody, &Method::POST, "/v1/topics/orders/events", json!({}));
    post.await.problem(401, "key_missing");
}

#[tokio::test]
async fn a_subscription_is_its_makers_and_in_no_topic_but_the_keys() {
    let guarded = Guarded::new().await;
    guarded.fill().await;
    let new = |name: &str, topic: &str| json!({"name": name, "topic": topic, "webhook": {"url": "https://a.example/"}});
    let path = "/v1/subscriptions";
    let by = Kind::One(Scope::Subscribe);
    let made = guarded.call(by, &Method::POST, path, new("mine", "orders")).await.ok().json();
    assert_eq!(made["owner"], "billing");
    let beyond = guarded.call(by, &Method::POST, path, new("all", "*")).await;
    assert_eq!(beyond.problem(403, "forbidden")["scope"], "subscribe");
    let mut stolen = new("other", "orders");
    stolen["owner"] = json!("shipping");
    let refused = guarded.call(by, &Method::POST, path, stolen.clone()).await;
    assert_eq!(refused.problem(422, "invalid")["field"], "owner");
    let given = json!({"owner": "shipping"});
    let refused = guarded.call(by, &Method::PATCH, "/v1/subscriptions/mine", given.clone()).await;
    assert_eq!(refused.problem(422, "invalid")["field"], "owner");
    guarded.call(Kind::Admin, &Method::POST, path, stolen).await.ok();
    guarded.call(Kind::Admin, &Method::PATCH, "/v1/subscriptions/mine", given).await.ok();
    let gone = guarded.call(by, &Method::GET, "/v1/subscriptions/mine", json!({})).await;
    gone.problem(404, "not_found");
    guarded.call(Kind::OtherOwner, &Method::GET, "/v1/subscriptions/mine", json!({})).await.ok();
}
