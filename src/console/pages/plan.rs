//! What an action would do, as a sentence with its number, and as the call that does it.

use std::fmt::Write as _;

use http::Method;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::shown::{Subscription, grouped};
use crate::console::{
    form::Form,
    link::segment,
    time::typed,
    visit::{Told, Visit},
};

/// A field that an operator fills in.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) hint: &'static str,
    pub(super) value: String,
    pub(super) is_needed: bool,
    /// Whether what would be done depends on it.
    pub(super) decides: bool,
}

impl Field {
    pub(super) fn new(
        name: &'static str,
        label: &'static str,
        hint: &'static str,
        form: &Form,
    ) -> Self {
        let value = form.text(name).to_owned();
        Self { name, label, hint, value, is_needed: false, decides: true }
    }
}

/// What would be done.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) says: String,
    pub(super) verb: &'static str,
    pub(super) fields: Vec<Field>,
    /// `None`: not known yet what is wanted.
    pub(super) body: Option<Value>,
    /// Whether the answer is shown here.
    pub(super) shows: bool,
    /// Whether it is shown what was made, and it is not offered again.
    pub(super) is_once: bool,
    pub(super) method: Method,
    /// The call, its route, and where an operator came from; filled in by [`Plan::at`].
    pub(super) path: String,
    pub(super) route: String,
    pub(super) name: String,
    pub(super) back: String,
    /// The replay that is meant.
    id: i64,
}

impl Plan {
    /// Something that needs no field.
    pub(super) fn plain(says: String, verb: &'static str) -> Self {
        Self::new(says, verb, Vec::new(), Some(json!({})))
    }

    pub(super) fn new(
        says: String,
        verb: &'static str,
        fields: Vec<Field>,
        body: Option<Value>,
    ) -> Self {
        Self {
            says,
            verb,
            fields,
            body,
            shows: false,
            is_once: false,
            method: Method::POST,
            path: String::new(),
            route: String::new(),
            name: String::new(),
            back: String::new(),
            id: 0,
        }
    }

    /// The plan as a call below this resource.
    pub(super) fn at(mut self, own: &str, action: &str, back: &str) -> Self {
        let (under, route) = match action {
            "replay" => ("replays".to_owned(), "replays"),
            "redrive" => ("dead-letters/redrive".to_owned(), "dead-letters/redrive"),
            "rotate" => ("secrets/rotate".to_owned(), "secrets/rotate"),
            "cancel" => (format!("replays/{}", self.id), "replays/{id}"),
            own => (own.to_owned(), own),
        };
        self.path = format!("{own}/{under}");
        let (list, name) = own.rsplit_once('/').unwrap_or((own, ""));
        self.route = format!("{list}/{{name}}/{route}");
        name.clone_into(&mut self.name);
        back.clone_into(&mut self.back);
        self
    }
}

pub(super) fn wrong(field: &str, detail: impl std::fmt::Display) -> Told {
    let detail = format!("`{field}`: {detail}");
    Told { status: 400, code: "bad_parameter".to_owned(), detail }
}

/// A place that somebody typed, as the API takes it: a word, a version, a cursor, or an instant.
pub(super) fn place(visit: &Visit, field: &str, text: &str) -> Result<String, Told> {
    let is_cursor = text.chars().all(|letter| letter.is_ascii_hexdigit() || letter == '-');
    let is_time = text.len() > 17 && text.contains(':');
    if matches!(text, "latest" | "earliest") || (is_cursor && !is_time) {
        return Ok(text.to_owned());
    }
    typed(text, visit.now).map(|at| at.to_string()).map_err(|error| wrong(field, error))
}

/// What the API answers to a move that is only asked about.
#[derive(Deserialize)]
struct Moved {
    moves: Vec<Move>,
}

#[derive(Deserialize)]
struct Move {
    topic: String,
    from: u64,
    events: u64,
    again: u64,
    left_out: u64,
}

/// What it answers to a replay that is only asked about.
#[derive(Deserialize)]
struct Replay {
    topic: String,
    from: u64,
    to: u64,
    events: u64,
}

#[derive(Deserialize)]
struct Redriven {
    redriven: u64,
}

/// What a call below the subscription would do, by the API's own word.
async fn asked<T: DeserializeOwned>(
    visit: &Visit,
    one: &Subscription,
    call: &str,
    body: &Value,
) -> Result<T, Told> {
    let path = format!("/v1/subscriptions/{}/{call}?dry_run=true", segment(&one.name));
    let bytes = visit.ask(Method::POST, &path, Some(body.clone())).await?;
    serde_json::from_slice(&bytes).map_err(|error| Told {
        status: 500,
        code: "internal".to_owned(),
        detail: format!("the console does not understand the API: {error}"),
    })
}

fn topic_field(one: &Subscription, form: &Form, needed: bool) -> Option<Field> {
    (one.positions.len() > 1).then(|| Field {
        is_needed: needed,
        ..Field::new("topic", "Topic", "empty: every topic", form)
    })
}

pub(super) const PLACES: &str = "latest, earliest, a version, a cursor, a time, 10m";

/// Resumes where it stands, or elsewhere.
pub(super) async fn resume(visit: &Visit, one: &Subscription, form: &Form) -> Result<Plan, Told> {
    let mut fields = vec![Field::new("from", "From (empty: where it stands)", PLACES, form)];
    fields.extend(topic_field(one, form, false));
    let Some(from) = form.given("from") else {
        let owed = grouped(one.owed);
        let says = format!("Resume {} where it stands: {owed} events are owed.", one.name);
        return Ok(Plan::new(says, "Resume", fields, Some(json!({}))));
    };
    let (says, body) = moved(visit, one, form, ("resume", from)).await?;
    let says = format!("Resume {} {says}", one.name);
    Ok(Plan::new(says, "Resume", fields, Some(body)))
}

/// Moves positions.
pub(super) async fn rewind(visit: &Visit, one: &Subscription, form: &Form) -> Result<Plan, Told> {
    let from = Field { is_needed: true, ..Field::new("from", "First event wanted", PLACES, form) };
    let fields = std::iter::once(from).chain(topic_field(one, form, false)).collect();
    let Some(from) = form.given("from") else {
        let says = format!(
            "Move {}: what is behind the place is delivered, again if need be; dead letters stay.",
            one.name
        );
        return Ok(Plan::new(says, "Rewind", fields, None));
    };
    let (says, body) = moved(visit, one, form, ("rewind", from)).await?;
    let says = format!("Move {} {says}", one.name);
    Ok(Plan::new(says, "Rewind", fields, Some(body)))
}

/// What is delivered from a place on, and the body that says so.
async fn moved(
    visit: &Visit,
    one: &Subscription,
    form: &Form,
    (call, from): (&str, &str),
) -> Result<(String, Value), Told> {
    let from = place(visit, "from", from)?;
    let mut body = json!({ "from": from });
    if let Some(topic) = form.given("topic") {
        body["topic"] = topic.into();
    }
    let Moved { moves } = asked(visit, one, call, &body).await?;
    let places = moves.iter().map(|at| format!("{} @ {}", at.topic, grouped(at.from)));
    let places = places.collect::<Vec<_>>().join(", ");
    let sum = |of: fn(&Move) -> u64| moves.iter().map(of).sum::<u64>();
    let events = grouped(sum(|at| at.events));
    let mut says = format!(
        "to {places} ({from}): {events} events from there to the head are looked at, and delivered as the filter wants them."
    );
    let (again, left_out) = (sum(|at| at.again), sum(|at| at.left_out));
    if again > 0 {
        let _ =
            write!(says, " {} of them were looked at before, and are sent again.", grouped(again));
    }
    if left_out > 0 {
        let _ = write!(says, " {} that are owed are left out.", grouped(left_out));
    }
    Ok((says, body))
}

/// Delivers a part again beside live delivery.
pub(super) async fn replay(visit: &Visit, one: &Subscription, form: &Form) -> Result<Plan, Told> {
    let needed = one.positions.len() > 1;
    let mut fields = vec![
        Field { is_needed: true, ..Field::new("from", "First event", PLACES, form) },
        Field::new("to", "Last event (empty: the newest)", PLACES, form),
        Field {
            decides: false,
            ..Field::new("rate", "Rate (empty: as fast as it is taken)", "100/s", form)
        },
    ];
    fields.extend(topic_field(one, form, needed));
    let given = form.given("from").filter(|_| !needed || form.given("topic").is_some());
    let Some(from) = given else {
        let says =
            format!("Deliver a part of the history to {} again, beside live delivery.", one.name);
        return Ok(Plan::new(says, "Replay", fields, None));
    };
    let mut body = json!({ "from": place(visit, "from", from)? });
    if let Some(to) = form.given("to") {
        body["to"] = place(visit, "to", to)?.into();
    }
    for name in ["topic", "rate"] {
        if let Some(given) = form.given(name) {
            body[name] = given.into();
        }
    }
    let Replay { topic, from, to, events } = asked(visit, one, "replays", &body).await?;
    let says = format!(
        "Deliver {} events of {topic} to {} again: versions {} to {}, as the filter wants them.",
        grouped(events),
        one.name,
        grouped(from),
        grouped(to)
    );
    Ok(Plan::new(says, "Replay", fields, Some(body)))
}

/// Shows the request of one event, and sends it when that is wanted.
pub(super) fn test(one: &Subscription, form: &Form) -> Plan {
    let mut fields = vec![
        Field {
            decides: false,
            ..Field::new("version", "Event (empty: the newest)", "a version or cursor", form)
        },
        Field {
            decides: false,
            ..Field::new("send", "Send it? (empty: only show it)", "yes", form)
        },
    ];
    fields.extend(topic_field(one, form, true).map(|field| Field { decides: false, ..field }));
    let mut body = json!({ "send": form.text("send") == "yes" });
    for name in ["version", "topic"] {
        if let Some(given) = form.given(name) {
            body[name] = given.into();
        }
    }
    let says = format!(
        "Make the exact request of one event for {}, outside of all accounting. It is sent to {} only with `yes`.",
        one.name, one.webhook.url
    );
    Plan { shows: true, ..Plan::new(says, "Test", fields, Some(body)) }
}

/// Tries dead letters again.
pub(super) async fn redrive(visit: &Visit, one: &Subscription, form: &Form) -> Result<Plan, Told> {
    let fields = vec![
        Field::new("reason", "Reason (empty: any)", "attempts", form),
        Field::new("status", "Last status (empty: any)", "503", form),
        Field::new("since", "Given up since (empty: ever)", "10m or 2026-01-31T12:00:00Z", form),
        Field { decides: false, ..Field::new("rate", "Rate (empty: all at once)", "10/s", form) },
    ];
    let (mut body, mut said) = (Map::new(), Vec::new());
    if let Some(reason) = form.given("reason") {
        body.insert("reason".to_owned(), reason.into());
        said.push(format!("reason {reason}"));
    }
    if let Some(status) = form.given("status") {
        let status: u16 = status.parse().map_err(|_| wrong("status", "expected a number"))?;
        body.insert("status".to_owned(), status.into());
        said.push(format!("status {status}"));
    }
    if let Some(since) = form.given("since") {
        let since = typed(since, visit.now).map_err(|error| wrong("since", error))?.to_string();
        said.push(format!("since {since}"));
        body.insert("since".to_owned(), since.into());
    }
    if body.is_empty() {
        body.insert("all".to_owned(), true.into());
    }
    if let Some(rate) = form.given("rate") {
        body.insert("rate".to_owned(), rate.into());
        said.push(format!("at {rate}"));
    }
    let body = Value::Object(body);
    let Redriven { redriven } = asked(visit, one, "dead-letters/redrive", &body).await?;
    let said = if said.is_empty() { "all of them".to_owned() } else { said.join(", ") };
    let count = grouped(redriven);
    let says = format!("Redrive {count} dead letters of {}: {said}.", one.name);
    Ok(Plan::new(says, "Redrive", fields, Some(body)))
}

/// What somebody typed in the place of a filter or a transform: an object, or else an expression.
pub(super) fn trial_value(text: &str) -> Value {
    let read = serde_json::from_str(text).ok();
    read.filter(Value::is_object).unwrap_or_else(|| text.into())
}

/// Signs with another secret.
pub(super) fn rotate(one: &Subscription, form: &Form) -> Plan {
    let hint = "24h; 0s: not at all";
    let label = "How long the secret before goes on signing (empty: 24h)";
    let field = Field { decides: false, ..Field::new("overlap", label, hint, form) };
    let body =
        form.given("overlap").map_or_else(|| json!({}), |overlap| json!({ "overlap": overlap }));
    let says = format!(
        "Make another secret for {} and sign with it at once. It is shown here, once.",
        one.name
    );
    Plan { is_once: true, ..Plan::new(says, "Rotate the secret of", vec![field], Some(body)) }
}

/// Ends a replay before its time.
pub(super) fn cancel(form: &Form) -> Result<Plan, Told> {
    let id: i64 = form.text("id").parse().map_err(|_| wrong("id", "expected a number"))?;
    let mut field = Field::new("id", "Replay", "", form);
    (field.is_needed, field.decides) = (true, false);
    let says = format!("Cancel replay {id}: what is in flight may still arrive.");
    let plan = Plan::new(says, "Cancel", vec![field], Some(json!({})));
    Ok(Plan { method: Method::DELETE, id, ..plan })
}

/// Sets where the next walk of a source begins.
pub(super) fn cursor(name: &str, form: &Form) -> Result<Plan, Told> {
    let hint = "JSON as the source shows it, or null";
    let field = Field { is_needed: true, ..Field::new("cursor", "Cursor", hint, form) };
    let Some(given) = form.given("cursor") else {
        let says =
            format!("Set where the next walk of {name} begins. What is under way keeps nothing.");
        return Ok(Plan::new(says, "Set the cursor of", vec![field], None));
    };
    let cursor: Value = serde_json::from_str(given)
        .map_err(|error| wrong("cursor", format!("no JSON: {error}")))?;
    let says =
        format!("The next walk of {name} begins at {cursor}. What is under way keeps nothing.");
    Ok(Plan::new(says, "Set the cursor of", vec![field], Some(json!({ "cursor": cursor }))))
}
