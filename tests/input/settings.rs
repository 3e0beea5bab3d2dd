//! `docs/settings.md`: a table of every setting, made from the schema and held to it.

use std::fmt::Write as _;

use milkrun::config;
use serde_json::{Map, Value};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/settings.md");

const HEAD: &str = "# Settings

Every setting of the configuration file, made from its schema (`milkrun config schema`).
`config/milkrun.yaml` shows them in use, `milkrun check` explains what is wrong with a file, and
`milkrun config show` prints one with all defaults. `[]` stands for the items of a list, `NAME` for a
name that you choose. Any text may have variables: `${NAME}`, or `${NAME:-default}`.
";

/// What a value may be, gathered over the alternatives of a schema.
#[derive(Default)]
struct Taken {
    words: Vec<String>,
    /// The objects among them.
    objects: Vec<Object>,
    items: Vec<Value>,
    named: Vec<Value>,
    description: Option<String>,
    default: Option<Value>,
}

/// An object: its properties, and those of them that have to be there.
#[derive(Clone)]
struct Object {
    properties: Map<String, Value>,
    required: Vec<String>,
}

struct Page {
    definitions: Map<String, Value>,
    text: String,
}

impl Page {
    fn of(schema: &Value) -> String {
        let definitions = schema["$defs"].as_object().unwrap().clone();
        let mut page = Self { definitions, text: HEAD.to_owned() };
        let sections = schema["properties"].as_object().unwrap();
        page.text.push_str("\n| setting | takes | default | |\n|---|---|---|---|\n");
        for (name, section) in sections {
            page.setting(name, section, false, &mut Vec::new());
        }
        page.text
    }

    /// The row of a setting, and those of what is in it.
    fn setting(&mut self, path: &str, schema: &Value, is_required: bool, within: &mut Vec<String>) {
        let mut taken = Taken::default();
        let references = within.len();
        self.take(schema, &mut taken, within);
        let words = taken.words.join(", ").replace('|', "\\|");
        let default = match &taken.default {
            _ if is_required => "**required**".to_owned(),
            None | Some(Value::Null | Value::Object(_)) => String::new(),
            Some(Value::String(text)) => format!("`{text}`"),
            Some(other) => format!("`{other}`"),
        };
        let description = taken.description.unwrap_or_default().replace('\n', " ");
        let description = description.replace('|', "\\|");
        writeln!(self.text, "| `{path}` | {words} | {default} | {description} |").unwrap();
        self.inside(path, &taken.objects, within);
        for item in &taken.items {
            self.part(&format!("{path}[]"), item, within);
        }
        for named in &taken.named {
            self.part(&format!("{path}.NAME"), named, within);
        }
        within.truncate(references);
    }

    /// The settings of objects.
    fn inside(&mut self, path: &str, objects: &[Object], within: &mut Vec<String>) {
        for Object { properties, required } in objects {
            for (name, property) in properties {
                let path = format!("{path}.{name}");
                self.setting(&path, property, required.contains(name), within);
            }
        }
    }

    /// What is in a list or under names; a plain text needs no row of its own.
    fn part(&mut self, path: &str, schema: &Value, within: &mut Vec<String>) {
        let mut taken = Taken::default();
        let references = within.len();
        self.take(schema, &mut taken, within);
        self.inside(path, &taken.objects, within);
        within.truncate(references);
    }

    /// Gathers what a schema takes.
    fn take(&self, schema: &Value, taken: &mut Taken, within: &mut Vec<String>) {
        if taken.description.is_none() {
            taken.description = schema["description"].as_str().map(str::to_owned);
        }
        if taken.default.is_none() {
            taken.default = schema.get("default").cloned();
        }
        if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
            match name {
                "Variable" => {}
                "Period" | "PositivePeriod" => add(taken, "a time, as `10s`"),
                "SecretRef" => add(taken, "`{ env: NAME }` or `{ file: PATH }`"),
                "Value" => add(taken, "a text, `{ env: NAME }` or `{ file: PATH }`"),
                name if within.iter().any(|known| known == name) => add(taken, "the same again"),
                name => {
                    within.push(name.to_owned());
                    let definition = self.definitions[name].clone();
                    self.take(&definition, taken, within);
                }
            }
        }
        for alternatives in ["anyOf", "oneOf"] {
            for one in schema[alternatives].as_array().into_iter().flatten() {
                self.take(one, taken, within);
            }
        }
        if let Some(word) = schema.get("const") {
            add(taken, &format!("`{}`", plain(word)));
        }
        for word in schema["enum"].as_array().into_iter().flatten() {
            add(taken, &format!("`{}`", plain(word)));
        }
        let types: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if schema.get("enum").is_none() && schema.get("const").is_none() {
            for kind in &types {
                take_type(kind, &types, schema, taken);
            }
        }
    }
}

fn take_type(kind: &str, types: &[&str], schema: &Value, taken: &mut Taken) {
    match kind {
        "object" => match (schema["properties"].as_object(), &schema["additionalProperties"]) {
            (Some(properties), _) => {
                let required = schema["required"].as_array().into_iter().flatten();
                let required = required.map(plain).collect();
                taken.objects.push(Object { properties: properties.clone(), required });
            }
            (None, Value::Object(named)) => {
                add(taken, "a value for each name");
                taken.named.push(Value::Object(named.clone()));
            }
            _ => add(taken, "an object"),
        },
        "array" => {
            add(taken, "a list");
            taken.items.push(schema["items"].clone());
        }
        "boolean" if !types.contains(&"string") => add(taken, "`true` or `false`"),
        "integer" | "number" if !types.contains(&"string") => {
            let bounds = (schema.get("minimum"), schema.get("maximum"));
            add(
                taken,
                &match bounds {
                    (Some(least), Some(most)) => format!("a number, {least} to {most}"),
                    (Some(least), None) => format!("a number from {least}"),
                    (None, Some(most)) => format!("a number up to {most}"),
                    (None, None) => "a number".to_owned(),
                },
            );
        }
        "string" => add(taken, "a text"),
        _ => {}
    }
}

fn add(taken: &mut Taken, words: &str) {
    if !taken.words.iter().any(|known| known == words) {
        taken.words.push(words.to_owned());
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[test]
fn the_page_of_settings_is_what_the_schema_says() {
    let page = Page::of(&config::schema());
    if std::env::var_os("MILKRUN_WRITE").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    let differs = written.lines().zip(page.lines()).find(|(written, made)| written != made);
    assert!(
        written == page,
        "docs/settings.md is not what the schema says: {differs:?}; MILKRUN_WRITE=1 with this test \
         writes it anew"
    );
    assert!(page.lines().count() > 150, "{page}");
}
