//! Commands that cannot do what was asked say so, and end so.

use super::*;

/// What a reload refuses is refused by every other command, in the same words.
#[tokio::test]
async fn a_file_without_content_is_refused_by_every_command() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("m.yaml");
    for text in ["", "# all of it is gone\n", "null\n", "---\n"] {
        std::fs::write(&file, text).unwrap();
        for words in ["run", "check", "config show", "probe x --dry-run", "reload"] {
            let failure = on_file(&file, words).await.unwrap_err();
            assert_eq!(failure.code, 78, "{words}: {failure}");
            let told = "there is nothing in it; `{}` is the file that asks for nothing";
            assert!(failure.message.contains(told), "{words}: {failure}");
        }
    }
    std::fs::write(&file, "{}").unwrap();
    on_file(&file, "config show").await.unwrap();
}

/// A bad file is told although nobody answers where it listens.
#[tokio::test]
async fn a_reload_looks_at_the_file_itself() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("m.yaml");
    for text in ["listen: 127.0.0.1:1\nstroe: x\n", "stroe: x\n"] {
        std::fs::write(&file, text).unwrap();
        let failure = on_file(&file, "reload").await.unwrap_err();
        assert_eq!(failure.code, 78, "{failure}");
        assert!(failure.message.contains("unknown key `stroe`"), "{failure}");
    }
    std::fs::write(&file, "listen: 127.0.0.1:1\n").unwrap();
    let failure = on_file(&file, "reload").await.unwrap_err();
    assert!(failure.message.starts_with("no relay answers at http://127.0.0.1:1/"), "{failure}");
    for told in ["whose `listen` was changed", "--server"] {
        assert!(failure.message.contains(told), "{failure}");
    }
}

/// Who asks for a poll learns whether there was one, and whether it brought anything.
#[tokio::test]
async fn a_poll_that_was_not_made_or_failed_ends_with_1() {
    let report = |at: &str, result: &str| json!({ "at": at, "result": result, "message": "why" });
    let source = |status: &str, report: serde_json::Value| json!({ "name": "shop", "status": status, "report": report });
    let mut stuck = source("active", report("1", "ok"));
    stuck["stuck"] = json!({ "message": "it stands still", "help": ["milkrun so"] });
    let asked = source("active", report("1", "ok"));
    for (answer, then, told) in [
        (source("paused", report("1", "ok")), None, "paused; `milkrun sources resume shop`"),
        (source("removed", report("1", "ok")), None, "removed; it is not in the configuration"),
        (stuck, None, "it stands still; run one of\n  milkrun so"),
        (asked.clone(), Some(source("active", report("2", "status"))), "nothing: status: why"),
        (asked.clone(), Some(source("active", report("2", "waiting"))), "nothing: waiting: why"),
        (asked.clone(), Some(source("paused", report("1", "ok"))), "not asked: source `shop`"),
        (asked.clone(), Some(source("active", report("2", "ok"))), ""),
        (asked, Some(source("active", report("2", "unchanged"))), ""),
    ] {
        let server = MockServer::start().await;
        let answers = |answer| ResponseTemplate::new(200).set_body_json(answer);
        Mock::given(method("POST")).respond_with(answers(answer)).mount(&server).await;
        if let Some(then) = then {
            Mock::given(method("GET")).respond_with(answers(then)).mount(&server).await;
        }
        for words in ["sources poll shop", "probe shop"] {
            let ended = milkrun(&server, words).await;
            match told {
                "" => ended.unwrap(),
                told => {
                    let failure = ended.unwrap_err();
                    assert_eq!(failure.code, 1, "{failure}");
                    assert!(failure.message.contains(told), "{told}: {failure}");
                }
            }
        }
    }
}

#[tokio::test]
async fn usage_errors_name_every_way() {
    for (words, ways) in [
        ("sources cursor shop", ["<CURSOR", "--reset", "--keep"]),
        ("topics new-epoch", ["<TOPIC", "--all", "new-epoch"]),
    ] {
        let words = ["milkrun", "-c", "m.yaml"].into_iter().chain(words.split(' '));
        let told = Cli::try_parse_from(words).unwrap_err().to_string();
        for way in ways {
            assert!(told.contains(way), "{way}: {told}");
        }
        assert!(!told.contains("--config"), "{told}");
    }
}
