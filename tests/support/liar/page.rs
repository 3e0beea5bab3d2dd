//! One page of the list: what a request asks for, and how the answer leads on.

use std::fmt;

use bytes::Bytes;
use http::{Request, header};
use serde_json::{Value, json};

use super::{
    PAGE, Shape, State,
    list::{Item, List, Order, Paging, Since},
    spelling,
    wire::Answer,
};

const URL: &str = "https://shop.example.com/list";

/// What a request asks for.
pub(super) struct Asked {
    pub cursor: Option<i64>,
    /// Whether it is for the first page of a walk.
    pub first: bool,
    /// The value for the page, as it came.
    place: Option<i64>,
    etag: Option<String>,
}

impl Asked {
    pub(super) fn read(request: &Request<Bytes>) -> Self {
        let query = request.uri().query().unwrap_or("");
        let number = |name: &str| {
            let mut pairs = url::form_urlencoded::parse(query.as_bytes());
            let value = pairs.find(|(known, _)| known == name)?.1;
            Some(value.parse().unwrap_or_else(|_| panic!("`{name}` is no number: {query}")))
        };
        let (page, offset, at, last) =
            (number("page"), number("offset"), number("at"), number("last"));
        let first = page.unwrap_or(1) == 1 && offset.unwrap_or(0) == 0 && at.or(last).is_none();
        let etag = request.headers().get(header::IF_NONE_MATCH);
        Self {
            cursor: number("since"),
            first,
            place: page.or(offset).or(at).or(last),
            etag: etag.map(|etag| etag.to_str().unwrap().to_owned()),
        }
    }
}

/// The items of one page.
#[derive(Debug, Clone)]
pub(super) struct Window {
    pub items: Vec<Item>,
    pub more: bool,
    /// The place of the last item.
    last: i64,
    /// The last id that was published when it was made.
    head: i64,
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let item = |item: &Item| format!("{}{}", item.id, item.content().0);
        let items: Vec<String> = self.items.iter().map(item).collect();
        write!(f, "[{}]{}", items.join(" "), if self.more { " and more" } else { "" })
    }
}

/// The page that `asked` is for.
pub(super) fn window(list: &List, shape: Shape, asked: &Asked) -> Window {
    let listed = list.listed(shape.order, shape.since, asked.cursor);
    let key = |item: &Item| List::key(shape.order, shape.since, item);
    let after = |place: i64| {
        let past = |item: &&&Item| match shape.order {
            Order::Newest => key(item) >= place,
            _ => key(item) <= place,
        };
        listed.iter().take_while(past).count()
    };
    let start = match (shape.paging, asked.place) {
        (_, None) => 0,
        (Paging::Number, Some(page)) => usize::try_from(page - 1).unwrap() * PAGE,
        (Paging::Offset, Some(offset)) => usize::try_from(offset).unwrap(),
        (Paging::Item, Some(id)) => {
            let known = list.items.iter().find(|item| i64::try_from(item.id) == Ok(id));
            known.map_or(0, |item| after(key(item)))
        }
        // The last digit only makes tokens differ.
        (Paging::Token | Paging::Url | Paging::Link, Some(token)) => after(token.div_euclid(10)),
    };
    let items: Vec<Item> =
        listed.iter().skip(start).take(PAGE).map(|item| (*item).clone()).collect();
    let end = items.last().map_or(0, key);
    let head = list.items.len();
    let more = start + items.len() < listed.len() && !items.is_empty();
    Window { items, more, last: end, head: i64::try_from(head).unwrap() }
}

/// How the next page is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrier {
    Good,
    Broken,
    Foreign,
}

/// The page, with what leads on from it.
pub(super) fn with_carrier(
    state: &mut State,
    asked: &Asked,
    window: &Window,
    how: Carrier,
) -> Answer {
    let items: Vec<Value> = window.items.iter().map(Item::json).collect();
    let mut body = json!({ "items": items, "has_more": window.more });
    let shape = state.shape;
    let shown = window.items.last().map(|item| i64::try_from(item.id).unwrap());
    let covered = shown.or(asked.cursor).unwrap_or(0);
    if !window.more {
        match shape.since {
            Since::Token => body["sync"] = spelling::token(covered, &mut state.rng),
            Since::Delta => body["delta"] = json!(format!("{URL}?since={covered}")),
            _ => {}
        }
    }
    let tag = format!("\"{:x}\"", print(&body.to_string()));
    let known = asked.etag.as_ref() == Some(&tag);
    let mut answer = if shape.since == Since::Tail {
        let url = format!("{URL}?since={covered}");
        Answer::json(200, &body).with("link", &spelling::link(&url, &mut state.rng))
    } else {
        let token = window.last * 10 + state.rng.i64(0..10);
        let next = window.more.then_some(token);
        lead_on(state, asked, body, next, how)
    };
    if shape.since == Since::Header && asked.first {
        answer = answer.with("x-as-of", &window.head.to_string());
    }
    if shape.etag && asked.first {
        answer = if known { Answer::text(304, "") } else { answer }.with("etag", &tag);
    }
    answer
}

/// A page without items whose next page is the one that was asked for.
pub(super) fn empty_on(state: &mut State, asked: &Asked) -> Answer {
    let place = asked.place.unwrap_or(match state.shape.order {
        Order::Newest => i64::MAX / 20 * 10,
        _ => -10,
    });
    let tens = place.div_euclid(10) * 10;
    let digit = (place.rem_euclid(10) + state.rng.i64(1..10)) % 10;
    lead_on(state, asked, json!({ "items": [] }), Some(tens + digit), Carrier::Good)
}

/// Adds the carrier of the next page.
fn lead_on(
    state: &mut State,
    asked: &Asked,
    mut body: Value,
    next: Option<i64>,
    how: Carrier,
) -> Answer {
    let rng = &mut state.rng;
    let origin = if how == Carrier::Foreign { "https://evil.example.net/list" } else { URL };
    let url = next.map(|token| match asked.cursor {
        Some(cursor) => format!("{origin}?since={cursor}&at={token}"),
        None => format!("{origin}?at={token}"),
    });
    let broken = (how == Carrier::Broken).then(|| json!({ "page": "next" }));
    match state.shape.paging {
        Paging::Token => {
            let token = next.map(|token| spelling::token(token, rng));
            insert(&mut body, broken.or(token).or_else(|| spelling::no_token(rng)));
        }
        Paging::Url => {
            let url = url.map(|url| spelling::url(&url, rng));
            insert(&mut body, broken.or(url).or_else(|| spelling::no_token(rng)));
        }
        Paging::Link => {
            let link = match (url, how) {
                (Some(url), Carrier::Broken) => Some(format!("<{url}; rel=\"next\"")),
                (Some(url), _) => Some(spelling::link(&url, rng)),
                (None, _) => spelling::no_link(rng),
            };
            let answer = Answer::json(200, &body);
            return match link {
                Some(link) => answer.with("link", &link),
                None => answer,
            };
        }
        Paging::Number | Paging::Offset | Paging::Item => {}
    }
    Answer::json(200, &body)
}

fn insert(body: &mut Value, next: Option<Value>) {
    if let Some(next) = next {
        body["next"] = next;
    }
}

/// FNV-1a: equal pages have equal tags.
fn print(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
