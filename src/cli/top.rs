//! `milkrun top`: subscriptions and sources as they stand, again and again.

use std::{collections::HashMap, io::IsTerminal as _, time::Duration};

use probes::period::Period;
use serde_json::{Value, json};

use super::{
    Failure, Options,
    client::{Client, ClientError},
    output::{Column, Output, print, shortened, table, text},
    source_story::{self, ago},
};
use crate::{
    clock::{self, Clock},
    event::Micros,
};

const EXAMPLES: &str = "\
Examples:
  milkrun top
  milkrun top --once -o json

On a terminal it is drawn anew every two seconds until Ctrl-C; elsewhere each look is printed below the one
before. Rates are since the look before.";

const SUBSCRIPTIONS: &[Column] = &[
    ("SUBSCRIPTION", "/name"),
    ("STATE", "/state"),
    ("OWED", "/owed"),
    ("OUT/s", "/rate"),
    ("DEAD", "/dead"),
    ("LAST ANSWER", "/last"),
];
const SOURCES: &[Column] = &[
    ("SOURCE", "/name"),
    ("STATE", "/state"),
    ("IN/s", "/rate"),
    ("EVENTS", "/events"),
    ("LAST WALK", "/last"),
    ("WHY", "/why"),
];
/// Subscriptions and sources that are shown, those with trouble first.
const ROWS_MAX: usize = 40;
/// Subscriptions whose last answer is asked for at each look.
const ANSWERS_MAX: usize = 20;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Look once, and end.
    #[arg(long)]
    once: bool,
    /// How often to look.
    #[arg(long, value_name = "TIME", default_value = "2s")]
    every: Period,
}

/// What was counted at a look, by kind and name.
type Counts = HashMap<(&'static str, String), u64>;

pub(crate) async fn run(args: Args, options: &Options) -> Result<(), Failure> {
    let client = options.client()?;
    let mut before: Option<(Counts, tokio::time::Instant)> = None;
    let is_drawn = std::io::stdout().is_terminal() && !args.once && options.output == Output::Table;
    loop {
        let looked = clock::instant();
        let shown = match look(&client).await {
            Ok((mut view, counts)) => {
                let seconds = before.as_ref().map(|(_, at)| looked.duration_since(*at));
                rates(&mut view, &counts, before.as_ref().map(|(counts, _)| counts), seconds);
                before = Some((counts, looked));
                match options.output {
                    Output::Json => view.to_string(),
                    Output::Table => drawn(&view),
                }
            }
            // A relay that is started anew comes back.
            Err(error @ ClientError::Unreachable { .. }) if before.is_some() => error.to_string(),
            Err(error) => return Err(error.into()),
        };
        // Clears the terminal, and begins above.
        print(&if is_drawn { format!("\u{1b}[2J\u{1b}[H{shown}") } else { shown })?;
        if args.once {
            return Ok(());
        }
        tokio::time::sleep(args.every.0.max(Duration::from_millis(200))).await;
    }
}

/// Everything once.
async fn look(client: &Client) -> Result<(Value, Counts), ClientError> {
    let now = Clock::system().now();
    let all = client.list(&["v1", "subscriptions"], "subscriptions").await?;
    let sources = client.list(&["v1", "sources"], "sources").await?;
    let mut counts = Counts::new();
    let mut subscriptions = Vec::new();
    for view in all["subscriptions"].as_array().into_iter().flatten() {
        let sum = |field: &str| -> u64 {
            let positions = view["positions"].as_array().into_iter().flatten();
            positions.filter_map(|one| one[field].as_u64()).sum()
        };
        counts.insert(("subscription", text(&view["name"])), sum("delivered"));
        subscriptions
            .push(json!({ "name": view["name"], "state": state(view), "owed": view["owed"],
            "dead": sum("dead_letters"), "last": "" }));
    }
    subscriptions
        .sort_by_key(|one| (one["state"] == "open", u64::MAX - one["owed"].as_u64().unwrap_or(0)));
    for one in subscriptions.iter_mut().take(ANSWERS_MAX) {
        let path = ["v1", "subscriptions", &text(&one["name"]), "attempts"];
        let attempts = client.get(&path, &[("limit", "1".into())]).await?;
        one["last"] = last(&attempts["attempts"][0], now).into();
    }
    let mut listed = Vec::new();
    for view in sources["sources"].as_array().into_iter().flatten() {
        counts.insert(("source", text(&view["name"])), view["appended"].as_u64().unwrap_or(0));
        let at = view["report"]["at"].as_str().and_then(|at| at.parse::<Micros>().ok());
        let at = at.map_or_else(String::new, |at| format!(" {}", ago(at, now)));
        listed.push(json!({ "name": view["name"], "state": view["status"], "events": view["appended"],
            "last": format!("{}{at}", text(&view["report"]["result"])), "why": source_story::reason(view) }));
    }
    listed.sort_by_key(|one| one["why"] == "");
    Ok((
        json!({ "time": now.to_string(), "subscriptions": subscriptions, "sources": listed }),
        counts,
    ))
}

/// The state of a subscription in a word.
fn state(view: &Value) -> String {
    match view["status"].as_str() {
        Some("active") => view["health"]["state"].as_str().unwrap_or("open").to_owned(),
        status => status.unwrap_or_default().to_owned(),
    }
}

fn last(attempt: &Value, now: Micros) -> String {
    let Some(at) = attempt["started"].as_str().and_then(|at| at.parse::<Micros>().ok()) else {
        return String::new();
    };
    let answer = if attempt["status"].is_null() { &attempt["error"] } else { &attempt["status"] };
    format!("{} {}", shortened(&text(answer), 30), ago(at, now))
}

/// Puts rates beside what was counted; none at the first look.
fn rates(view: &mut Value, counts: &Counts, before: Option<&Counts>, passed: Option<Duration>) {
    for (field, kind) in [("subscriptions", "subscription"), ("sources", "source")] {
        for one in view[field].as_array_mut().into_iter().flatten() {
            let key = (kind, text(&one["name"]));
            let rate = before.and_then(|before| {
                let more = counts.get(&key)?.checked_sub(*before.get(&key)?)?;
                #[expect(clippy::cast_precision_loss, reason = "a rate is told well enough")]
                let rate = more as f64 / passed?.as_secs_f64();
                Some((rate * 10.0).round() / 10.0)
            });
            one["rate"] = rate.into();
        }
    }
}

fn drawn(view: &Value) -> String {
    let mut lines = vec![format!("milkrun top  {}", text(&view["time"])), String::new()];
    for (field, columns) in [("subscriptions", SUBSCRIPTIONS), ("sources", SOURCES)] {
        let all = view[field].as_array().map_or(&[][..], Vec::as_slice);
        lines.push(table(&all[..all.len().min(ROWS_MAX)], columns));
        if all.len() > ROWS_MAX {
            lines.push(format!("and {} more {field}", all.len() - ROWS_MAX));
        }
        lines.push(String::new());
    }
    lines.join("\n").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_since_the_look_before() {
        let mut view = json!({ "subscriptions": [{ "name": "a" }], "sources": [{ "name": "a" }] });
        let counts = |a| Counts::from([(("subscription", "a".to_owned()), a)]);
        rates(&mut view, &counts(10), Some(&counts(5)), Some(Duration::from_secs(2)));
        assert_eq!(
            (&view["subscriptions"][0]["rate"], &view["sources"][0]["rate"]),
            (&2.5.into(), &Value::Null)
        );
        // A relay that was put back counts less.
        rates(&mut view, &counts(1), Some(&counts(5)), Some(Duration::from_secs(2)));
        assert_eq!(view["subscriptions"][0]["rate"], Value::Null);
        assert!(drawn(&view).contains("OUT/s"));
    }
}
