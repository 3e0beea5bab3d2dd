//! A subscription for a person: how it stands, why, and what helps; a program gets everything.

use serde_json::Value;

use crate::{
    cli::{
        output::{Column, shortened, table, text},
        source_story::{ago, moment},
    },
    event::Micros,
};

const POSITIONS: &[Column] = &[
    ("TOPIC", "/topic"),
    ("CURSOR", "/cursor"),
    ("OWED", "/owed"),
    ("EXCEPTIONS", "/exceptions"),
    ("DEAD", "/dead_letters"),
    ("DELIVERED", "/delivered"),
];
/// Answers that are shown.
const ANSWERS_MAX: usize = 5;
/// What of an error is shown.
const ERROR_CHARS_MAX: usize = 80;

/// What a person needs first.
pub(super) fn story(view: &Value, now: Micros) -> String {
    let name = text(&view["name"]);
    let mut lines = vec![
        line("subscription", &name),
        line("state", &state(view, &name, now)),
        line("webhook", &text(&view["webhook"]["url"])),
        line("owed", &format!("{} events", view["owed"])),
        line("settings", &settings(view)),
    ];
    for (field, what) in [("filter", "filter"), ("transform", "transform")] {
        if !view[field].is_null() {
            lines.push(line(what, &shortened(&text(&view[field]), 200)));
        }
    }
    let listed = |field: &str| view[field].as_array().map_or(&[][..], Vec::as_slice);
    lines.push(String::new());
    if listed("positions").is_empty() {
        lines.push(format!("in no topic yet of {}", text(&view["topics"])));
    } else {
        lines.push(table(listed("positions"), POSITIONS));
    }
    let answers: Vec<String> =
        listed("last_answers").iter().take(ANSWERS_MAX).map(|one| answer(one, now)).collect();
    if !answers.is_empty() {
        lines.push(String::new());
        lines.push("last answers".into());
        lines.extend(answers);
    }
    lines.join("\n")
}

fn line(name: &str, value: &str) -> String {
    format!("{name:<12}  {value}")
}

/// How it stands, and what helps where it stands still.
fn state(view: &Value, name: &str, now: Micros) -> String {
    let resume = format!("`milkrun subscriptions resume {name}`");
    let health = &view["health"];
    let mut told = match view["status"].as_str().unwrap_or_default() {
        "active" if health["state"] == "holding" => {
            let (since, next) = (moment(&health["since"], now), moment(&health["next_trial"], now));
            format!("on hold since {since}; next trial {next}; {resume} tries it at once")
        }
        "active" => match health["state"].as_str() {
            Some("reopening") => "active, reopening: fewer at once until it is well".to_owned(),
            _ => "active".to_owned(),
        },
        "paused" => format!("paused; {resume} goes on"),
        "disabled" => format!("disabled: {}; {resume} goes on", text(&view["reason"])),
        other => other.to_owned(),
    };
    if view["exceptions_full"] == true {
        told.push_str("; as many events wait for another try as may");
    }
    if view["stopped_keys"].as_u64().is_some_and(|keys| keys > 0) {
        let keys = &view["stopped_keys"];
        told = format!("{told}; {keys} keys stand still: `milkrun dead-letters {name}`");
    }
    told
}

fn settings(view: &Value) -> String {
    let mut told = vec![
        format!("format {}", text(&view["format"])),
        format!("order {}", text(&view["order"])),
        format!("concurrency {}", view["concurrency"]),
        format!("origin {}", text(&view["origin"])),
    ];
    if !view["rate"].is_null() {
        told.push(format!("rate {}", text(&view["rate"])));
    }
    told.push("all of them: -o json".into());
    told.join(", ")
}

fn answer(view: &Value, now: Micros) -> String {
    let at = view["started"].as_str().and_then(|at| at.parse::<Micros>().ok());
    let at = at.map_or_else(String::new, |at| ago(at, now));
    let said = if view["status"].is_null() { &view["error"] } else { &view["status"] };
    let said = shortened(&text(said), ERROR_CHARS_MAX);
    format!(
        "  {at:<12}  {} {}  attempt {}  {said}  {} ms",
        text(&view["topic"]),
        view["version"],
        view["attempt"],
        view["duration_ms"]
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_person_reads_what_is_wrong_and_what_helps_first() {
        let at = |second: i64| Micros(second * 1_000_000).to_string();
        let view = json!({ "name": "billing", "status": "active", "owed": 1204, "order": "none",
            "format": "structured", "concurrency": 8, "origin": "api", "topics": ["orders"],
            "webhook": { "url": "https://a.example/h" },
            "health": { "state": "holding", "since": at(100), "next_trial": at(260) },
            "positions": [{ "topic": "orders", "cursor": "6661905f-7", "owed": 1204, "exceptions": 3,
                "dead_letters": 2, "delivered": 9 }],
            "last_answers": [{ "started": at(190), "topic": "orders", "version": 8, "attempt": 2,
                "status": 503, "duration_ms": 12 }] });
        let told = story(&view, Micros(200_000_000));
        for part in [
            "on hold since",
            "in 60 s",
            "`milkrun subscriptions resume billing`",
            "1204 events",
            "10 s ago",
            "orders 8  attempt 2  503",
            "-o json",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(told.lines().count() < 15, "{told}");
        let paused = json!({ "name": "b", "status": "paused", "topics": ["x.*"] });
        assert!(story(&paused, Micros(0)).contains("in no topic yet of x.*"));
    }
}
