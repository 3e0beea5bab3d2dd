//! The console through the built binary: what is shown, to whom, and what is done.

mod access;
mod acts;
mod browser;
mod hostile;
mod large;
mod proxy;
mod rig;

use serde_json::json;

use self::rig::{Rig, page};
use crate::support::{Place, relay::SECRET};

/// Pages of a relay that has one thing of every kind.
pub(crate) const PAGES: [&str; 19] = [
    "",
    "subscriptions",
    "subscriptions?name=bill",
    "subscriptions/billing",
    "subscriptions/refused?failed=true&status=400&since=1h",
    "subscriptions/billing/rewind",
    "subscriptions/billing/replay",
    "dead-letters",
    "dead-letters?of=refused&reason=refused",
    "subscriptions/refused",
    "topics",
    "topics/orders",
    "topics/orders?filter=version%20%3E%201",
    "topics/orders/events/1",
    "sources/shop",
    "try?topic=orders&filter=version%20%3E%201",
    "new-subscription",
    "find?q=nothing",
    "system",
];

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_is_shown_and_may_load_nothing_foreign() {
    let rig = Rig::start("").await;
    for path in PAGES {
        let answer = rig.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        for (name, expected) in [
            ("content-security-policy", POLICY),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(answer.header(name), expected, "{path}");
        }
        assert!(!answer.body.contains(SECRET) && !answer.body.contains("whsec_"), "{path}");
        for foreign in ["src=\"http", "href=\"http", "url(", " style=", " on", "<script>"] {
            // ` on` stands in words too: only as the name of an attribute is it meant.
            let found = answer.body.match_indices(foreign).any(|(at, _)| {
                foreign != " on"
                    || answer.body[at..].split(' ').nth(1).is_some_and(|word| {
                        word.split_once('=').is_some_and(|(name, _)| name.len() > 2)
                    })
            });
            assert!(!found, "{path}: {foreign}");
        }
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_first() {
    let rig = Rig::start("").await;
    let overview = rig.get("").await.body;
    let attention = page::between(&overview, "id=\"attention\"", "</section>");
    assert!(attention.contains("`refused` gave 3 events up"), "{attention}");
    let source = rig.get("sources/shop").await.body;
    assert!(source.contains("answered 503"), "{source}");
    let refused = rig.get("subscriptions/refused").await.body;
    assert!(refused.contains("3 events were given up"), "{refused}");
    let event = rig.get("topics/orders/events/2").await.body;
    let standing = page::between(&event, "id=\"standing\"", "</section>");
    assert!(standing.contains("delivered") && standing.contains("refused: 400"), "{standing}");
    let found = rig.get("find?q=orders%402").await;
    assert_eq!((found.status, found.header("location")), (303, "/console/topics/orders/events/2"));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_alone_leads_a_browser_to_the_console_and_a_program_to_the_api() {
    for (yaml, leads) in [("", "/console/"), ("console: { enabled: false }\n", "/docs/")] {
        let place = Place::new(yaml);
        let relay = place.start().await;
        let base = place.base();
        for (accept, expected) in [("text/html,*/*", leads), ("*/*", "/docs/")] {
            let answer = page::get(&base, "/", &[("accept", accept)]).await;
            assert_eq!((answer.status, answer.header("location")), (303, expected), "{yaml}");
        }
        let there = page::get(&base, "/console/", &[]).await.status;
        assert_eq!(there, if yaml.is_empty() { 200 } else { 404 });
        assert!(relay.stop().await.success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_prefix_every_link_has_it() {
    let rig = Rig::start("public_url: http://127.0.0.1/relay/\n").await;
    for path in PAGES {
        for prefix in ["", "/relay"] {
            let answer = page::get(&rig.base(), &format!("{prefix}/console/{path}"), &[]).await;
            assert_eq!(answer.status, 200, "{path}");
            for link in page::links(&answer.body) {
                let is_own = link.starts_with("/relay/") || link.starts_with('#');
                assert!(is_own, "{path}: {link}");
            }
        }
    }
    let root = page::get(&rig.base(), "/relay/", &[("accept", "text/html")]).await;
    assert_eq!(root.header("location"), "/relay/console/");
    let paused = rig.post("subscriptions/billing/pause", &[("go", "1")]).await;
    assert_eq!(paused.header("location"), "/relay/console/subscriptions/billing?done=pause");
    let api = rig.api().get("/v1/subscriptions/billing").await.ok();
    assert_eq!(api["status"], json!("paused"));
    rig.stop().await;
}

#[test]
fn templates_let_nothing_through() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console/templates");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        count += 1;
        let reviewed = path.ends_with("json.html");
        assert!(
            reviewed || !text.contains("|safe"),
            "{} passes something as it is",
            path.display()
        );
        for tag in text.split('<').filter_map(|rest| rest.split('>').next()) {
            let words = tag.split_whitespace().skip(1);
            let mut names = words.filter_map(|word| Some(word.split_once('=')?.0));
            let is_wrong =
                names.any(|name| name == "style" || (name.starts_with("on") && name.len() > 3));
            assert!(!is_wrong, "{}: <{tag}>", path.display());
        }
    }
    assert!(count >= 15, "{count}");
}
