//! The JSON Schema and the parser judge files alike: both accept, or both refuse. An editor that
//! has the schema must not mark what works, nor leave unmarked what `check` refuses for its form.

use serde_json::Value;

/// A source with these lines below it, beside what it needs.
fn source(lines: &str) -> String {
    format!("sources:\n- name: a\n  topic: t\n{}", indented(lines, 2))
}

/// A source with these lines below `http:`, beside what it needs.
fn http(lines: &str) -> String {
    source(&format!("http:\n  url: https://a.example/list\n  id: id\n{}", indented(lines, 2)))
}

/// A subscription with these lines, beside what it needs.
fn subscription(lines: &str) -> String {
    format!(
        "subscriptions:\n- name: a\n  topic: t\n  webhook: {{ url: \"https://a.example/\" }}\n{}",
        indented(lines, 2)
    )
}

fn indented(lines: &str, by: usize) -> String {
    let indent = " ".repeat(by);
    lines.lines().flat_map(|line| [&indent, line, "\n"]).collect()
}

/// The lines of a corpus: a sample each, its lines apart by ` ;; `.
fn samples(corpus: &str) -> Vec<String> {
    let lines = corpus.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("# "));
    lines.map(|line| line.replace(" ;; ", "\n")).collect()
}

/// What makes a whole file of a sample.
type Whole = fn(&str) -> String;

const CORPORA: [(&str, Whole, &str, &str); 4] = [
    (
        "file",
        |text| text.to_owned(),
        include_str!("corpus/file.good"),
        include_str!("corpus/file.bad"),
    ),
    ("source", source, include_str!("corpus/source.good"), include_str!("corpus/source.bad")),
    ("http", http, include_str!("corpus/http.good"), include_str!("corpus/http.bad")),
    (
        "subscription",
        subscription,
        include_str!("corpus/subscription.good"),
        include_str!("corpus/subscription.bad"),
    ),
];

struct Judges {
    schema: jsonschema::Validator,
}

impl Judges {
    fn new() -> Self {
        let schema = milkrun::config::schema();
        Self { schema: jsonschema::validator_for(&schema).unwrap() }
    }

    /// What each says: `None` accepts.
    fn judge(&self, text: &str) -> (Option<String>, Option<String>) {
        let options = serde_saphyr::options! { strict_booleans: true };
        let value: Result<Value, _> = serde_saphyr::from_str_with_options(text, options);
        let schema = match value {
            Ok(value) => self.schema.validate(&value).err().map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        let parsed = milkrun::config::parse(text, "corpus", |name| match name {
            "KEY" => Some("s3cret-value".to_owned()),
            "HOOK" => Some(crate::support::relay::SECRET.to_owned()),
            "COUNT" => Some("5".to_owned()),
            "PROXY" => Some("http://proxy.example:3128".to_owned()),
            _ => None,
        });
        (schema, parsed.err().map(|error| error.to_string()))
    }
}

#[test]
fn both_judge_alike() {
    let judges = Judges::new();
    let mut wrong = Vec::new();
    let mut counts = (0, 0);
    for (name, whole, good, bad) in CORPORA {
        for sample in samples(good) {
            counts.0 += 1;
            let (schema, parser) = judges.judge(&whole(&sample));
            if schema.is_some() || parser.is_some() {
                wrong.push(format!(
                    "good {name}: {sample}\n  schema {schema:?}\n  parser {parser:?}"
                ));
            }
        }
        for sample in samples(bad) {
            counts.1 += 1;
            let (schema, parser) = judges.judge(&whole(&sample));
            if schema.is_none() || parser.is_none() {
                wrong.push(format!(
                    "bad {name}: {sample}\n  schema {schema:?}\n  parser {parser:?}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(counts.0 >= 100 && counts.1 >= 100, "{counts:?} samples");
}

/// The files that are shipped are accepted as they are, references to variables included.
#[test]
fn the_schema_accepts_what_is_shipped() {
    let judges = Judges::new();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let recipes = std::fs::read_dir(root.join("recipes")).unwrap().map(|file| file.unwrap().path());
    let files: Vec<_> = recipes.chain([root.join("milkrun.yaml")]).collect();
    assert!(files.len() > 10, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let (schema, _) = judges.judge(&text);
        assert_eq!(schema, None, "{}", file.display());
    }
}
