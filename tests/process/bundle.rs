//! What a bug report needs is in one archive, and no secret is.

use std::{fs::File, io::Read as _};

use flate2::read::GzDecoder;

use crate::support::{Place, relay::SECRET};

const PLANTED: [&str; 4] =
    ["hunter2-bearer", "hunter2-header", "hunter2-password", "hunter2-query"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_has_everything_but_secrets() {
    let [bearer, header, password, query] = PLANTED;
    let mut place = Place::new(&format!(
        "topics: {{ numbers: {{}} }}\nsubscriptions:\n  - name: hook\n    topic: numbers\n    webhook:\n      url: \
         http://127.0.0.1:1/\n      secret: {{ env: HOOK_SECRET }}\n      headers: {{ x-own: {header} }}\n      \
         auth: {{ bearer: {{ env: HOOK_BEARER }} }}\nsources:\n  - name: shop\n    topic: numbers\n    http: \
         {{ url: \"http://127.0.0.1:1/list?token={query}\", id: id, auth: {{ basic: {{ user: me, password: {{ env: \
         SHOP_PASSWORD }} }} }} }}\n"
    ));
    for (name, value) in
        [("HOOK_SECRET", SECRET), ("HOOK_BEARER", bearer), ("SHOP_PASSWORD", password)]
    {
        place.env(name, value);
    }
    std::fs::write(place.path("log"), format!("a line with {SECRET}\nthe last line\n")).unwrap();
    let config = place.config();
    let words =
        ["debug", "bundle", "b.tar.gz", "--log-file", "log", "-c", config.to_str().unwrap()];
    let relay = place.start().await;
    let made = place.run(&words).await;
    assert!(made.code == Some(0) && made.stdout.trim() == "b.tar.gz", "{made:?}");
    assert_eq!(place.run(&words).await.code, Some(1), "what is there stays");
    let mut archive =
        tar::Archive::new(GzDecoder::new(File::open(place.path("b.tar.gz")).unwrap()));
    let mut all = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        for secret in PLANTED.iter().chain([&SECRET]) {
            assert!(!text.contains(secret), "{secret} is in {name}: {text}");
        }
        assert!(!text.is_empty(), "{name}");
        all.push(name);
    }
    for name in [
        "version.json",
        "configuration.yaml",
        "doctor.json",
        "ready.json",
        "metrics.txt",
        "cluster.json",
        "topics.json",
        "subscriptions.json",
        "sources.json",
        "notices.json",
        "log.txt",
    ] {
        assert!(all.iter().any(|one| one == name), "{name}: {all:?}");
    }
    assert!(relay.stop().await.success());
}
