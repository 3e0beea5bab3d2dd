//! The page that tells what to write for which producer is true.

const PAGE: &str = include_str!("../../docs/probing.md");

/// Every sample is a file, or the part of one below `http:`.
#[test]
fn every_sample_is_accepted() {
    let samples: Vec<&str> = PAGE
        .split("```")
        .skip(1)
        .step_by(2)
        .map(|sample| sample.strip_prefix("yaml\n").expect("only YAML"))
        .collect();
    assert!(samples.len() >= 15, "{} samples", samples.len());
    for sample in samples {
        let parsed =
            milkrun::config::parse(&whole(sample), "sample", |_| Some("s3cret-value".into()));
        assert!(parsed.is_ok(), "{sample}\n{}", parsed.unwrap_err());
    }
    let misspelt = whole("http: { url: \"https://a.example/\", id: id, itmes: data }");
    assert!(milkrun::config::parse(&misspelt, "sample", |_| None).is_err());
}

/// A file with one source; what the sample leaves out is filled in.
fn whole(sample: &str) -> String {
    let lines = sample.trim_end().replace('\n', "\n  ");
    let source = format!("sources:\n- name: sample\n  topic: sample\n  {lines}\n");
    if sample.starts_with("sources:") { sample.to_owned() } else { source }
}

#[test]
fn every_recipe_is_named() {
    for name in super::names() {
        assert!(PAGE.contains(&format!("(../config/recipes/{name}.yaml)")), "{name}");
    }
}

#[test]
fn every_word_of_a_report_is_told() {
    let results = [
        "ok",
        "unchanged",
        "waiting",
        "error_page",
        "status",
        "malformed",
        "too_large",
        "timeout",
        "unreachable",
        "forbidden_address",
        "foreign_link",
        "cursor_doubted",
        "cursor_lost",
    ];
    let ends = [
        "single_page",
        "no_token",
        "no_item",
        "empty_page",
        "short_page",
        "flag",
        "link",
        "known_id",
        "older_than_cursor",
        "start_now",
        "max_pages",
        "ceiling",
        "empty_pages",
        "page_repeats",
        "not_modified",
        "status",
    ];
    for word in results.iter().chain(&ends) {
        assert!(PAGE.contains(&format!("| `{word}` |")), "{word}");
    }
}
