//! The walk of `milkrun probe NAME --dry-run`: asks the producer, tells everything, stores nothing.

use std::{collections::HashMap, time::Duration};

use probes::{
    Ask, Budget, Exchange, Failure as ProbeFailure, FailureKind, Network, Next, Page, Probe, Walk,
};
use serde_json::{Value, json};

use super::{
    Failure,
    output::{Output, print, table},
    source_story::ago,
};
use crate::{clock::Clock, config::Limits, event::Micros};

/// How long one run waits for the producer, all pauses together.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// The first pause after an answer that was not ready, if the producer names none.
const WAIT_FIRST_S: u64 = 2;

/// One run.
pub(super) struct DryRun<'a> {
    /// The source's name.
    pub(super) name: &'a str,
    pub(super) probe: &'a dyn Probe,
    pub(super) network: &'a Network,
    pub(super) output: Output,
    pub(super) clock: Clock,
    /// At most so many pages.
    pub(super) pages: u32,
}

/// The ids of the run so far, each with the page that had it first.
type Seen = HashMap<(String, String), u32>;

impl DryRun<'_> {
    /// Walks from `cursor`, as a relay would.
    pub(super) async fn walk(&self, cursor: Option<&String>) -> Result<(), Failure> {
        let budget = Budget::new(Limits::default().walk_bytes_max);
        let (mut mark, mut pages, mut waits) = (None, 0, 0);
        let (mut seen, mut left) = (Seen::new(), WAIT_MAX);
        loop {
            let now = self.clock.now().timestamp();
            let ask = Ask { explain: true, ..Ask::new(cursor, mark.as_ref(), now) };
            let page = match self.probe.page(self.network, &budget, ask).await {
                Ok(page) => page,
                Err(failure) => {
                    self.show_failed(&failure)?;
                    let pause_s = pause_after(&failure, waits);
                    waits += 1;
                    if failure.kind == FailureKind::Waiting && self.wait(pause_s, &mut left).await?
                    {
                        continue;
                    }
                    return Err(Failure::new(told(&failure, self.name, pause_s)));
                }
            };
            (pages, waits) = (pages + 1, 0);
            self.show(&page, pages, &mut seen)?;
            match page.next {
                Next::Done(walk) => return self.show_end(walk),
                Next::Page(_) if pages == self.pages => {
                    return self.say(&format!("stopped after {pages} pages; more with --pages"));
                }
                Next::Page(next) => mark = Some(next),
            }
            let pause_s = page.pace.retry_after_s.unwrap_or(0);
            if pause_s > 0 && !self.wait(pause_s, &mut left).await? {
                return self.say("stopped here");
            }
        }
    }

    /// Waits for the producer, if it does not want too much; whether it did.
    async fn wait(&self, pause_s: u64, left: &mut Duration) -> Result<bool, Failure> {
        let pause = Duration::from_secs(pause_s);
        let Some(rest) = left.checked_sub(pause) else {
            self.say(&format!(
                "a relay would go on in {pause_s} s, and keep its place until then"
            ))?;
            return Ok(false);
        };
        *left = rest;
        self.say(&format!("waits {pause_s} s for the producer …"))?;
        self.clock.pause(pause).await;
        Ok(true)
    }

    /// A word for a person; what a program reads stays JSON.
    fn say(&self, text: &str) -> Result<(), Failure> {
        match self.output {
            Output::Json => Ok(self.output.one(&json!({ "note": text }))?),
            Output::Table => Ok(print(text)?),
        }
    }

    /// One page: the request, what came back, what was extracted, in listed order.
    fn show(&self, page: &Page, number: u32, seen: &mut Seen) -> Result<(), Failure> {
        let told = page_json(page, number, seen);
        if self.output == Output::Json {
            return Ok(self.output.one(&told)?);
        }
        Ok(print(&page_text(page, &told, self.clock.now()))?)
    }

    /// A request that gave no page, and what it was answered.
    fn show_failed(&self, failure: &ProbeFailure) -> Result<(), Failure> {
        let Some(exchange) = &failure.exchange else { return Ok(()) };
        match self.output {
            Output::Json => Ok(self.output.one(&json!({ "exchange": exchange }))?),
            Output::Table => Ok(print(&unusable(exchange))?),
        }
    }

    fn show_end(&self, walk: Walk) -> Result<(), Failure> {
        let end = json!({
            "stopped_by": walk.stopped_by,
            "unchanged": walk.unchanged,
            "gap": walk.gap.map(|gap| format!("{}: {}", gap.reason, gap.detail)),
            "warnings": walk.warnings,
            "next_cursor": walk.cursor,
        });
        Ok(self.output.one(&end)?)
    }
}

/// How long a relay would stay away after a failure, in seconds; 0: as its schedule says.
fn pause_after(failure: &ProbeFailure, waits: u32) -> u64 {
    let said = failure.pace.retry_after_s.filter(|pause| *pause > 0);
    let own = match failure.kind {
        FailureKind::Waiting => WAIT_FIRST_S.saturating_mul(2_u64.saturating_pow(waits)),
        _ => 0,
    };
    said.unwrap_or(own)
}

/// A failure with what helps, and when a relay would ask again.
fn told(failure: &ProbeFailure, name: &str, pause_s: u64) -> String {
    let mut told = vec![format!("{}: {}", failure.kind.as_str(), failure.message)];
    // Who reads this has run that already.
    let help = failure.help_for(name).filter(|help| !help.contains("--dry-run"));
    told.extend(help.map(|help| format!("helps: {help}")));
    if pause_s > 0 {
        told.push(format!("a relay would ask again in {pause_s} s"));
    }
    told.join("\n")
}

/// What was found on a page. An event whose source and id the run has shown is a duplicate.
fn page_json(page: &Page, number: u32, seen: &mut Seen) -> Value {
    let mut duplicates = Vec::new();
    for draft in &page.drafts {
        let key = (draft.source.clone(), draft.id.clone());
        if let Some(first) = seen.get(&key) {
            duplicates.push(json!({ "id": draft.id, "first_on_page": first }));
        } else {
            seen.insert(key, number);
        }
    }
    let drafts = page.drafts.iter().map(|draft| {
        json!({
            "id": draft.id, "source": draft.source, "type": draft.kind, "time": draft.time,
            "subject": draft.subject, "key": draft.key,
            "data": String::from_utf8_lossy(&draft.data),
        })
    });
    let rejected = page
        .rejected
        .iter()
        .map(|one| json!({ "reason": one.reason, "item": String::from_utf8_lossy(&one.item) }));
    let others = page.others.iter().map(|(name, value)| json!({ "name": name, "value": value }));
    json!({
        "page": number,
        "exchange": page.exchange.clone().unwrap_or_default(),
        "events": drafts.collect::<Vec<_>>(),
        "rejected": rejected.collect::<Vec<_>>(),
        "field_errors": page.field_errors,
        "duplicates": duplicates,
        "others": others.collect::<Vec<_>>(),
    })
}

/// The same for a person; a time is a moment that one can place.
fn page_text(page: &Page, told: &Value, now: Micros) -> String {
    let mut parts = vec![request(&page.exchange.clone().unwrap_or_default())];
    let mut events = told["events"].as_array().cloned().unwrap_or_default();
    for event in &mut events {
        let at = event["time"].as_str().and_then(|at| at.parse::<Micros>().ok());
        if let Some(at) = at {
            event["time"] = format!("{at} ({})", ago(at, now)).into();
        }
    }
    let columns = [
        ("ID", "/id"),
        ("TYPE", "/type"),
        ("TIME", "/time"),
        ("KEY", "/key"),
        ("SUBJECT", "/subject"),
    ];
    parts.push(table(&events, &columns));
    let list = |field: &str| told[field].as_array().cloned().unwrap_or_default();
    for (field, columns) in [
        ("duplicates", [("WOULD BE A DUPLICATE", "/id"), ("FIRST ON PAGE", "/first_on_page")]),
        ("rejected", [("REJECTED", "/reason"), ("ITEM", "/item")]),
        ("others", [("OTHER FIELD", "/name"), ("VALUE", "/value")]),
    ] {
        let items = list(field);
        if !items.is_empty() {
            parts.push(table(&items, &columns));
        }
    }
    parts.extend(page.field_errors.told());
    parts.push(String::new());
    parts.join("\n")
}

/// A request and its answer, in lines.
fn request(exchange: &Exchange) -> String {
    let mut lines = vec![format!("{} {}", exchange.method, exchange.url)];
    lines.extend(exchange.headers.iter().map(|(name, value)| format!("  {name}: {value}")));
    lines.extend(exchange.body.iter().map(|body| format!("  {body}")));
    let kind = Some(exchange.content_type.as_str()).filter(|kind| !kind.is_empty());
    let kind = kind.unwrap_or("no content type");
    lines.push(match exchange.status {
        None => "  → no answer".into(),
        Some(status) => {
            format!("  → {status}  {kind}  {} bytes  {} items", exchange.bytes, exchange.items)
        }
    });
    lines.join("\n")
}

/// A request and an answer that cannot be used, with how that begins.
fn unusable(exchange: &Exchange) -> String {
    let shown = request(exchange);
    if exchange.first.is_empty() { shown } else { format!("{shown}\n  → {}", exchange.first) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use probes::{Draft, FieldErrors, Pace};

    use super::*;

    fn exchange() -> Exchange {
        Exchange {
            method: "POST".into(),
            url: "https://a.example/list?key=***".into(),
            headers: vec![("authorization".into(), "***".into())],
            body: Some(r#"{"from":0}"#.into()),
            status: Some(500),
            content_type: "text/html".into(),
            bytes: 7,
            first: "<html>!".into(),
            ..Exchange::default()
        }
    }

    #[test]
    fn a_request_is_shown_with_its_body_and_answer() {
        let mut exchange = exchange();
        let asked = "POST https://a.example/list?key=***\n  authorization: ***\n  {\"from\":0}\n";
        let answered = format!("{asked}  → 500  text/html  7 bytes  0 items");
        assert_eq!(request(&exchange), answered);
        assert_eq!(unusable(&exchange), format!("{answered}\n  → <html>!"));
        exchange.status = None;
        assert_eq!(request(&exchange), format!("{asked}  → no answer"));
    }

    #[test]
    fn a_page_is_told_with_its_duplicates_times_and_other_fields() {
        let draft = |id: &str| Draft {
            id: id.into(),
            source: "https://a.example/".into(),
            kind: "sale".into(),
            time: Some("2026-03-01T10:00:00Z".into()),
            subject: None,
            key: None,
            content_type: None,
            data: Bytes::from_static(b"{}"),
        };
        let mut field_errors = FieldErrors::default();
        field_errors.add("key", "`k` is an object".into());
        let page = Page {
            learnt: None,
            drafts: vec![draft("a"), draft("b"), draft("a")],
            rejected: Vec::new(),
            field_errors,
            items: 3,
            next: Next::Page(String::new()),
            pace: Pace::default(),
            others: vec![("next_token".into(), "\"x\"".into())],
            exchange: Some(exchange()),
            held: None,
        };
        let (mut seen, now) = (Seen::new(), "2026-03-01T12:00:00Z".parse().unwrap());
        let told = page_json(&page, 1, &mut seen);
        assert_eq!(told["duplicates"], json!([{ "id": "a", "first_on_page": 1 }]));
        let text = page_text(&page, &told, now);
        for part in [
            "2026-03-01T10:00:00.000000Z (2 h ago)",
            "WOULD BE A DUPLICATE",
            "next_token",
            "`key` could not be read of 1 items: `k` is an object",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        let told = page_json(&page, 2, &mut seen);
        assert_eq!(told["duplicates"].as_array().unwrap().len(), 3, "over pages: {told}");
        assert_eq!(told["duplicates"][1], json!({ "id": "b", "first_on_page": 1 }));
    }

    #[test]
    fn pauses_are_the_producers_or_grow() {
        let failure = |kind, retry_after_s| ProbeFailure {
            kind,
            message: "m".into(),
            help: Some("`milkrun probe NAME --dry-run` shows it".into()),
            pace: Pace { retry_after_s, poll_interval_s: None },
            cursor: None,
            restart: false,
            gap: None,
            exchange: None,
        };
        for (kind, said, waits, pause) in [
            (FailureKind::Waiting, None, 0, 2),
            (FailureKind::Waiting, None, 2, 8),
            (FailureKind::Waiting, Some(7), 2, 7),
            (FailureKind::Waiting, Some(0), 0, 2),
            (FailureKind::Status(429), Some(9), 0, 9),
            (FailureKind::Status(500), None, 0, 0),
        ] {
            assert_eq!(pause_after(&failure(kind, said), waits), pause);
        }
        let told = told(&failure(FailureKind::Status(429), None), "shop", 9);
        let lines = [
            "status: m",
            // Not the command that told this.
            "a relay would ask again in 9 s",
        ];
        assert_eq!(told.lines().collect::<Vec<_>>(), lines);
    }
}
