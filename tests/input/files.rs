//! Configuration files that cannot be meant so.

use crate::support::{Place, relay::SECRET};

/// Runs `check` and `run` on a file; both must refuse it with everything in `says`.
async fn refused(yaml: &str, says: &[&str]) {
    let place = Place::new("");
    place.write_raw(yaml);
    let config = place.config();
    for command in ["check", "run"] {
        let end = place.run(&[command, "-c", config.to_str().unwrap()]).await;
        assert_eq!(end.code, Some(78), "{command}: {end:?}");
        for text in says {
            assert!(end.stderr.contains(text), "{command} does not say {text:?}:\n{}", end.stderr);
        }
    }
    assert!(!place.store().exists(), "a store was made for a file that was refused");
}

#[tokio::test]
async fn a_misspelt_key_is_shown_with_its_place_and_the_nearest_name() {
    let yaml = "store: sqlite:milkrun.db\nlisten: 127.0.0.1:0\ntopics: { a: {} }\n\
                subscriptions:\n  - name: b\n    topic: a\n    \
                webhok: { url: \"https://example.com\" }\n";
    refused(yaml, &["webhok", "webhook", "7:5"]).await;
}

#[tokio::test]
async fn a_secret_written_into_the_file_is_refused_and_not_repeated() {
    let place = Place::new("");
    place.write_raw(
        "store: sqlite:milkrun.db\nlisten: 127.0.0.1:0\ntopics: { a: {} }\nsubscriptions:\n  - name: b\n    \
         topic: a\n    webhook: { url: \"https://example.com\", secret: whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0 }\n",
    );
    let end = place.run(&["config", "show", "-c", place.config().to_str().unwrap()]).await;
    assert_eq!(end.code, Some(78), "{end:?}");
    assert!(end.stderr.contains("env"), "does not say how: {}", end.stderr);
}

#[tokio::test]
async fn secrets_are_hidden_when_the_configuration_is_shown() {
    let place = Place::new(
        "topics: { a: {} }\nsubscriptions:\n  - name: b\n    topic: a\n    \
         webhook: { url: \"https://example.com\", secret: { env: HOOK_SECRET } }\n",
    );
    let end = place.run(&["config", "show", "-c", place.config().to_str().unwrap()]).await;
    assert_eq!(end.code, Some(0), "{end:?}");
    assert!(end.stdout.contains("example.com"), "{end:?}");
    let secret = SECRET.trim_start_matches("whsec_");
    assert!(!end.stdout.contains(secret) && !end.stderr.contains(secret), "{end:?}");
}

#[tokio::test]
async fn a_value_of_the_wrong_kind_names_its_field() {
    let source = |interval: &str| {
        format!(
            "store: sqlite:milkrun.db\nlisten: 127.0.0.1:0\nsources:\n  - name: a\n    topic: a\n    \
             interval: {interval}\n    http: {{ url: \"https://example.com\", items: \"\", id: id }}\n"
        )
    };
    refused(&source("soon"), &["interval", "soon"]).await;
    refused("store: sqlite:milkrun.db\nlisten: everywhere\n", &["listen", "everywhere"]).await;
}

#[tokio::test]
async fn the_first_configuration_of_the_readme_is_good() {
    let readme = include_str!("../../README.md");
    let yaml = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    let mut place = Place::new("");
    place.write_raw(yaml.unwrap());
    place.env("BILLING_SECRET", SECRET);
    let end = place.run(&["check", "-c", place.config().to_str().unwrap()]).await;
    assert_eq!(end.code, Some(0), "{end:?}");
}
