//! The events of a topic in order, behind a cursor that moves only when one was acknowledged.

use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::sync::Mutex;

use super::{
    hand::{Hand, Handed},
    keep::Keep,
    request::Request,
};
use crate::{
    cli::{
        Failure,
        client::{Client, ClientError},
        events::is_last,
        output::{Output, print, say, text},
    },
    clock::Clock,
};

/// How long the relay is asked to wait for more.
const WAIT: &str = "30s";
/// Events of one page: what was read and not handed over is read again after a restart.
const PAGE_EVENTS: &str = "100";
/// The longest filter of a subscription that reading is asked to apply too, so that its URL stays short.
const FILTER_BYTES_MAX: usize = 2_000;
/// The first pause while there is no relay, and the longest.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often it is looked for topics that are new.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What is listened to.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) is_subscription: bool,
    pub(super) topics: Vec<String>,
    /// Whether topics that it comes to have are left out.
    pub(super) is_one_topic: bool,
}

/// Where a topic begins when no place was kept.
#[derive(Debug, Clone)]
pub(super) enum Start {
    After(String),
    Since(String),
    Head,
    Oldest,
}

/// Reads and hands over.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) client: Client,
    pub(super) clock: Clock,
    pub(super) subject: Subject,
    pub(super) filter: Option<String>,
    pub(super) once: bool,
    pub(super) hand: Hand,
    pub(super) keep: Option<Mutex<Keep>>,
    pub(super) output: Output,
}

#[derive(Debug, Deserialize)]
struct Page {
    next: String,
    /// Only on a page that is not full.
    head: Option<u64>,
    events: Vec<Box<RawValue>>,
    #[serde(default)]
    skipped: Vec<Skipped>,
}

#[derive(Debug, Deserialize)]
struct Skipped {
    version: u64,
    reason: String,
}

/// What is needed of an event.
#[derive(Debug, Deserialize)]
struct Head {
    version: u64,
    id: String,
}

impl Subject {
    /// For a person.
    pub(super) fn told(&self) -> String {
        let topics = self.topics.join(", ");
        if self.is_subscription {
            let topics = if topics.is_empty() { "no topic yet" } else { &topics };
            format!("subscription {} ({topics}); its place does not move", self.name)
        } else {
            format!("topic {topics}")
        }
    }
}

/// The topics that a subscription is in.
pub(super) fn topics_of(view: &Value) -> Vec<String> {
    let positions = view["positions"].as_array().into_iter().flatten();
    positions.filter_map(|one| one["topic"].as_str().map(ToOwned::to_owned)).collect()
}

/// What may not be there.
pub(super) fn found(answer: Result<Value, ClientError>) -> Result<Option<Value>, ClientError> {
    match answer {
        Err(ClientError::Refused { code, .. }) if code == "not_found" => Ok(None),
        other => other.map(Some),
    }
}

/// Whether the same may well be answered a moment later.
fn may_pass(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } | ClientError::Strange { .. } => true,
        ClientError::Refused { code, .. } => matches!(
            code.as_str(),
            "busy"
                | "closing"
                | "store_busy"
                | "store_lost"
                | "too_many_waiting"
                | "rate_limited"
                | "full"
                | "timeout"
                | "unknown"
                | "internal"
        ),
    }
}

fn is_code(error: &ClientError, wanted: &str) -> bool {
    matches!(error, ClientError::Refused { code, .. } if code == wanted)
}

impl Reader {
    /// Hands over what a topic has and what it gets, for ever or to its end.
    pub(super) async fn follow(&self, topic: &str, start: Start) -> Result<(), Failure> {
        let (mut after, mut since) = self.begin(topic, start).await?;
        loop {
            let page = match self.page(topic, &after, since.as_ref()).await {
                Ok(page) => page,
                Err(error) if is_code(&error, "gone") && !after.is_empty() => {
                    say(&format!(
                        "milkrun: topic {topic}: retention removed events behind {after} before they were \
                         read; going on with the oldest that is kept"
                    ));
                    after.clear();
                    continue;
                }
                Err(error) if is_code(&error, "history_changed") => {
                    return Err(Failure::new(format!(
                        "topic {topic}: {error}\nThe history that was listened to is no more: begin again \
                         with --since or --after, and another --keep file"
                    )));
                }
                Err(error) => return Err(error.into()),
            };
            self.page_over(topic, &page).await?;
            after = page.next;
            since = None;
            self.kept(topic, &after).await?;
            if self.once && is_last(&after, page.head) {
                return Ok(());
            }
        }
    }

    /// Where a topic begins: behind which cursor, or since when.
    async fn begin(&self, topic: &str, start: Start) -> Result<(String, Option<String>), Failure> {
        if let Some(keep) = &self.keep {
            let keep = keep.lock().await;
            if let Some(after) = keep.after(topic) {
                say(&format!(
                    "milkrun: topic {topic}: goes on behind {after}, the place that was kept"
                ));
                return Ok((after, None));
            }
            if keep.is_begun() {
                // It came since: nothing of it was seen.
                return Ok((String::new(), None));
            }
        }
        Ok(match start {
            Start::After(after) => (after, None),
            Start::Since(since) => (String::new(), Some(since)),
            Start::Oldest => (String::new(), None),
            Start::Head => {
                let view =
                    self.patient(async || self.client.get(&["v1", "topics", topic], &[]).await);
                let after = text(&view.await?["cursor"]);
                self.kept(topic, &after).await?;
                (after, None)
            }
        })
    }

    async fn page(
        &self,
        topic: &str,
        after: &str,
        since: Option<&String>,
    ) -> Result<Page, ClientError> {
        let mut query = vec![("limit", PAGE_EVENTS.to_owned())];
        if !after.is_empty() {
            query.push(("after", after.to_owned()));
        }
        query.extend(since.map(|since| ("since", since.clone())));
        query.extend(self.filter.clone().map(|filter| ("filter", filter)));
        if !self.once {
            query.push(("wait", WAIT.to_owned()));
        }
        let path = ["v1", "topics", topic, "events"];
        self.patient(async || {
            let mut query = query.clone();
            if self.filter.is_none() {
                query.extend(self.own_filter().await?.map(|filter| ("filter", filter)));
            }
            let text = self.client.text(Method::GET, &path, &query, None).await?;
            serde_json::from_str(&text).map_err(|error| self.client.strange(error.to_string()))
        })
        .await
    }

    /// The filter of the subscription, if the relay can apply it to what is read.
    async fn own_filter(&self) -> Result<Option<String>, ClientError> {
        if !self.subject.is_subscription {
            return Ok(None);
        }
        let view = self.client.get(&["v1", "subscriptions", &self.subject.name], &[]).await?;
        let filter = match &view["filter"] {
            Value::Null => None,
            Value::String(expression) => Some(expression.clone()),
            filter => Some(filter.to_string()),
        };
        Ok(filter.filter(|filter| filter.len() <= FILTER_BYTES_MAX))
    }

    /// Hands over each event of a page.
    async fn page_over(&self, topic: &str, page: &Page) -> Result<(), Failure> {
        for Skipped { version, reason } in &page.skipped {
            say(&format!(
                "milkrun: {topic} {version}: passed over, for the filter fails on it: {reason}"
            ));
        }
        if page.events.is_empty() {
            return Ok(());
        }
        let view = if self.subject.is_subscription {
            Value::Null
        } else {
            self.patient(async || self.client.get(&["v1", "topics", topic], &[]).await).await?
        };
        for event in &page.events {
            let head: Head = serde_json::from_str(event.get())
                .map_err(|error| Failure::new(error.to_string()))?;
            let request = if self.subject.is_subscription {
                self.shown(topic, head.version).await?
            } else {
                Request::structured(&view, head.version, event.get())
            };
            let handed = match &request {
                Some(request) => {
                    let what = format!("{topic} {}", head.version);
                    Some(self.hand.over(request, &what, &self.clock).await)
                }
                None => None,
            };
            // Kept before it is told: who reads that it was handed over may end this at once.
            if let Some((epoch, _)) = page.next.rsplit_once('-') {
                self.kept_version(topic, epoch, &head, page).await?;
            }
            if let Some(handed) = &handed {
                self.tell(topic, &head, handed)?;
            }
        }
        Ok(())
    }

    /// Notes an event as done; its epoch is that of the page only when nothing began within it.
    async fn kept_version(
        &self,
        topic: &str,
        epoch: &str,
        head: &Head,
        page: &Page,
    ) -> Result<(), Failure> {
        let is_last = page.next.rsplit('-').next() == Some(&*head.version.to_string());
        let cursor =
            if is_last { format!("{epoch}-{}", head.version) } else { head.version.to_string() };
        self.kept(topic, &cursor).await
    }

    /// The request that a subscription makes of an event; `None`: none.
    async fn shown(&self, topic: &str, version: u64) -> Result<Option<Request>, Failure> {
        let path = ["v1", "subscriptions", &self.subject.name, "test"];
        let body = json!({ "topic": topic, "version": version });
        let passed = |why: &str| say(&format!("milkrun: {topic} {version}: passed over: {why}"));
        let view = match self.patient(async || self.client.post(&path, body.clone()).await).await {
            Err(error) if is_code(&error, "gone") || is_code(&error, "not_found") => {
                passed(&error.to_string());
                return Ok(None);
            }
            other => other?,
        };
        if let Some(problem) = view["error"].as_str() {
            passed(problem);
        }
        if view["matches"] != true || view["error"].is_string() {
            return Ok(None);
        }
        let made = Request::shown(&view["request"]);
        made.map(Some).ok_or_else(|| Failure::new("the relay shows a request that cannot be read"))
    }

    fn tell(&self, topic: &str, head: &Head, handed: &Handed) -> Result<(), Failure> {
        let Handed { answer, is_acknowledged, attempts, took } = handed;
        let (version, id, milliseconds) = (head.version, &head.id, took.as_millis());
        let time = self.clock.now().to_string();
        let line = if self.output == Output::Json {
            json!({ "time": time, "topic": topic, "version": version, "id": id, "answer": answer,
                "acknowledged": is_acknowledged, "attempts": attempts,
                "duration_ms": u64::try_from(milliseconds).unwrap_or(u64::MAX) })
            .to_string()
        } else {
            let given_up = if *is_acknowledged { "" } else { "  GIVEN UP" };
            let id = text(&id.clone().into());
            format!("{time}  {topic} {version}  {answer}  {milliseconds} ms  {id}{given_up}")
        };
        if self.hand.owns_stdout() {
            print(&line)?;
        } else {
            say(&line);
        }
        Ok(())
    }

    async fn kept(&self, topic: &str, cursor: &str) -> Result<(), Failure> {
        match &self.keep {
            Some(keep) if !cursor.is_empty() => keep.lock().await.set(topic, cursor),
            _ => Ok(()),
        }
    }

    /// The topics that the subscription has come to be in, as soon as there are any.
    pub(super) async fn appeared(&self, known: &[String]) -> Result<Vec<String>, Failure> {
        if !self.subject.is_subscription || self.subject.is_one_topic {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let path = ["v1", "subscriptions", &self.subject.name];
            let view = self.patient(async || self.client.get(&path, &[]).await).await?;
            let mut topics = topics_of(&view);
            topics.retain(|topic| !known.contains(topic));
            if !topics.is_empty() {
                return Ok(topics);
            }
        }
    }

    /// Asks the relay until it answers, and says when that takes a while.
    async fn patient<T>(
        &self,
        ask: impl AsyncFn() -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let (mut pause, mut waited) = (PAUSE, false);
        loop {
            match ask().await {
                Err(error) if may_pass(&error) => {
                    if !waited {
                        let told = error.to_string();
                        let first = told.lines().next().unwrap_or_default();
                        say(&format!("milkrun: waits for the relay: {first}"));
                    }
                    waited = true;
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                other => {
                    if waited {
                        say("milkrun: the relay answers again");
                    }
                    return other;
                }
            }
        }
    }
}
