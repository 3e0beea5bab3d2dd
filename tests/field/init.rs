//! `milkrun init` against answers as producers give them: what it proposes is accepted, and takes every
//! event.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use serde_json::Value;

use crate::support::{
    Place, Raw,
    raw::{self, recorded},
};

/// Folders and names of answers: `NAME.1.http`, `NAME.http`, `NAME.json` and so on.
const ANSWERS: &[(&str, &str)] = &[
    ("field/answers", "encoding-utf8"),
    ("field/answers", "html-type"),
    ("field/answers", "jira-issues"),
    ("field/answers", "link-single"),
    ("field/answers", "many-headers"),
    ("field/answers", "odata-plus"),
    ("field/answers", "okta-logs"),
    ("field/answers", "paperless"),
    ("field/answers", "retry-fraction"),
    ("field/answers", "single-object"),
    ("field/answers", "slack-audit"),
    ("field/answers", "stats-202"),
    ("field/answers", "stripe-events"),
    ("field/answers", "vanilla-hash"),
    ("field/answers", "graph-delta"),
    ("field/answers", "kurrent-numbers"),
    ("field/answers", "epoch-scientific"),
    ("recipes/github-events", "first"),
    ("recipes/jsonapi", "first"),
    ("recipes/kinto", "first"),
    ("recipes/mediawiki-recentchanges", "first"),
    ("recipes/usgs-earthquakes", "first"),
];

/// The `count`th answer of a name, or the last there is.
fn answer(folder: &str, name: &str, count: usize) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let read = |file: String| fs::read_to_string(root.join(file)).ok();
    let one = |stem: String| {
        read(format!("{stem}.http"))
            .or_else(|| read(format!("{stem}.json")).map(|body| raw::json(&body)))
    };
    let numbered = (1..=count).rev().find_map(|number| one(format!("{name}.{number}")));
    numbered.or_else(|| one(name.to_owned())).unwrap_or_else(|| panic!("{folder}/{name}"))
}

/// Serves an answer and those behind it.
async fn producer(folder: &'static str, name: &'static str) -> Raw {
    let count = AtomicUsize::new(0);
    Raw::start(move |_, base| {
        let count = count.fetch_add(1, SeqCst) + 1;
        Some(recorded(&answer(folder, name, count), base))
    })
    .await
}

/// Why a proposal is not good; `None`: it is.
async fn problem(folder: &'static str, name: &'static str) -> Option<String> {
    let asked = producer(folder, name).await;
    let mut place = Place::new("");
    place.env("MILKRUN_DATA", ".");
    fs::remove_file(place.config()).unwrap();
    let made = place.run(&["init", &asked.url("/list"), "--name", "field"]).await;
    if made.code != Some(0) {
        return Some(made.stderr);
    }
    let check = place.run(&["check"]).await;
    if check.code != Some(0) {
        return Some(check.stderr);
    }
    // The same file against the same answers from the first one on.
    let walked = producer(folder, name).await;
    let text = fs::read_to_string(place.config()).unwrap();
    place.write_raw(&text.replace(&asked.url("/list"), &walked.url("/list")));
    let run = place.run(&["probe", "field", "--dry-run", "--pages", "2", "-o", "json"]).await;
    let printed = serde_json::Deserializer::from_str(&run.stdout).into_iter::<Value>();
    let pages: Vec<Value> =
        printed.map(|one| one.unwrap()).filter(|one| one["page"].is_u64()).collect();
    let sum = |field: &str| -> usize {
        pages.iter().map(|page| page[field].as_array().unwrap().len()).sum()
    };
    let items: u64 = pages.iter().map(|page| page["exchange"]["items"].as_u64().unwrap()).sum();
    let is_good = sum("rejected") == 0 && sum("events") as u64 == items && !pages.is_empty();
    (!is_good).then(|| format!("{run:?}\n{text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_init_proposes_takes_every_event() {
    let mut problems = Vec::new();
    for (folder, name) in ANSWERS {
        if let Some(problem) = problem(folder, name).await {
            problems.push(format!("{folder}/{name}: {problem}"));
        }
    }
    let good = ANSWERS.len() - problems.len();
    assert!(
        good * 20 >= ANSWERS.len() * 15,
        "{good} of {}:\n{}",
        ANSWERS.len(),
        problems.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn init_overwrites_nothing_and_says_what_it_does_not_know() {
    let raw = producer("field/answers", "slack-audit").await;
    let place = Place::new("");
    let before = fs::read_to_string(place.config()).unwrap();
    let url = raw.url("/list?token=hunter2");
    let refused = place.run(&["init", &url]).await;
    assert!(refused.code == Some(2) && refused.stderr.contains("never overwritten"), "{refused:?}");
    assert_eq!(fs::read_to_string(place.config()).unwrap(), before);
    let printed =
        place.run(&["init", &url, "--print", "-H", "authorization: Bearer hunter3"]).await;
    assert_eq!(printed.code, Some(0), "{printed:?}");
    for part in [
        "items: \"entries\"",
        "path: response_metadata.next_cursor",
        "authorization\": { env: SOURCE_AUTHORIZATION }",
        "# not known: in which parameter",
    ] {
        assert!(printed.stdout.contains(part), "{part}: {}", printed.stdout);
    }
    assert!(!printed.stdout.contains("hunter3"), "{printed:?}");
    let page =
        Raw::start(|_, _| Some(recorded("HTTP/1.1 200 OK\nContent-Length: auto\n\n<html>hi", "")))
            .await;
    let html = place.run(&["init", &page.url("/"), "--print"]).await;
    assert!(html.code == Some(1) && html.stderr.contains("<html>hi"), "{html:?}");
}
