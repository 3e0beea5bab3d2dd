//! `milkrun trace`: where one event is, at every subscription, and what helps.

use serde_json::{Value, json};

use super::{
    Failure, Options,
    client::Client,
    events::is_last,
    output::{Column, Output, print, shortened, table, text},
    source_story::{ago, moment},
};
use crate::{clock::Clock, event::Micros};

const EXAMPLES: &str = "\
  milkrun trace orders 4711
  milkrun trace orders order-9931 --source /shop
  milkrun trace orders --id 4711

An id is looked up by its source and id when --source is given, as long as the topic knows them as
duplicates; without, the topic is read from its oldest event on.";

const SUBSCRIPTIONS: &[Column] = &[
    ("SUBSCRIPTION", "/subscription"),
    ("STATE", "/told"),
    ("ATTEMPTS", "/attempts"),
    ("LAST", "/answer"),
    ("HELPS", "/helps"),
];

const ATTEMPTS: &[Column] = &[
    ("STARTED", "/started"),
    ("SUBSCRIPTION", "/subscription"),
    ("ATTEMPT", "/attempt"),
    ("STATUS", "/status"),
    ("MS", "/duration_ms"),
    ("VERDICT", "/verdict"),
    ("ANSWER", "/told"),
];

/// What of an answer is shown in a line.
const ANSWER_CHARS_MAX: usize = 80;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    topic: String,
    /// A version or a cursor; what is neither is an id.
    #[arg(required_unless_present = "id")]
    event: Option<String>,
    /// The event's id, also one that looks like a version.
    #[arg(long, conflicts_with = "event")]
    id: Option<String>,
    /// The event's source, with its id.
    #[arg(long)]
    source: Option<String>,
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<(), Failure> {
    let client = options.client()?;
    let version = match (&args.event, &args.id) {
        (Some(event), _) if args.source.is_none() && is_version(event) => event.clone(),
        (Some(id), _) | (None, Some(id)) => look_up(&client, &args, id).await?,
        (None, None) => return Err(Failure::usage("expected a version or an id")),
    };
    let path = ["v1", "topics", &args.topic, "events", &version, "trace"];
    let mut trace = client.get(&path, &[("limit", "100".into())]).await?;
    match options.output {
        Output::Json => options.output.one(&trace)?,
        Output::Table => {
            add_standing(&client, &mut trace).await;
            print(&story(&trace, Clock::system().now()))?;
        }
    }
    Ok(())
}

/// Adds how each subscription stands that the event still waits for: one on hold or paused does not try it
/// when it is due. A subscription that may not be seen is told without.
async fn add_standing(client: &Client, trace: &mut Value) {
    for view in trace["subscriptions"].as_array_mut().into_iter().flatten() {
        if matches!(view["state"].as_str(), Some("waiting" | "retry" | "parked")) {
            let name = text(&view["subscription"]);
            let shown = client.get(&["v1", "subscriptions", &name], &[]).await;
            view["standing"] = shown.unwrap_or_default();
        }
    }
}

/// Why the subscription as a whole sends nothing now, and what helps.
fn stands_still(standing: &Value, name: &str, now: Micros) -> Option<(String, String)> {
    let resume = format!("`milkrun subscriptions resume {name}`");
    let status = standing["status"].as_str().unwrap_or_default();
    let health = &standing["health"];
    if status == "disabled" {
        let why = text(&standing["reason"]);
        return Some((format!("the subscription is disabled: {why}"), resume));
    }
    if status == "paused" {
        return Some(("the subscription is paused".into(), resume));
    }
    if health["state"] == "holding" {
        let since = moment(&health["since"], now);
        let next = health["next_trial"].as_str().and_then(|next| next.parse::<Micros>().ok());
        let next =
            next.map_or_else(String::new, |next| format!(", next trial {}", due_in(next, now)));
        let told = format!("the endpoint is on hold since {since}{next}");
        return Some((told, format!("{resume} tries it at once")));
    }
    if standing["exceptions_full"] == true {
        let told = "as many events wait for another try as may".to_owned();
        return Some((told, format!("`milkrun dead-letters {name} list`")));
    }
    None
}

/// When something is to happen; what should have happened by now is due.
fn due_in(due: Micros, now: Micros) -> String {
    if due > now { ago(due, now) } else { "as soon as there is room".into() }
}

/// Whether it is a version, or a cursor: an epoch of hexadecimal digits and a version.
fn is_version(event: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match event.split_once('-') {
        None => is_number(event),
        Some((epoch, version)) => {
            is_number(version) && epoch.len() == 8 && epoch.bytes().all(|b| b.is_ascii_hexdigit())
        }
    }
}

/// The version of the event with this id.
async fn look_up(client: &Client, args: &Args, id: &str) -> Result<String, Failure> {
    let path = ["v1", "topics", &args.topic, "events"];
    let mut query = if let Some(source) = &args.source {
        vec![("id", id.to_owned()), ("source", source.clone())]
    } else {
        let filter = json!({ "exact": { "id": id } });
        vec![("filter", filter.to_string()), ("limit", "1".into())]
    };
    loop {
        let page = client.get(&path, &query).await?;
        if let Some(version) = page["events"][0]["version"].as_u64() {
            return Ok(version.to_string());
        }
        let next = page["next"].as_str().unwrap_or_default().to_owned();
        if args.source.is_some() || is_last(&next, page["head"].as_u64()) {
            let of = args.source.as_ref().map_or_else(String::new, |of| format!(" of source {of}"));
            return Err(Failure::new(format!(
                "topic `{}` has no event with the id `{id}`{of}: it did not come, or retention has \
                 removed it; milkrun pending {} lists those that wait",
                args.topic, args.topic
            )));
        }
        query.retain(|(name, _)| *name != "after");
        query.push(("after", next));
    }
}

/// Where the event is, for a person.
fn story(trace: &Value, now: Micros) -> String {
    let mut lines = vec![format!(
        "event     {} {} (epoch {})",
        text(&trace["topic"]),
        trace["version"],
        text(&trace["epoch"])
    )];
    if trace["id"].is_null() {
        lines.push("          the log has let go of it".into());
    } else {
        lines.push(format!("id        {}", text(&trace["id"])));
        lines.push(format!("source    {}", text(&trace["source"])));
        lines.push(format!("recorded  {}", moment(&trace["recorded"], now)));
    }
    let waited = &trace["pending"];
    if waited.is_object() {
        let (since, due) = (moment(&waited["since"], now), text(&waited["due"]));
        lines.push(format!("waited    published {since}, was due {due}"));
    }
    let states: Vec<Value> =
        listed(trace, "subscriptions").map(|one| state(one, trace, now)).collect();
    lines.push(String::new());
    if states.is_empty() {
        lines.push("no subscription that you may see wants this topic".into());
    } else {
        lines.push(table(&states, SUBSCRIPTIONS));
    }
    let attempts: Vec<Value> = listed(trace, "attempts").map(attempt).collect();
    if !attempts.is_empty() {
        lines.push(String::new());
        lines.push(table(&attempts, ATTEMPTS));
    }
    lines.join("\n")
}

fn listed<'a>(trace: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    trace[field].as_array().into_iter().flatten()
}

/// A subscription with its state in words, and the command that helps.
fn state(view: &Value, trace: &Value, now: Micros) -> Value {
    let name = text(&view["subscription"]);
    let due = view["due"].as_str().and_then(|due| due.parse::<Micros>().ok());
    let due = due.map_or_else(String::new, |due| format!(", again {}", due_in(due, now)));
    let version = &trace["version"];
    let still = stands_still(&view["standing"], &name, now);
    let (told, helps) = match view["state"].as_str().unwrap_or_default() {
        state @ ("retry" | "waiting" | "parked") if still.is_some() => {
            let (why, helps) = still.unwrap_or_default();
            (
                if state == "retry" { format!("failed; {why}") } else { format!("waits: {why}") },
                helps,
            )
        }
        "settled" => {
            let outcome = view["outcome"].as_str();
            (outcome.unwrap_or("settled").to_owned(), String::new())
        }
        "waiting" => (
            "waits for its turn".into(),
            format!("`milkrun subscriptions show {name}` says for what"),
        ),
        "in_flight" => ("is being sent".into(), String::new()),
        "retry" => (format!("failed{due}"), String::new()),
        "parked" => ("waits behind an event of its key".into(), String::new()),
        "stopped" => (
            "stands still behind a dead letter of its key".into(),
            format!("`milkrun dead-letters {name} list`, then redrive or delete that"),
        ),
        "dead" => (
            format!("dead letter: {}", text(&view["reason"])),
            format!(
                "`milkrun dead-letters {name} redrive --topic {} --from {version} --to {version}`",
                text(&trace["topic"])
            ),
        ),
        "before_start" => {
            ("before its start".into(), format!("`milkrun replay {name}` sends what came before"))
        }
        other => (other.to_owned(), String::new()),
    };
    let last = &view["last"];
    let answer = if last["status"].is_null() { &last["error"] } else { &last["status"] };
    let replay = view["replay"].as_i64().map_or_else(String::new, |job| format!(" (replay {job})"));
    json!({ "subscription": format!("{name}{replay}"), "told": told, "helps": helps,
        "attempts": view["attempts"], "answer": shortened(&text(answer), ANSWER_CHARS_MAX) })
}

/// An attempt with what came back in a line.
fn attempt(view: &Value) -> Value {
    let mut shown = view.clone();
    let told = if view["error"].is_null() { &view["answer"] } else { &view["error"] };
    shown["told"] = shortened(&text(told), ANSWER_CHARS_MAX).into();
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_told_from_an_id() {
        for version in ["1", "4711", "6661905f-12"] {
            assert!(is_version(version), "{version}");
        }
        for id in ["order-12", "", "6661905f-", "-1", "6661905g-1", "1.5", "66-1"] {
            assert!(!is_version(id), "{id}");
        }
    }

    #[test]
    fn a_subscription_that_sends_nothing_is_said_to() {
        let at = |second: i64| Micros(second * 1_000_000);
        let told = |state: &str, standing: Value| {
            let view = json!({ "subscription": "crm", "state": state, "due": at(100).to_string(),
                "standing": standing });
            let told = super::state(&view, &json!({ "version": 1 }), at(200));
            format!("{} | {}", text(&told["told"]), text(&told["helps"]))
        };
        let resume = "`milkrun subscriptions resume crm`";
        let held = json!({ "status": "active", "health": { "state": "holding",
            "since": at(80).to_string(), "next_trial": at(260).to_string() } });
        let told_held = told("retry", held);
        for part in ["failed; ", "on hold", "(2 min ago)", "next trial in 60 s", resume] {
            assert!(told_held.contains(part), "{part}: {told_held}");
        }
        let paused = told("waiting", json!({ "status": "paused" }));
        assert_eq!(paused, format!("waits: the subscription is paused | {resume}"));
        let disabled = told("retry", json!({ "status": "disabled", "reason": "gone" }));
        assert!(disabled.contains("disabled: gone") && disabled.contains(resume), "{disabled}");
        let late = told("retry", json!({ "status": "active" }));
        assert!(late.starts_with("failed, again as soon as there is room"), "{late}");
    }

    #[test]
    fn where_an_event_is_and_what_helps() {
        let at = |second: i64| Micros(second * 1_000_000).to_string();
        let trace = json!({ "topic": "orders", "version": 7, "epoch": "6661905f", "id": "o-7",
            "source": "/shop", "recorded": at(100), "pending": null,
            "subscriptions": [
                { "subscription": "billing", "state": "settled", "outcome": "delivered" },
                { "subscription": "crm", "state": "retry", "due": at(260), "attempts": 2,
                  "last": { "status": 503, "error": null } },
                { "subscription": "audit", "state": "dead", "reason": "attempts", "attempts": 5,
                  "last": { "status": null, "error": "refused" } }],
            "attempts": [{ "started": at(200), "subscription": "crm", "attempt": 2, "status": 503,
                "duration_ms": 12, "verdict": "retry", "answer": "busy", "error": null }] });
        let told = story(&trace, Micros(200_000_000));
        for part in [
            "event     orders 7 (epoch 6661905f)",
            "(100 s ago)",
            "billing       delivered",
            "failed, again in 60 s",
            "dead letter: attempts",
            "`milkrun dead-letters audit redrive --topic orders --from 7 --to 7`",
            "busy",
        ] {
            assert!(told.contains(part), "{part}:\n{told}");
        }
    }
}
