//! Secrets that are planted in a relay whose every call fails: none is in its log at the finest level, its
//! metrics, answers, outputs or trace, and in the store only those that docs/storage.md names.

mod planted;

use std::{collections::BTreeSet, fmt::Write as _, fs, time::Duration};

use serde_json::{Value, json};

use self::planted::{PROXY, STORE, give, planted, shapes, yaml};
use crate::support::{
    Place, Relay, Server,
    api::cloud_event,
    eventually,
    postgres::{Database, Release},
    relay::free_port,
    server::answer,
};

/// What docs/storage.md says the store has in clear: what signs and opens the requests of
/// subscriptions, however it was given. All else, and all keys of the API, is nowhere.
const IN_THE_STORE: [&str; 8] = [
    "API_BEARER",
    "API_HEADER",
    "API_SIGNING",
    "HOOK_BEARER",
    "HOOK_CLIENT",
    "HOOK_HEADER",
    "HOOK_PASSWORD",
    "HOOK_SIGNING",
];

/// Answers with all that it was sent, in the ways of a bad server.
async fn echo() -> Server {
    Server::start(|asked| async move {
        let path = asked.parts.uri.path().to_owned();
        let told = format!("{} {:?} {:?}", asked.parts.uri, asked.parts.headers, asked.body);
        let query = asked.parts.uri.query().unwrap_or_default();
        let key = asked.header("x-key").unwrap_or_default();
        let bearer = asked.header("authorization").unwrap_or_default();
        match path.as_str() {
            "/slow" => {
                tokio::time::sleep(Duration::from_secs(5)).await;
                answer(200, &[], "late")
            }
            "/moved" => answer(302, &[("location", &format!("/x?{query}&k={key}"))], told),
            "/words" => answer(200, &[("content-type", "application/json")], told),
            "/lacking" => answer(
                200,
                &[("content-type", "application/json")],
                json!({ "error": told }).to_string(),
            ),
            "/wait" => answer(429, &[("retry-after", key), ("x-echo", bearer)], told),
            "/token" => answer(400, &[], json!({ "error": told }).to_string()),
            _ => answer(500, &[("x-echo", key), ("www-authenticate", bearer)], told),
        }
    })
    .await
}

fn ends(echo: &Server) -> Vec<(String, String)> {
    let mut ends: Vec<(String, String)> = ["slow", "moved", "words", "lacking", "wait", "failed"]
        .map(|end| (end.to_owned(), echo.url(&format!("/{end}"))))
        .into();
    ends.push(("refused".to_owned(), format!("http://127.0.0.1:{}/", free_port())));
    ends.push(("insecure".to_owned(), echo.url("/").replace("http:", "https:")));
    ends.push(("nameless".to_owned(), "http://nowhere.invalid/".to_owned()));
    ends
}

/// All that the relay says when it is asked, by every route and command that reads.
async fn said(place: &mut Place, relay: &Relay, key: &str) -> String {
    let api = relay.api();
    let mut said = String::new();
    let document = api.get("/openapi.json").await.ok();
    for (route, item) in document["paths"].as_object().unwrap() {
        if item["get"].is_null() {
            continue;
        }
        for name in
            ["failed-0", "failed-1", "failed-2", "slow-0", "nameless-1", "insecure-2", "made"]
        {
            for topic in ["orders", "milkrun.notices"] {
                let path = route.replace("{name}", name).replace("{topic}", topic);
                let path = path.replace("{version}", "1").replace("{id}", "1");
                let reply = api.send(api.request("GET", &path).bearer_auth(key)).await;
                writeln!(said, "{path}: {reply:?}").unwrap();
                // Whoever has no key, or a wrong one, is told nothing of it.
                let wrong = api.request("GET", &path).bearer_auth(planted("WRONG_KEY"));
                writeln!(said, "{path}: {:?}", api.send(wrong).await).unwrap();
                if path == *route {
                    break;
                }
            }
            if !route.contains('{') {
                break;
            }
        }
    }
    for (method, path, body) in [
        ("POST", "/v1/subscriptions/made/test", json!({ "send": true })),
        ("POST", "/v1/subscriptions/failed-0/test", json!({ "send": true })),
        (
            "POST",
            "/v1/subscriptions",
            json!({ "name": "bad", "topic": "orders", "webhook": {
            "url": "nothing", "secret": planted("API_BEARER"), "headers": { "x y": planted("API_HEADER") } } }),
        ),
        (
            "POST",
            "/v1/subscriptions",
            json!({ "name": "bad", "topic": "orders", "webhook": {
            "url": "http://127.0.0.1:9/", "secret": planted("API_BEARER") } }),
        ),
    ] {
        let request =
            api.request(method, path).bearer_auth(key).header("content-type", "application/json");
        writeln!(said, "{path}: {:?}", api.send(request.body(body.to_string())).await).unwrap();
    }
    place.env("MILKRUN_KEY", key);
    for command in [
        &["config", "show"][..],
        &["check"],
        &["sources", "list"],
        &["sources", "show", "failed-0"],
        &["subscriptions", "list"],
        &["subscriptions", "show", "made"],
        &["probe", "failed-0", "--dry-run"],
        &["probe", "failed-1", "--dry-run"],
        &["probe", "moved-2", "--dry-run"],
        &["keys", "list"],
        &["trace", "orders", "1"],
        &["cluster"],
        &["topics", "list"],
        &["reload"],
    ] {
        for more in [&[][..], &["--log", "trace"]] {
            let whole = [command, &["-c", "milkrun.yaml"], more].concat();
            let done = place.run(&whole).await;
            assert_ne!(done.code, Some(2), "{whole:?}: {}", done.stderr);
            writeln!(said, "{whole:?}: {} {}", done.stdout, done.stderr).unwrap();
        }
    }
    said
}

/// Which of the secrets, and of the keys, are in `bytes`.
fn found_in(bytes: &[u8], key: &str) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(bytes);
    let secret_part = key.rsplit('_').next().unwrap();
    let all = shapes().into_iter().chain([("a key of the API", secret_part.to_owned())]);
    all.filter(|(_, shape)| text.contains(shape.as_str()))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// Plants, lets everything fail, and looks everywhere; answers what is in the store's own files.
async fn look_everywhere(place: &mut Place, echo: &Server) -> BTreeSet<String> {
    let mut relay = place.spawn_with(&["--log", "trace"]);
    relay.ready().await;
    let api = relay.api();
    let made = api.post("/v1/keys", &json!({ "owner": "ops", "scopes": ["admin"] })).await.ok();
    let key = made["key"].as_str().unwrap().to_owned();
    let body = json!({ "name": "made", "topic": "orders", "retry": { "schedule": ["200ms"] }, "webhook": {
        "url": echo.url("/failed"), "secret": planted("API_SIGNING"), "headers": { "x-key": planted("API_HEADER") },
        "auth": { "bearer": planted("API_BEARER") } } });
    let request = api.request("POST", "/v1/subscriptions").bearer_auth(&key);
    let reply =
        api.send(request.header("content-type", "application/json").body(body.to_string())).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    api.send(api.event("orders", cloud_event(1)).bearer_auth(&key)).await.ok();
    // Every source has been asked, and every subscription has given up once.
    eventually("failures", || async {
        let sources = api.send(api.request("GET", "/v1/sources").bearer_auth(&key)).await.ok();
        let asked = |source: &Value| source["report"]["failing"].is_object();
        let all = sources["sources"].as_array().unwrap().iter().all(asked);
        let dead = api
            .send(api.request("GET", "/v1/subscriptions/made/dead-letters").bearer_auth(&key))
            .await
            .ok();
        (all && dead["dead_letters"][0].is_object()).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let said = said(place, &relay, &key).await;
    assert_eq!(found_in(said.as_bytes(), &key), BTreeSet::new(), "{}", lines_with(&said, &key));
    let mut stored = BTreeSet::new();
    let look = |stored: &mut BTreeSet<String>| {
        for entry in fs::read_dir(place.config().parent().unwrap()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if !name.starts_with("milkrun.db") && name != "relay.log" {
                continue;
            }
            let found = found_in(&fs::read(&path).unwrap(), &key);
            if ["milkrun.db", "milkrun.db-wal"].contains(&&*name) {
                stored.extend(found);
            } else {
                assert_eq!(
                    found,
                    BTreeSet::new(),
                    "in {name}: {}",
                    lines_with(&String::from_utf8_lossy(&fs::read(&path).unwrap()), &key)
                );
            }
        }
    };
    look(&mut stored);
    assert!(place.printed().contains(" TRACE "), "the log is not at its finest");
    assert!(relay.stop().await.success());
    look(&mut stored);
    stored
}

/// What is around each secret in a text, and the beginning of its line.
fn lines_with(text: &str, key: &str) -> String {
    let mut shown = String::new();
    let lines = text.lines().filter(|line| !found_in(line.as_bytes(), key).is_empty());
    for line in lines.take(12) {
        let first = shapes().into_iter().find_map(|(_, shape)| line.find(&shape));
        let (start, at): (String, usize) = (line.chars().take(80).collect(), first.unwrap_or(0));
        let from = line.floor_char_boundary(at.saturating_sub(160));
        let to = line.floor_char_boundary(at + 80);
        writeln!(shown, "{start} … {}", &line[from..to]).unwrap();
    }
    shown
}

#[tokio::test]
async fn no_secret_is_told_and_the_file_has_only_those_of_subscriptions() {
    let echo = echo().await;
    let mut place = Place::new(&yaml(&ends(&echo), &echo.url("/token")));
    give(&mut place);
    let stored = look_everywhere(&mut place, &echo).await;
    assert_eq!(stored, IN_THE_STORE.map(str::to_owned).into(), "in the store");
}

#[tokio::test]
async fn under_a_master_key_no_secret_is_in_the_file() {
    let echo = echo().await;
    let rest = yaml(&ends(&echo), &echo.url("/token"));
    let mut place =
        Place::new(&format!("secrets: {{ master_key: {{ env: MASTER_KEY }} }}\n{rest}"));
    give(&mut place);
    let stored = look_everywhere(&mut place, &echo).await;
    assert_eq!(stored, BTreeSet::new(), "in the store");
}

#[tokio::test]
async fn no_secret_of_a_database_or_a_proxy_is_told() {
    let (echo, database) = (echo().await, Database::new(Release::Oldest).await);
    let url = database.url.replace("milkrun@", &format!("milkrun:{}@", STORE.1));
    let rest = yaml(&ends(&echo), &echo.url("/token"));
    let rest = format!("outbound: {{ allow: [\"127.0.0.0/8\"], proxy: {{ env: PROXY }} }}\n{rest}");
    let mut place = Place::new("");
    let listen = place.base().replace("http://", "");
    place.write_raw(&format!("store: {{ url: {{ env: STORE }} }}\nlisten: {listen}\n{rest}"));
    give(&mut place);
    place.env("STORE", &url);
    place.env("PROXY", &format!("http://me:{}@{}", PROXY.1, echo.address()));
    let stored = look_everywhere(&mut place, &echo).await;
    assert_eq!(stored, BTreeSet::new(), "there is no file");
    // And where nothing listens.
    let nowhere = format!("postgres://milkrun:{}@127.0.0.1:{}/none", STORE.1, free_port());
    place.env("STORE", &nowhere);
    let done = place.run(&["check", "-c", "milkrun.yaml", "--log", "trace"]).await;
    let told = format!("{}{}", done.stdout, done.stderr);
    assert_eq!(found_in(told.as_bytes(), "_no key"), BTreeSet::new(), "{told}");
}
