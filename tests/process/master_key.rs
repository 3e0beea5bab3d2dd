//! `secrets.master_key` through the built binary: what is in clear is sealed at a start, a key that is
//! not there is told, and another takes its place.

use std::fs;

use serde_json::json;

use crate::support::Place;

const SECRET: &str = "whsec_bWFzdGVyIGtleSB0ZXN0IG9mIHRoZSBwcm9jZXNz";

#[tokio::test]
async fn a_master_key_seals_what_is_there_and_another_takes_its_place() {
    let place = Place::new("topics: { orders: {} }");
    let mut relay = place.spawn();
    relay.ready().await;
    let body = json!({ "name": "audit", "topic": "orders", "webhook": {
        "url": "http://127.0.0.1:9/", "secret": SECRET } });
    relay.api().post("/v1/subscriptions", &body).await.ok();
    assert!(relay.stop().await.success());
    let is_clear = || {
        let bytes = fs::read(place.path("milkrun.db")).unwrap();
        bytes.windows(SECRET.len()).any(|bytes| bytes == SECRET.as_bytes())
    };
    assert!(is_clear());

    let mut ids = Vec::new();
    for key in ["one.key", "two.key"] {
        let made = place.run(&["secrets", "new-key"]).await;
        fs::write(place.path(key), &made.stdout).unwrap();
        ids.push(made.stderr.split_whitespace().nth(4).unwrap().trim_end_matches('.').to_owned());
    }
    let sealed = |keys: &str| place.write(&format!("topics: {{ orders: {{}} }}\nsecrets: {keys}"));
    sealed("{ master_key: { file: one.key } }");
    let mut relay = place.spawn();
    relay.ready().await;
    assert_eq!(relay.api().get("/v1/subscriptions/audit").await.ok()["status"], "active");
    assert!(place.printed().contains("secrets.sealed"), "{}", place.printed());
    assert!(relay.stop().await.success());
    assert!(!is_clear());

    // Its key is not there: nothing starts, and it is said which is missing.
    for keys in ["{}", "{ master_key: { file: two.key } }"] {
        sealed(keys);
        for command in ["run", "check"] {
            let done = place.run(&[command, "-c", "milkrun.yaml"]).await;
            assert_ne!(done.code, Some(0), "{command}");
            let told = format!("{}{}", done.stdout, done.stderr);
            assert!(told.contains(&ids[0]) && told.contains("secrets.master_key"), "{told}");
        }
    }

    sealed("{ master_key: { file: two.key }, other_keys: [{ file: one.key }] }");
    let done = place.run(&["secrets", "rekey", "-c", "milkrun.yaml"]).await;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(
        done.stderr.contains(&format!("1 sealed under master key {}", ids[1])),
        "{}",
        done.stderr
    );
    sealed("{ master_key: { file: two.key } }");
    let done = place.run(&["secrets", "rekey", "-c", "milkrun.yaml", "-o", "json"]).await;
    assert!(done.stdout.contains(r#""unchanged": 1"#), "{}", done.stdout);

    // A bad key is told by its place, and never shown.
    fs::write(place.path("bad.key"), "aGFsZiBhIGtleQ==").unwrap();
    sealed("{ master_key: { file: bad.key } }");
    let done = place.run(&["check", "-c", "milkrun.yaml"]).await;
    assert!(
        done.stderr.contains("`secrets.master_key`: expected 32 random bytes"),
        "{}",
        done.stderr
    );
    assert!(!done.stderr.contains("aGFsZiBh"), "{}", done.stderr);
}
