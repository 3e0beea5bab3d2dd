//! `milkrun publish`: events into a topic, from the command line.

use std::{
    io::{IsTerminal as _, Read as _},
    path::{Path, PathBuf},
};

use probes::period::Period;
use reqwest::Method;
use serde_json::{Map, Value, json, value::RawValue};

use super::{Failure, Options, client::Client, when::When};
use crate::{clock, event::Micros, wire};

const EXAMPLE: &str = "\
  milkrun publish orders --type order.placed --data id=7 --data total=12.50
  milkrun publish orders order.json --key customer-7
  curl -s https://shop.example/export | milkrun publish orders -

What FILE holds is the data of one event, byte for byte. If it is a CloudEvent or an array of them
(with `specversion`), it is published as it is.";

/// The longest file: what the relay takes at once.
const FILE_BYTES_MAX: u64 = 8 << 20;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    /// Where to.
    topic: String,
    /// The data, or CloudEvents; `-` is stdin.
    #[arg(conflicts_with = "data")]
    file: Option<PathBuf>,
    /// A field of the data; the value is JSON where it can be read as that, else a text.
    #[arg(long, value_name = "NAME=VALUE")]
    data: Vec<String>,
    /// The event's type [default: TOPIC.event].
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Its id, by which it is known together with its source [default: at random].
    #[arg(long, conflicts_with = "count")]
    id: Option<String>,
    /// Its source.
    #[arg(long, default_value = "/milkrun/publish")]
    source: String,
    /// Its subject.
    #[arg(long)]
    subject: Option<String>,
    /// Its ordering key.
    #[arg(long)]
    key: Option<String>,
    /// When it goes into the log, as `10m` from now or as a time; till then it is pending.
    #[arg(long, value_name = "TIME")]
    deliver_at: Option<String>,
    /// So many events alike, each with an id of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// How long to wait between two of them; by default they are published together.
    #[arg(long, requires = "count", value_name = "TIME")]
    every: Option<Period>,
}

/// Events of one request when there are many.
const TOGETHER: u32 = 1_000;

pub(crate) async fn run(args: Args, options: &Options) -> Result<(), Failure> {
    let client = options.client()?;
    let body = body(&args)?;
    let mut placed = Vec::new();
    if let Body::Whole(text, media) = &body {
        placed.extend(send(&client, &args.topic, media, text.clone()).await?);
    } else {
        let mut left = args.count;
        while left > 0 {
            let together = if args.every.is_some() { 1 } else { left.min(TOGETHER) };
            let events: Result<Vec<String>, Failure> =
                (0..together).map(|_| args.event(&body)).collect();
            let batch = format!("[{}]", events?.join(","));
            placed.extend(send(&client, &args.topic, wire::BATCH, batch).await?);
            left -= together;
            if let Some(every) = args.every.filter(|_| left > 0) {
                tokio::time::sleep(every.0).await;
            }
        }
    }
    let columns = [
        ("VERSION", "/version"),
        ("EPOCH", "/epoch"),
        ("PENDING", "/pending"),
        ("DUPLICATE", "/duplicate"),
    ];
    Ok(options.output.list(&json!({ "events": placed }), "events", &columns)?)
}

/// What is to be published.
enum Body {
    /// CloudEvents as they are, and how they are called.
    Whole(String, &'static str),
    /// The data of an event as JSON.
    Json(Box<RawValue>),
    /// The data of an event as text.
    Text(String),
    /// No data.
    Nothing,
}

fn body(args: &Args) -> Result<Body, Failure> {
    let Some(file) = &args.file else { return fields(&args.data) };
    let text = read(file)?;
    let Ok(raw) = RawValue::from_string(text.trim().to_owned()) else {
        return Ok(Body::Text(text));
    };
    let is_event = |value: &Value| value.get("specversion").is_some();
    // Only looked at: what is sent are the bytes of the file.
    Ok(match serde_json::from_str::<Value>(raw.get()) {
        Ok(Value::Array(all)) if !all.is_empty() && all.iter().all(is_event) => {
            Body::Whole(text, wire::BATCH)
        }
        Ok(value) if is_event(&value) => Body::Whole(text, wire::STRUCTURED),
        _ => Body::Json(raw),
    })
}

/// The data of fields that were given one by one.
fn fields(given: &[String]) -> Result<Body, Failure> {
    if given.is_empty() {
        return Ok(Body::Nothing);
    }
    let mut fields = Vec::new();
    for field in given {
        let (name, value) = field.split_once('=').ok_or_else(|| {
            Failure::usage(format!("`--data {field}`: expected a field, as total=12.50"))
        })?;
        // Digits stay as they were written.
        let value = match RawValue::from_string(value.to_owned()) {
            Ok(raw) => raw.get().to_owned(),
            Err(_) => json!(value).to_string(),
        };
        fields.push(format!("{}:{value}", json!(name)));
    }
    let text = format!("{{{}}}", fields.join(","));
    Ok(RawValue::from_string(text).map_or(Body::Nothing, Body::Json))
}

fn read(file: &Path) -> Result<String, Failure> {
    let cannot = |error: std::io::Error| Failure::new(format!("{}: {error}", file.display()));
    let mut text = String::new();
    if file.as_os_str() == "-" {
        if std::io::stdin().is_terminal() {
            super::output::say("reading what is typed, up to Ctrl-D");
        }
        std::io::stdin().take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(cannot)?;
    } else {
        let opened = std::fs::File::open(file).map_err(cannot)?;
        opened.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(cannot)?;
    }
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(Failure::new(format!("{}: larger than 8 MiB", file.display())));
    }
    Ok(text)
}

async fn send(
    client: &Client,
    topic: &str,
    media: &str,
    body: String,
) -> Result<Vec<Value>, Failure> {
    let path = ["v1", "topics", topic, "events"];
    let answer = client.send(Method::POST, &path, media, body).await?;
    let answer: Value =
        serde_json::from_str(&answer).map_err(|error| Failure::new(error.to_string()))?;
    Ok(answer["events"].as_array().cloned().unwrap_or_default())
}

impl Args {
    /// One event with this data, as a CloudEvent.
    fn event(&self, body: &Body) -> Result<String, Failure> {
        let id = self.id.clone().unwrap_or_else(|| clock::fresh_uuid().to_string());
        let kind = self.kind.clone().unwrap_or_else(|| format!("{}.event", self.topic));
        let mut event = Map::new();
        event.insert("specversion".into(), json!("1.0"));
        event.insert("id".into(), json!(id));
        event.insert("source".into(), json!(self.source));
        event.insert("type".into(), json!(kind));
        event.extend(self.subject.as_ref().map(|subject| ("subject".into(), json!(subject))));
        event.extend(self.key.as_ref().map(|key| ("partitionkey".into(), json!(key))));
        if let Some(text) = &self.deliver_at {
            event.insert("deliverat".into(), json!(deliver_at(text)?.to_string()));
        }
        if matches!(body, Body::Text(_)) {
            event.insert("datacontenttype".into(), json!("text/plain"));
        }
        let head = Value::Object(event).to_string();
        let open = head.trim_end_matches('}');
        Ok(match body {
            Body::Json(data) => format!("{open},\"data\":{}}}", data.get()),
            Body::Text(text) => format!("{open},\"data\":{}}}", json!(text)),
            Body::Whole(..) | Body::Nothing => head,
        })
    }
}

fn deliver_at(text: &str) -> Result<Micros, Failure> {
    let now = clock::Clock::system().now();
    When::read(text).map(|when| when.from(now)).ok_or_else(|| {
        Failure::usage(format!(
            "`--deliver-at {text}`: expected how long from now, as `10m`, or a time, as 2027-01-01T00:00:00Z"
        ))
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn event(words: &str) -> Value {
        let args = Line::parse_from(["publish"].into_iter().chain(words.split(' '))).args;
        let text = args.event(&body(&args).unwrap()).unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn fields_are_json_where_they_can_be() {
        let event = event("orders --data id=7 --data name=tea --data on=true --key k --id 1");
        assert_eq!(event["data"], json!({"id": 7, "name": "tea", "on": true}));
        assert_eq!(event["partitionkey"], "k");
        assert_eq!((&event["type"], &event["id"]), (&json!("orders.event"), &json!("1")));
        let args = Line::parse_from(["publish", "o", "--data", "n=1.50"]).args;
        let text = args.event(&body(&args).unwrap()).unwrap();
        assert!(text.ends_with("\"data\":{\"n\":1.50}}"), "{text}");
        assert!(fields(&["total".into()]).is_err());
    }

    #[test]
    fn a_file_is_data_or_events() {
        let folder = tempfile::tempdir().unwrap();
        let of = |text: &str| {
            let path = folder.path().join("file");
            std::fs::write(&path, text).unwrap();
            let path = path.display().to_string();
            body(&Line::parse_from(["publish", "o", &path]).args).unwrap()
        };
        assert!(matches!(of("{\"a\": 1.50}"), Body::Json(raw) if raw.get() == "{\"a\": 1.50}"));
        assert!(matches!(of("plain words"), Body::Text(text) if text == "plain words"));
        let one = "{\"specversion\": \"1.0\"}";
        assert!(matches!(of(one), Body::Whole(_, wire::STRUCTURED)));
        assert!(matches!(of(&format!("[{one}, {one}]")), Body::Whole(_, wire::BATCH)));
        assert!(matches!(of(&format!("[{one}, 1]")), Body::Json(_)), "an array of data");
    }

    #[test]
    fn a_time_is_told_from_now_or_as_it_is() {
        assert!(event("o --deliver-at 10m")["deliverat"].is_string());
        let at = event("o --deliver-at 2027-01-01T00:00:00Z");
        assert_eq!(at["deliverat"], "2027-01-01T00:00:00.000000Z");
        assert!(deliver_at("soon").is_err());
    }
}
