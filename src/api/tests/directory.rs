//! The subscriptions that the API keeps in memory are those of the store.

use super::*;
use crate::api::directory::Directory;

/// The names that are listed, each with the host it is pushed to.
async fn listed(relay: &Relay) -> Vec<String> {
    let list = relay.get("/v1/subscriptions").await.ok().json();
    let one = |one: &Value| {
        let text = |at: &str| one.pointer(at).and_then(Value::as_str).unwrap().to_owned();
        format!("{} {}", text("/name"), text("/webhook/url"))
    };
    list["subscriptions"].as_array().unwrap().iter().map(one).collect()
}

async fn subscribe(relay: &Relay, name: &str, url: &str) {
    let body = json!({ "name": name, "topic": "orders", "webhook": { "url": url } });
    relay.post("/v1/subscriptions", body).await.ok();
}

async fn delete(relay: &Relay, name: &str) {
    let path = format!("/v1/subscriptions/{name}");
    relay.send(typed(Method::DELETE, &path).body(Body::empty()).unwrap()).await.ok();
}

#[tokio::test]
async fn every_change_is_in_the_next_list() {
    let relay = Relay::new().await;
    subscribe(&relay, "billing", "https://a.example/").await;
    subscribe(&relay, "audit", "https://b.example/").await;
    assert_eq!(listed(&relay).await, ["audit https://b.example/", "billing https://a.example/"]);
    delete(&relay, "billing").await;
    assert_eq!(listed(&relay).await, ["audit https://b.example/"]);
    // The name is taken by another, between two looks.
    subscribe(&relay, "billing", "https://c.example/").await;
    delete(&relay, "billing").await;
    subscribe(&relay, "billing", "https://d.example/").await;
    assert_eq!(listed(&relay).await, ["audit https://b.example/", "billing https://d.example/"]);
    let change = json!({ "webhook": { "url": "https://e.example/" } });
    relay.with_json(Method::PATCH, "/v1/subscriptions/billing", &change).await.ok();
    assert_eq!(listed(&relay).await, ["audit https://b.example/", "billing https://e.example/"]);
}

#[tokio::test]
async fn a_change_of_another_node_is_in_the_next_list() {
    let (mut relay, mut other) = (Relay::new().await, Relay::new().await);
    other.serve(relay.store.clone(), Limits::default());
    relay.serve(relay.store.clone(), Limits::default());
    assert!(listed(&relay).await.is_empty());
    subscribe(&other, "billing", "https://a.example/").await;
    assert_eq!(listed(&relay).await, ["billing https://a.example/"]);
    delete(&other, "billing").await;
    assert!(listed(&relay).await.is_empty());
}

#[tokio::test]
async fn a_deletion_that_the_store_has_forgotten_is_not_missed() {
    let relay = Relay::new().await;
    let clock = Clock::Manual(relay.clock.clone());
    let directory = Directory::new(relay.store.clone(), clock);
    subscribe(&relay, "billing", "https://a.example/").await;
    assert_eq!(directory.look().await.unwrap().by_name().count(), 1);
    delete(&relay, "billing").await;
    relay.clock.advance(Duration::from_hours(2));
    relay.store.trim(relay.clock.now()).await.unwrap();
    assert_eq!(directory.look().await.unwrap().by_name().count(), 0);
}
