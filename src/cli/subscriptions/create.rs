//! `milkrun subscriptions create`: the options, and the request that they make.

use serde_json::{Map, Value, json};

use super::set;
use crate::expr::Filter;

/// What a new subscription is asked for; the API says what is wrong with it.
#[derive(Debug, clap::Args)]
pub(super) struct Create {
    name: String,
    /// The webhook.
    #[arg(long)]
    url: String,
    /// A topic, or a pattern as `billing.*`; may be given several times.
    #[arg(long = "topic", required = true)]
    topics: Vec<String>,
    /// Where it begins: latest, earliest, a version, a cursor, or a time.
    #[arg(long, default_value = "latest")]
    from: String,
    /// Which events are sent: a CloudEvents filter in JSON, as {"prefix":{"type":"Push"}}, or an
    /// expression.
    #[arg(long)]
    filter: Option<String>,
    /// What is sent in the place of the event: JSON whose texts are expressions.
    #[arg(long, value_name = "JSON", value_parser = json_object)]
    transform: Option<Value>,
    /// How an event is put into a request: structured, binary, batch or data.
    #[arg(long)]
    format: Option<String>,
    /// Several events in one request: at most so many.
    #[arg(long, value_name = "COUNT")]
    batch_max_events: Option<u32>,
    /// The longest that an event waits for others of its batch, as 1s.
    #[arg(long, value_name = "TIME")]
    batch_max_wait: Option<String>,
    /// In which order events are tried: none, key or strict.
    #[arg(long)]
    order: Option<String>,
    /// The most events started in a time, as 100/s, 20/m or 5/h.
    #[arg(long)]
    rate: Option<String>,
    /// The most requests under way at once in each topic.
    #[arg(long, value_name = "COUNT")]
    concurrency: Option<u32>,
    /// The longest that one request may take, as 15s.
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
    /// The most attempts on one event; 1: it is sent at most once.
    #[arg(long, value_name = "COUNT")]
    max_attempts: Option<u32>,
    /// An extra header of every request; may be given several times.
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Its signing secret, as whsec_… or whsk_…; else one is made and shown once.
    #[arg(long, env = "MILKRUN_WEBHOOK_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// Make a private key (ed25519) that signs, in the place of a shared secret.
    #[arg(long, conflicts_with = "secret")]
    generate_ed25519: bool,
    /// Any other setting, as in the file: `gzip=true`, `hold.after=3`, `webhook.auth={"bearer":"…"}`;
    /// may be given several times.
    #[arg(long = "set", value_name = "SETTING=VALUE", value_parser = set::Setting::parse)]
    settings: Vec<set::Setting>,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("expected a name, a colon and a value")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn json_object(text: &str) -> Result<Value, String> {
    serde_json::from_str::<Map<String, Value>>(text)
        .map(Value::Object)
        .map_err(|error| format!("expected a JSON object: {error}"))
}

impl Create {
    /// The request's body: only what was said.
    pub(super) fn body(self) -> Result<Value, String> {
        let mut webhook = Map::from_iter([("url".to_owned(), json!(self.url))]);
        put(&mut webhook, "timeout", self.timeout);
        put(&mut webhook, "secret", self.secret);
        put(&mut webhook, "secret_kind", self.generate_ed25519.then_some("ed25519"));
        let headers: Map<String, Value> =
            self.headers.into_iter().map(|(name, value)| (name, value.into())).collect();
        put(&mut webhook, "headers", (!headers.is_empty()).then_some(headers));
        let mut batch = Map::new();
        put(&mut batch, "max_events", self.batch_max_events);
        put(&mut batch, "max_wait", self.batch_max_wait);
        let mut body = Map::new();
        put(&mut body, "name", Some(self.name));
        put(&mut body, "topics", Some(self.topics));
        put(&mut body, "from", Some(self.from));
        put(&mut body, "webhook", Some(webhook));
        put(&mut body, "filter", self.filter.map(Filter::of_text));
        put(&mut body, "transform", self.transform);
        put(&mut body, "format", self.format);
        put(&mut body, "batch", (!batch.is_empty()).then_some(batch));
        put(&mut body, "order", self.order);
        put(&mut body, "rate", self.rate);
        put(&mut body, "concurrency", self.concurrency);
        put(&mut body, "retry", self.max_attempts.map(|most| json!({ "max_attempts": most })));
        set::all(&mut body, self.settings)?;
        Ok(body.into())
    }
}

fn put(object: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object.insert(name.to_owned(), value.into());
    }
}
