//! What an action would do, as a sentence with its number, and as the call that does it.

use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::shown::{Letters, Position, Subscription, Topic, grouped};
use crate::console::{
    form::Form,
    link::{query, segment},
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
    fn new(name: &'static str, label: &'static str, hint: &'static str, form: &Form) -> Self {
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

    fn new(says: String, verb: &'static str, fields: Vec<Field>, body: Option<Value>) -> Self {
        Self {
            says,
            verb,
            fields,
            body,
            shows: false,
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

fn wrong(field: &str, detail: impl std::fmt::Display) -> Told {
    let detail = format!("`{field}`: {detail}");
    Told { status: 400, code: "bad_parameter".to_owned(), detail }
}

/// A place that somebody typed, as the API takes it: a word, a version, a cursor, or an instant.
fn place(visit: &Visit, field: &str, text: &str) -> Result<String, Told> {
    let is_cursor = text.chars().all(|letter| letter.is_ascii_hexdigit() || letter == '-');
    let is_time = text.len() > 17 && text.contains(':');
    if matches!(text, "latest" | "earliest") || (is_cursor && !is_time) {
        return Ok(text.to_owned());
    }
    typed(text, visit.now).map(|at| at.to_string()).map_err(|error| wrong(field, error))
}

#[derive(Deserialize)]
struct First {
    events: Vec<Versioned>,
}

#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

/// The first version from a place on, and the topic.
async fn first(visit: &Visit, topic: &str, from: &str) -> Result<(u64, Topic), Told> {
    let path = format!("/v1/topics/{}", segment(topic));
    let read = |_| wrong("topic", "the API's answer cannot be read");
    let bytes = visit.ask(Method::GET, &path, None).await?;
    let state: Topic = serde_json::from_slice(&bytes).map_err(read)?;
    let version = from.rsplit_once('-').map_or(from, |(_, version)| version);
    let at = match (from, version.parse::<u64>()) {
        ("latest", _) => state.head + 1,
        ("earliest", _) => state.oldest,
        (_, Ok(version)) if !from.contains(':') => version,
        _ => {
            let events = format!("{path}/events{}", query(&[("since", from), ("limit", "1")]));
            let bytes = visit.ask(Method::GET, &events, None).await?;
            let found: First = serde_json::from_slice(&bytes).map_err(read)?;
            found.events.first().map_or(state.head + 1, |event| event.version)
        }
    };
    Ok((at, state))
}

/// The positions that are meant.
fn meant<'a>(one: &'a Subscription, form: &Form) -> Result<Vec<&'a Position>, Told> {
    let topic = form.text("topic");
    let some: Vec<&Position> =
        one.positions.iter().filter(|at| topic.is_empty() || at.topic == topic).collect();
    if some.is_empty() {
        return Err(wrong("topic", format!("{} is in no topic of this name", one.name)));
    }
    Ok(some)
}

fn topic_field(one: &Subscription, form: &Form, needed: bool) -> Option<Field> {
    (one.positions.len() > 1).then(|| Field {
        is_needed: needed,
        ..Field::new("topic", "Topic", "empty: every topic", form)
    })
}

const PLACES: &str = "latest, earliest, a version, a cursor, a time, 10m";

/// Resumes where it stands, or elsewhere.
pub(super) async fn resume(visit: &Visit, one: &Subscription, form: &Form) -> Result<Plan, Told> {
    let mut fields = vec![Field::new("from", "From (empty: where it stands)", PLACES, form)];
    fields.extend(topic_field(one, form, false));
    let Some(from) = form.given("from") else {
        let owed = grouped(one.owed);
        let says = format!("Resume {} where it stands: {owed} events are owed.", one.name);
        return Ok(Plan::new(says, "Resume", fields, Some(json!({}))));
    };
    let (says, body) = moved(visit, one, form, from).await?;
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
    let (says, body) = moved(visit, one, form, from).await?;
    let says = format!("Move {} {says}", one.name);
    Ok(Plan::new(says, "Rewind", fields, Some(body)))
}

/// What is delivered from a place on, and the body that says so.
async fn moved(
    visit: &Visit,
    one: &Subscription,
    form: &Form,
    from: &str,
) -> Result<(String, Value), Told> {
    let from = place(visit, "from", from)?;
    let (mut count, mut places) = (0, Vec::new());
    for at in meant(one, form)? {
        let (first, state) = first(visit, &at.topic, &from).await?;
        count += (state.head + 1).saturating_sub(first);
        places.push(format!("{} @ {}", at.topic, grouped(first)));
    }
    let mut body = json!({ "from": from });
    if let Some(topic) = form.given("topic") {
        body["topic"] = topic.into();
    }
    let says = format!(
        "to {} ({from}): {} events from there to the head are looked at, and delivered as the filter wants them, again if they were already.",
        places.join(", "),
        grouped(count)
    );
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
    let from = place(visit, "from", from)?;
    let topic = meant(one, form)?[0].topic.clone();
    let (begin, state) = first(visit, &topic, &from).await?;
    let mut body = json!({ "from": from, "topic": topic });
    let mut end = state.head;
    if let Some(to) = form.given("to") {
        let to = place(visit, "to", to)?;
        let (at, _) = first(visit, &topic, &to).await?;
        // A time is the end that is not wanted any more.
        end = if to.contains(':') { at.saturating_sub(1) } else { at.min(state.head) };
        body["to"] = to.into();
    }
    if let Some(rate) = form.given("rate") {
        body["rate"] = rate.into();
    }
    let count = (end + 1).saturating_sub(begin);
    let says = format!(
        "Deliver {} events of {topic} to {} again: versions {} to {}, as the filter wants them.",
        grouped(count),
        one.name,
        grouped(begin),
        grouped(end)
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
    let count = if body.is_empty() {
        body.insert("all".to_owned(), true.into());
        grouped(one.dead())
    } else {
        let texts: Vec<(String, String)> = body
            .iter()
            .map(|(name, value)| {
                (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            })
            .collect();
        let mut pairs: Vec<(&str, &str)> =
            texts.iter().map(|(name, text)| (&**name, &**text)).collect();
        pairs.push(("limit", "1000"));
        let path =
            format!("/v1/subscriptions/{}/dead-letters{}", segment(&one.name), query(&pairs));
        let bytes = visit.ask(Method::GET, &path, None).await?;
        let found: Letters =
            serde_json::from_slice(&bytes).map_err(|error| wrong("dead letters", error))?;
        let count = grouped(found.dead_letters.len() as u64);
        if found.next.is_some() { format!("at least {count}") } else { count }
    };
    if let Some(rate) = form.given("rate") {
        body.insert("rate".to_owned(), rate.into());
        said.push(format!("at {rate}"));
    }
    let said = if said.is_empty() { "all of them".to_owned() } else { said.join(", ") };
    let says = format!("Redrive {count} dead letters of {}: {said}.", one.name);
    Ok(Plan::new(says, "Redrive", fields, Some(Value::Object(body))))
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
