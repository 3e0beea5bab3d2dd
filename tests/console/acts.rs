//! What an operator does: said first, then done, and done once.

use serde_json::{Value, json};

use super::rig::{Rig, page};

/// What an action could change.
async fn state(rig: &Rig) -> Value {
    let (billing, refused) = (view(rig, "billing").await, view(rig, "refused").await);
    let jobs = rig.api().get("/v1/subscriptions/billing/replays").await.ok();
    let source = rig.api().get("/v1/sources/shop").await.ok();
    json!([
        billing["status"],
        billing["positions"],
        refused["dead_letters"],
        jobs,
        source["cursor"]
    ])
}

async fn view(rig: &Rig, name: &str) -> Value {
    rig.api().get(&format!("/v1/subscriptions/{name}")).await.ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_says_what_it_would_do_before_it_does_it() {
    let rig = Rig::start("").await;
    let replay = [("from", "2"), ("to", "3")];
    for (path, fields, says) in [
        ("subscriptions/billing/pause", &[][..], "nothing is pushed"),
        ("subscriptions/billing/replay", &replay, "Deliver 2 events of orders to billing again"),
        ("subscriptions/billing/rewind", &[("from", "earliest")], "3"),
        ("subscriptions/refused/redrive", &[], "Redrive 3 dead letters of refused"),
        ("subscriptions/refused/redrive", &[("status", "503")], "Redrive 0 dead letters"),
        ("sources/shop/cursor", &[("cursor", "null")], "begins at null"),
    ] {
        let before = state(&rig).await;
        let said = rig.post(path, fields).await;
        let form = page::between(&said.body, "<form class=\"card\"", "</form>");
        assert!(said.status == 200 && form.contains(says), "{path}: {form}");
        let after = state(&rig).await;
        assert_eq!(before, after, "{path}");
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_is_done_and_told() {
    let rig = Rig::start("").await;
    let done = async |path: &str, fields: &[(&str, &str)]| {
        let fields = [&[("go", "1")], fields].concat();
        let answer = rig.post(path, &fields).await;
        assert_eq!(answer.status, 303, "{path}: {answer:?}");
        let back = answer.header("location").to_owned();
        let shown = page::get(&rig.base(), &back, &[]).await;
        page::between(&shown.body, "role=\"status\">", "</p>").to_owned()
    };
    assert_eq!(done("subscriptions/billing/pause", &[]).await, "It is paused.");
    assert_eq!(view(&rig, "billing").await["status"], "paused");
    assert_eq!(done("subscriptions/billing/resume", &[]).await, "It is resumed.");
    assert_eq!(view(&rig, "billing").await["status"], "active");
    let told = done("subscriptions/billing/replay", &[("from", "2"), ("rate", "1/h")]).await;
    assert_eq!(told, "The replay has begun.");
    let jobs = rig.api().get("/v1/subscriptions/billing/replays").await.ok();
    assert_eq!((&jobs["replays"][0]["from"], &jobs["replays"][0]["to"]), (&json!(2), &json!(3)));
    let id = jobs["replays"][0]["id"].to_string();
    let told = done("subscriptions/billing/cancel", &[("id", &id)]).await;
    assert_eq!(told, "The replay is cancelled.");
    let told = done("subscriptions/refused/redrive", &[("status", "400")]).await;
    assert_eq!(told, "3 dead letters are tried again.");
    assert_eq!(done("subscriptions/billing/rewind", &[("from", "earliest")]).await, "It is moved.");
    done("sources/shop/pause", &[]).await;
    let source = rig.api().get("/v1/sources/shop").await.ok();
    assert_eq!(source["status"], "paused");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_says_which_field_and_why() {
    let rig = Rig::start("").await;
    for (path, fields, says) in [
        ("subscriptions/billing/replay", &[("from", "yesterday")][..], "`from`"),
        ("subscriptions/billing/replay", &[("from", "1"), ("rate", "fast")], "rate"),
        ("subscriptions/refused/redrive", &[("status", "abc")], "`status`"),
        ("subscriptions/refused/redrive", &[("since", "soon")], "`since`"),
        ("subscriptions/billing/rewind", &[("from", "soon")], "`from`"),
        ("sources/shop/cursor", &[("cursor", "{")], "`cursor`"),
    ] {
        let fields = [&[("go", "1")], fields].concat();
        let answer = rig.post(path, &fields).await;
        let alert = page::between(&answer.body, "role=\"alert\">", "</p>");
        assert!(
            matches!(answer.status, 400 | 422) && alert.contains(says),
            "{path}: {} {alert}",
            answer.status
        );
    }
    for (path, status) in [
        ("subscriptions/nobody", 404),
        ("subscriptions/billing/explode", 404),
        ("topics/nothing", 404),
        ("topics/orders/events/99", 404),
        ("topics/orders/events/x", 400),
        ("sources/nothing", 404),
    ] {
        let answer = rig.get(path).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert!(answer.body.contains("role=\"alert\""), "{path}: {answer:?}");
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_is_made_after_its_filter_was_tried_and_its_secret_is_shown_once() {
    let rig = Rig::start("").await;
    let fields = [
        ("name", "fresh"),
        ("topic", "orders"),
        ("url", "https://fresh.example/hooks"),
        ("filter", "version > 1"),
        ("from", "earliest"),
    ];
    let said = rig.post("new-subscription", &fields).await;
    let says = "of the newest 3 events of orders it wants 2, passes over 1 and fails on 0";
    assert!(said.status == 200 && said.body.contains(says), "{said:?}");
    rig.api().get("/v1/subscriptions/fresh").await.problem(404, "not_found");
    let made = rig.post("new-subscription", &[&[("go", "1")][..], &fields].concat()).await;
    assert!(made.status == 200 && made.body.contains("whsec_"), "{made:?}");
    assert!(!made.body.contains("name=\"go\""), "it is not made twice: {made:?}");
    let view = view(&rig, "fresh").await;
    assert_eq!((&view["filter"], &view["origin"]), (&json!("version > 1"), &json!("api")));
    let again = rig.post("new-subscription", &[&[("go", "1")][..], &fields].concat()).await;
    assert!(again.status == 409 && again.body.contains("role=\"alert\""), "{again:?}");
    let rotated = rig.post("subscriptions/fresh/rotate", &[("go", "1"), ("overlap", "0s")]).await;
    assert!(rotated.status == 200 && rotated.body.contains("whsec_"), "{rotated:?}");
    let wrong =
        rig.post("new-subscription", &[("name", "x"), ("topic", "none"), ("url", "u")]).await;
    assert_eq!(wrong.status, 404, "{wrong:?}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_is_tried_on_a_page() {
    let rig = Rig::start("").await;
    let shown = rig.get("try?topic=orders&filter=version%20%3E%202").await;
    assert!(shown.body.contains("1 wanted, 2 passed over, 0 failed"), "{shown:?}");
    let shown = rig.get("try?topic=orders&filter=version%20%3E").await;
    assert!(shown.status == 200 && shown.body.contains("role=\"alert\""), "{shown:?}");
    rig.stop().await;
    let rig = Rig::start("console: { read_only: true }\n").await;
    let shown = rig.get("try?topic=orders&filter=true").await;
    assert!(shown.body.contains("3 wanted"), "a trial changes nothing: {shown:?}");
    rig.stop().await;
}
