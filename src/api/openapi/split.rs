//! A type that the code has for two purposes is two schemas of the document, so that none has two
//! meanings: each says what its call needs, and has nothing that its call refuses.

use serde_json::{Map, Value, json};

/// What is written may be left out, what is shown is all there: the schema of each.
const SHOWN: [(&str, &str); 7] = [
    ("TopicBody", "TopicSettings"),
    ("RetentionBody", "TopicRetention"),
    ("DedupeBody", "TopicDedupe"),
    ("Retry", "RetryPolicy"),
    ("Exponential", "ExponentialDelays"),
    ("Hold", "HoldPolicy"),
    ("Batch", "BatchPolicy"),
];
/// What shows them.
const SHOWING: [&str; 2] = ["TopicView", "SubscriptionView"];
/// Of what is shown, what may be absent.
const ABSENT: [&str; 3] = ["schedule", "exponential", "jitter"];

/// Bodies of which a change has less than what is made: the body, both schemas, and what a change
/// does not have.
const CHANGED: [(&str, &str, &str, &[&str]); 2] = [
    (
        "SubscriptionBody",
        "NewSubscription",
        "SubscriptionChange",
        &["name", "topic", "topics", "from"],
    ),
    ("WebhookBody", "NewWebhook", "WebhookChange", &["secret_kind"]),
];
/// What has to be there when something is made.
const REQUIRED: [&str; 3] = ["name", "webhook", "url"];

/// Puts the schemas of each purpose in the place of the type's own.
pub(super) fn split(all: &mut Map<String, Value>) {
    for (written, shown) in SHOWN {
        let Some(written) = all.get_mut(written) else { continue };
        for property in properties(written).values_mut().filter_map(Value::as_object_mut) {
            property.remove("default");
        }
        let mut whole = written.clone();
        whole["required"] = required(properties(&mut whole));
        // A later release may show more.
        whole.as_object_mut().map(|whole| whole.remove("additionalProperties"));
        all.insert(shown.to_owned(), whole);
    }
    for name in SHOWN.map(|(_, shown)| shown).into_iter().chain(SHOWING) {
        if let Some(schema) = all.get_mut(name) {
            for (written, shown) in SHOWN {
                lead(schema, written, shown);
            }
        }
    }
    for (body, made, change, lacks) in CHANGED {
        let Some(mut whole) = all.remove(body) else { continue };
        let mut less = whole.clone();
        properties(&mut less).retain(|name, _| !lacks.contains(&name.as_str()));
        less["description"] =
            "Changes: what is left out stays, and null is the default again.".into();
        let needed = REQUIRED.iter().filter(|name| properties(&mut whole).contains_key(**name));
        let needed: Vec<&str> = needed.copied().collect();
        for name in &needed {
            let property = &mut properties(&mut whole)[*name];
            *property = not_null(property);
        }
        whole["required"] = json!(needed);
        all.insert(made.to_owned(), whole);
        all.insert(change.to_owned(), less);
    }
    for (body, made, change, _) in CHANGED {
        for (name, schema) in all.iter_mut() {
            lead(schema, body, if name.starts_with("New") { made } else { change });
        }
    }
}

fn properties(schema: &mut Value) -> &mut Map<String, Value> {
    let schema = schema.as_object_mut().expect("a schema is an object");
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    properties.as_object_mut().expect("properties are an object")
}

/// All that is never absent.
fn required(properties: &Map<String, Value>) -> Value {
    properties.keys().filter(|name| !ABSENT.contains(&name.as_str())).cloned().collect()
}

/// A property's schema without null.
fn not_null(property: &Value) -> Value {
    let mut property = property.clone();
    let is_other = |one: &&Value| one["type"] != "null";
    if let Some(one) = property["oneOf"].as_array().and_then(|each| each.iter().find(is_other)) {
        return one.clone();
    }
    if let Some(kind) = property["type"].as_array().and_then(|kinds| kinds.first()).cloned() {
        property["type"] = kind;
    }
    property
}

/// Lets every reference to one schema lead to another.
fn lead(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let leads =
                    member.as_str().and_then(|text| text.strip_prefix("#/components/schemas/"));
                if name == "$ref" && leads == Some(from) {
                    *member = format!("#/components/schemas/{to}").into();
                } else {
                    lead(member, from, to);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| lead(item, from, to)),
        _ => {}
    }
}
