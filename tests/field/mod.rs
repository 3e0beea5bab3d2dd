//! Answers as producers really give them, byte for byte, and what must come of each: through the
//! built binary, with the YAML that a user would write.

use std::{
    collections::HashMap,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use crate::support::{
    Place, Raw,
    raw::{self, recorded},
};

mod bodies;
mod failing;
mod init;
mod values;
mod walks;

/// Serves the files of `answers/`: at `/NAME` first `NAME.1.http`, then `.2`, and so on, the last
/// one again and again; or `NAME.http`; or `NAME.json` as a whole answer.
async fn producer() -> Raw {
    let counts: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    Raw::start(move |sent, base| {
        let name = sent.target.split('?').next().unwrap().trim_matches('/').to_owned();
        let mut counts = counts.lock().unwrap();
        let count = counts.entry(name.clone()).or_default();
        *count += 1;
        Some(recorded(&answer(&name, *count), base))
    })
    .await
}

/// The text of the `count`th answer of that name.
fn answer(name: &str, count: usize) -> String {
    let read = |file: String| {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/field/answers").join(file);
        fs::read_to_string(path).ok()
    };
    let numbered = (1..=count).rev().find_map(|number| read(format!("{name}.{number}.http")));
    let whole = || read(format!("{name}.http"));
    let body = || read(format!("{name}.json")).map(|body| raw::json(&body));
    numbered.or_else(whole).or_else(body).unwrap_or_else(|| panic!("no answer named {name}"))
}

/// A file with one source `field` of topic `field`, asked at `/NAME`, with these lines below `http`.
fn source(producer: &Raw, name: &str, lines: &str) -> String {
    let lines: Vec<String> = lines.lines().map(|line| format!("      {line}\n")).collect();
    format!(
        "sources:\n  - name: field\n    topic: field\n    interval: 1h\n    http:\n      \
         url: \"{}\"\n      id: id\n{}",
        producer.url(&format!("/{name}")),
        lines.concat()
    )
}

/// What a dry run printed.
#[derive(Debug)]
struct Dry {
    code: Option<i32>,
    /// Every page.
    pages: Vec<Value>,
    /// How the walk ended.
    end: Value,
    /// What was said on stderr.
    stderr: String,
}

impl Dry {
    /// The events of all pages.
    fn events(&self) -> Vec<&Value> {
        self.pages.iter().flat_map(|page| page["events"].as_array().unwrap()).collect()
    }

    /// A field of all events.
    fn all(&self, field: &str) -> Value {
        json!(self.events().iter().map(|event| &event[field]).collect::<Vec<_>>())
    }

    /// The one warning of the walk.
    fn warning(&self) -> &str {
        let warnings = self.end["warnings"].as_array().unwrap();
        assert_eq!(warnings.len(), 1, "{self:#?}");
        warnings[0].as_str().unwrap()
    }

    /// The cursor that the next walk would begin with.
    fn cursor(&self) -> Value {
        serde_json::from_str(self.end["next_cursor"].as_str().unwrap()).unwrap()
    }
}

/// `milkrun probe field --dry-run -o json`, from `cursor` on.
async fn dry_from(producer: &Raw, name: &str, lines: &str, cursor: Option<&Value>) -> Dry {
    dry_file(&source(producer, name, lines), cursor).await
}

/// The same of a whole file.
async fn dry_file(yaml: &str, cursor: Option<&Value>) -> Dry {
    let place = Place::new(yaml);
    let config = place.config();
    let cursor = cursor.map(Value::to_string);
    let mut words = vec!["probe", "field", "--dry-run", "-o", "json", "-c"];
    words.push(config.to_str().unwrap());
    words.extend(cursor.iter().flat_map(|cursor| ["--cursor", cursor]));
    let ended = place.run(&words).await;
    let printed = serde_json::Deserializer::from_str(&ended.stdout).into_iter::<Value>();
    let printed: Vec<Value> = printed.map(|one| one.unwrap()).collect();
    let (pages, ends): (Vec<Value>, Vec<Value>) =
        printed.into_iter().partition(|one| one.get("exchange").is_some());
    let end = ends.into_iter().next().unwrap_or_default();
    Dry { code: ended.code, pages, end, stderr: ended.stderr }
}

/// A dry run that ends well.
async fn dry(producer: &Raw, name: &str, lines: &str) -> Dry {
    let dry = dry_from(producer, name, lines, None).await;
    assert_eq!(dry.code, Some(0), "{dry:#?}");
    dry
}

/// The same with another `id`.
async fn dry_with(producer: &Raw, name: &str, lines: &str, id: &str) -> Dry {
    let yaml = source(producer, name, lines).replace("id: id\n", &format!("id: {id}\n"));
    let dry = dry_file(&yaml, None).await;
    assert_eq!(dry.code, Some(0), "{dry:#?}");
    dry
}

/// The present moment.
fn now() -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(milkrun::clock::Clock::system().now().0).unwrap()
}
