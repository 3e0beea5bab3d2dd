//! Who sees what, and who may do it.

use super::rig::{Rig, page};
use crate::support::eventually;

const ACTIONS: [&str; 12] = [
    "subscriptions/billing/pause",
    "subscriptions/billing/resume",
    "subscriptions/billing/rewind",
    "subscriptions/billing/replay",
    "subscriptions/billing/test",
    "subscriptions/refused/redrive",
    "subscriptions/billing/rotate",
    "new-subscription",
    "sources/shop/poll",
    "sources/shop/pause",
    "sources/shop/resume",
    "sources/shop/cursor",
];
/// All that the actions ask for.
const FIELDS: [(&str, &str); 7] = [
    ("go", "1"),
    ("from", "earliest"),
    ("status", "400"),
    ("cursor", "null"),
    ("name", "fresh"),
    ("topic", "orders"),
    ("url", "https://fresh.example/hooks"),
];

async fn login(rig: &Rig, key: &str) -> page::Page {
    rig.post("login", &[("key", key), ("next", "/console/topics")]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_shown_once_and_a_session_ends_with_it() {
    let rig = Rig::start("").await;
    let admin = rig.key("admin", None).await;
    let first = rig.get("topics/orders?before=3").await;
    let leads = "/console/login?next=%2Fconsole%2Ftopics%2Forders%3Fbefore%3D3";
    assert_eq!((first.status, first.header("location")), (303, leads));
    let wrong = login(&rig, "mk_wrong").await;
    assert!(wrong.status == 401 && wrong.body.contains("role=\"alert\""), "{wrong:?}");
    for next in ["https://evil.example/", "//evil.example", "/v1/topics", "/console/\\evil"] {
        let led = rig.post("login", &[("key", &*admin), ("next", next)]).await;
        assert_eq!(led.header("location"), "/console/", "{next}");
    }
    let good = login(&rig, &admin).await;
    assert_eq!((good.status, good.header("location")), (303, "/console/topics"));
    let set = good.header("set-cookie");
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax"), "{set}");
    assert!(!set.contains(&admin), "the cookie is not the key: {set}");
    let cookie = good.cookie();
    let with = [("cookie", &*cookie)];
    let system = page::get(&rig.base(), "/console/system", &with).await;
    assert!(system.status == 200 && !system.body.contains(&admin), "{system:?}");

    // The cookie is good for the console alone, and a key is none of a cookie's.
    assert_eq!(page::get(&rig.base(), "/v1/topics", &with).await.status, 401);
    let secure = [("cookie", &*cookie), ("x-forwarded-proto", "https")];
    assert_eq!(page::get(&rig.base(), "/console/system", &secure).await.status, 303);

    let left = page::post(&rig.base(), "/console/logout", &[], &with).await;
    assert!(left.header("set-cookie").contains("Max-Age=0"), "{left:?}");
    assert_eq!(page::get(&rig.base(), "/console/system", &with).await.status, 303);

    let reader = rig.key("read", Some(&admin)).await;
    let cookie = login(&rig, &reader).await.cookie();
    let with = [("cookie", &*cookie)];
    assert_eq!(page::get(&rig.base(), "/console/topics", &with).await.status, 200);
    let keys = rig.api().request("GET", "/v1/keys").bearer_auth(&admin);
    let keys = rig.api().send(keys).await.ok();
    let id = keys["keys"].as_array().unwrap().iter().find(|key| key["scopes"][0] == "read");
    let id = id.unwrap()["id"].as_str().unwrap();
    let revoke = rig.api().request("DELETE", &format!("/v1/keys/{id}")).bearer_auth(&admin);
    let revoke = revoke.header("content-type", "application/json");
    rig.api().send(revoke).await.ok();
    assert_eq!(page::get(&rig.base(), "/console/topics", &with).await.status, 303);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_sees_no_button_and_changes_nothing() {
    let rig = Rig::start("").await;
    let admin = rig.key("admin", None).await;
    let reader = rig.key("read", Some(&admin)).await;
    let cookie = login(&rig, &reader).await.cookie();
    let with = [("cookie", &*cookie)];
    for path in
        ["subscriptions/refused", "sources/shop", "dead-letters?of=refused", "topics/orders"]
    {
        let answer = page::get(&rig.base(), &format!("/console/{path}"), &with).await;
        // A reader may not see subscriptions of others at all.
        assert!(matches!(answer.status, 200 | 403 | 404), "{path}: {answer:?}");
        assert!(!answer.body.contains("class=\"button\""), "{path}");
        let forms = answer.body.matches("method=\"post\"").count();
        assert!(forms <= 1, "{path}: only logging out");
    }
    for path in ACTIONS {
        let answer = page::post(&rig.base(), &format!("/console/{path}"), &FIELDS, &with).await;
        assert_eq!(answer.status, 403, "{path}: {answer:?}");
    }
    let source = rig.api().request("GET", "/v1/sources/shop").bearer_auth(&admin);
    assert_eq!(rig.api().send(source).await.ok()["status"], "active");
    assert!(!rig.place.printed().contains("path=\"/v1/subscriptions/billing/pause\""));

    // What an admin does is told with the key's id, as of the API.
    let cookie = login(&rig, &admin).await.cookie();
    let with = [("cookie", &*cookie)];
    let path = "/console/subscriptions/billing/pause";
    let done = page::post(&rig.base(), path, &[("go", "1")], &with).await;
    assert_eq!(done.status, 303, "{done:?}");
    let told = eventually("what was done is told", || async {
        let printed = rig.place.printed();
        let told = printed.lines().find(|line| line.contains("/v1/subscriptions/billing/pause"));
        told.map(str::to_owned)
    })
    .await;
    assert!(
        told.contains("operator.action") && told.contains("key=") && !told.contains(&admin),
        "{told}"
    );
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_console_that_only_shows_changes_nothing_for_an_admin_either() {
    let rig = Rig::start("console: { read_only: true }\n").await;
    let shown = rig.get("subscriptions/refused").await;
    assert!(shown.body.contains("read only") && !shown.body.contains("class=\"button\""));
    for path in ACTIONS {
        let answer = rig.post(path, &FIELDS).await;
        assert!(
            answer.status == 403 && answer.body.contains("console.read_only"),
            "{path}: {answer:?}"
        );
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_of_another_origin_changes_nothing() {
    let rig = Rig::start("").await;
    let mine = rig.base();
    for headers in [
        &[("origin", "http://evil.example")][..],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", "http://127.0.0.1:1")],
        &[("host", "evil.example")],
    ] {
        for path in ACTIONS {
            let path = format!("/console/{path}");
            let answer = page::post(&mine, &path, &FIELDS, headers).await;
            assert!(matches!(answer.status, 400 | 403 | 421), "{path} {headers:?}: {answer:?}");
        }
    }
    let own = [("origin", &*mine), ("sec-fetch-site", "same-origin")];
    let path = "/console/subscriptions/billing/pause";
    assert_eq!(page::post(&mine, path, &[("go", "1")], &own).await.status, 303);
    rig.stop().await;
}
