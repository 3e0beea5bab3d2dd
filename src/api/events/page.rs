//! One page of events as JSON or as a CloudEvents batch, with what caches and pagers need.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{
    media::Media,
    selection::{Selection, Skipped},
};
use crate::{
    api::{ApiState, budget::Held, held::Counted, problem::Problem, query::Query},
    event::{Event, Version},
    store::TopicState,
    wire,
};

/// How many events of the page its filter failed on; absent when there are none.
const SKIPPED: header::HeaderName = header::HeaderName::from_static("milkrun-skipped");
/// The most events that one request looks at.
const LOOK_MAX: usize = 10_000;
/// A page ends with the event that brings it here, or sooner when there is less room.
const PAGE_BYTES: usize = 8 << 20;
const READ_BYTES: usize = 4 << 20;
/// What is encoded in one go, in about a millisecond: each turn that ends wakes another thread.
const TURN_BYTES: usize = 1 << 20;
/// A page ends with as many events that its filter failed on, so that each can be told.
const SKIPPED_MAX: usize = 1_000;

struct Page {
    first: Version,
    next: Version,
    events: Vec<Arc<Event>>,
    skipped: Vec<Skipped>,
    looked: usize,
    full: bool,
    state: Arc<TopicState>,
    /// What it counts as until it has been sent.
    held: Held,
}

/// Reads one page, waiting up to `wait` for a first event, and answers it.
pub(super) async fn answer(
    api: &ApiState,
    selection: Selection,
    query: &Query,
    headers: &HeaderMap,
    media: Media,
    (limit, wait): (usize, Option<Duration>),
) -> Result<Response, Problem> {
    let mut page = match wait {
        Some(wait) => gather_or_wait(api, selection.clone(), limit, wait).await?,
        None => gather(api, &mut selection.clone(), limit).await?,
    };
    let next = page.state.cursor(page.next).to_string();
    let link = format!(
        "</v1/topics/{}/events?{}>; rel=\"next\"",
        selection.topic,
        query.next_page(&next, &["at", "since"])
    );
    let mut out = HeaderMap::new();
    out.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if let Ok(link) = HeaderValue::from_str(&link) {
        out.insert(header::LINK, link);
    }
    if page.full {
        let scope = if page.state.settings.public { "public" } else { "private" };
        let tag = format!(
            "\"{}-{}-{}-{}-{}\"",
            page.state.epoch_of(page.next),
            page.first,
            page.next,
            if media == Media::Json { "json" } else { "batch" },
            page.state.edit
        );
        set(&mut out, header::CACHE_CONTROL, &format!("{scope}, max-age=3600"));
        set(&mut out, header::ETAG, &tag);
        if matches_tag(headers, &tag) {
            return Ok((StatusCode::NOT_MODIFIED, out).into_response());
        }
    } else {
        set(&mut out, header::CACHE_CONTROL, "no-store");
    }
    set(&mut out, header::CONTENT_TYPE, media.name());
    if !page.skipped.is_empty() {
        // A batch has no place for it, and JSON says which.
        out.insert(SKIPPED, HeaderValue::from(page.skipped.len()));
    }
    // What was read and what is made of it.
    let bytes: usize = page.events.iter().map(|event| wire::bytes_of(event)).sum();
    page.held.fit(&api.budget, 2 * bytes)?;
    let body = encode(&page, &next, media, bytes).await;
    page.held.fit(&api.budget, body.capacity())?;
    let (body, _) = page.held.lend(body);
    Ok((out, Extension(Counted), Body::from(body)).into_response())
}

fn set(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// `If-None-Match` (RFC 9110, section 13.1.2); a tag that compression marked counts as its own.
fn matches_tag(headers: &HeaderMap, tag: &str) -> bool {
    let bare = tag.trim_matches('"');
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|given| given.trim().trim_start_matches("W/").trim_matches('"'))
        .any(|given| given == "*" || given.strip_suffix("-gzip").unwrap_or(given) == bare)
}

async fn gather(api: &ApiState, selection: &mut Selection, limit: usize) -> Result<Page, Problem> {
    let first = selection.after.next();
    let room = api.budget.page(PAGE_BYTES)?;
    let read_bytes = READ_BYTES.min(room.bytes);
    let (mut events, mut skipped, mut looked, mut bytes) = (Vec::new(), Vec::new(), 0, 0);
    loop {
        let wanted = limit - events.len();
        let found = selection.look(api, LOOK_MAX - looked, wanted, read_bytes).await?;
        looked += found.looked;
        bytes += found.events.iter().map(|event| event.size_bytes()).sum::<usize>();
        events.extend(found.events);
        skipped.extend(found.skipped);
        let full = events.len() >= limit;
        let at_end =
            found.looked == 0 || selection.is_done() || selection.after >= found.state.head;
        let long = looked >= LOOK_MAX || skipped.len() >= SKIPPED_MAX;
        if full || at_end || long || bytes >= room.bytes {
            let (next, held, state) = (selection.after, room.held, found.state);
            return Ok(Page { first, next, events, skipped, looked, full, state, held });
        }
    }
}

/// As [`gather`], but at the head waits for the next commit: the watch is taken before the look,
/// so none is missed.
async fn gather_or_wait(
    api: &ApiState,
    mut selection: Selection,
    limit: usize,
    wait: Duration,
) -> Result<Page, Problem> {
    let _place = api.take_place()?;
    let deadline = api.clock.steady().plus(wait);
    let mut head = api.store.head(&selection.topic).await?;
    loop {
        head.borrow_and_update();
        let mut page = gather(api, &mut selection, limit).await?;
        let found = !page.events.is_empty() || !page.skipped.is_empty();
        if found || page.looked >= LOOK_MAX || selection.is_done() {
            return Ok(page);
        }
        // Nothing is held by who waits.
        page.held.fit(&api.budget, 0)?;
        tokio::select! {
            changed = head.changed() => if changed.is_err() {
                // The topic has gone, or come back.
                head = api.store.head(&selection.topic).await?;
            },
            () = api.clock.until(deadline) => return Ok(page),
            () = api.stopping.cancelled() => return Ok(page),
        }
    }
}

async fn encode(page: &Page, next: &str, media: Media, bytes: usize) -> Vec<u8> {
    let topic = &page.state.topic;
    let mut out = Vec::with_capacity(bytes + 200);
    if media == Media::Json {
        let epoch = page.state.epoch_of(page.next);
        out.extend_from_slice(format!("{{\"topic\":\"{topic}\",\"epoch\":\"{epoch}\",").as_bytes());
        if !page.full {
            let (head, oldest) = (page.state.head, page.state.oldest);
            out.extend_from_slice(format!("\"head\":{head},\"oldest\":{oldest},").as_bytes());
        }
        if !page.skipped.is_empty() {
            let skipped = serde_json::json!(page.skipped);
            out.extend_from_slice(format!("\"skipped\":{skipped},").as_bytes());
        }
        out.extend_from_slice(format!("\"next\":\"{next}\",\"events\":").as_bytes());
    }
    out.push(b'[');
    let mut turn = TURN_BYTES;
    for (index, event) in page.events.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match media {
            Media::Json => wire::write_numbered(&mut out, event, topic),
            _ => wire::write_structured(&mut out, event, topic),
        }
        if out.len() > turn {
            // Others are served meanwhile.
            tokio::task::yield_now().await;
            turn = out.len() + TURN_BYTES;
        }
    }
    out.push(b']');
    if media == Media::Json {
        out.push(b'}');
    }
    out
}
