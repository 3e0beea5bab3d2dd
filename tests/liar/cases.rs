//! The producers, each with the YAML that is right for it and with what that YAML promises.

use crate::support::liar::{Order, Paging, Shape, Since};

/// One kind of producer and how it is probed.
pub(super) struct Case {
    pub name: &'static str,
    pub shape: Shape,
    /// What follows `http:` beside `url`, `id`, `items` and `fail_when`; `LOST` stands for a policy.
    pub yaml: &'static str,
    /// Whether the log has items in the order in which they were published.
    pub ordered: bool,
    /// Whether every walk that ends as `ok` without a message has everything that was in the list
    /// when it began. Otherwise that is so once the producer is well: items that moved to a page
    /// which was read already are found by the next walk.
    pub at_once: bool,
}

const OLDEST: Shape = Shape {
    order: Order::Oldest,
    since: Since::All,
    paging: Paging::Token,
    etag: false,
    late: false,
    removes: false,
    changes: false,
};
const NEWEST: Shape = Shape { order: Order::Newest, ..OLDEST };
const UNORDERED: Shape = Shape { order: Order::Unordered, ..OLDEST };

const fn newest(name: &'static str, paging: Paging, yaml: &'static str) -> Case {
    let shape = Shape { paging, etag: true, ..NEWEST };
    Case { name, shape, yaml, ordered: true, at_once: true }
}

const fn oldest(name: &'static str, since: Since, paging: Paging, yaml: &'static str) -> Case {
    let shape = Shape { since, paging, ..OLDEST };
    Case { name, shape, yaml, ordered: true, at_once: true }
}

const fn unordered(name: &'static str, since: Since, paging: Paging, yaml: &'static str) -> Case {
    let shape = Shape { since, paging, ..UNORDERED };
    Case { name, shape, yaml, ordered: false, at_once: true }
}

/// All of them; a seed takes the one at its remainder.
pub(super) const CASES: &[Case] = &[
    newest(
        "newest, token",
        Paging::Token,
        "
      listed: newest_first
      pages: { token: { path: next, query: at } }",
    ),
    newest(
        "newest, URL",
        Paging::Url,
        "
      listed: newest_first
      pages: { next_url: { path: next } }",
    ),
    newest(
        "newest, link",
        Paging::Link,
        "
      listed: newest_first
      pages: link_header",
    ),
    newest(
        "newest, page number",
        Paging::Number,
        "
      listed: newest_first
      pages: page_number",
    ),
    newest(
        "newest, offset",
        Paging::Offset,
        "
      listed: newest_first
      pages: offset",
    ),
    newest(
        "newest, last id and flag",
        Paging::Item,
        "
      listed: newest_first
      pages: { item_id: { query: last } }
      stop: { flag: { path: has_more, is: false } }",
    ),
    Case {
        shape: Shape { paging: Paging::Offset, removes: true, ..NEWEST },
        ordered: false,
        at_once: false,
        ..newest(
            "newest, items move both ways",
            Paging::Offset,
            "
      listed: newest_first
      overlap: { items: 1000 }
      pages: offset",
        )
    },
    Case {
        shape: Shape { late: true, ..NEWEST },
        ..newest(
            "newest, late, up to a time",
            Paging::Token,
            "
      listed: newest_first
      cursor: { max_field: { path: at, kind: time, unit: s } }
      overlap: 2m
      pages: { token: { path: next, query: at } }",
        )
    },
    newest(
        "newest, ties, up to a number",
        Paging::Link,
        "
      listed: newest_first
      cursor: { max_field: { path: at, kind: number } }
      validators: false
      pages: link_header",
    ),
    Case {
        shape: Shape { paging: Paging::Number, etag: true, ..OLDEST },
        ..oldest(
            "whole list, page number",
            Since::All,
            Paging::Number,
            "
      stop: { short_page: 3 }
      pages: page_number",
        )
    },
    Case {
        shape: Shape { paging: Paging::Offset, removes: true, ..OLDEST },
        ordered: false,
        at_once: false,
        ..oldest(
            "whole list, items move",
            Since::All,
            Paging::Offset,
            "
      pages: offset",
        )
    },
    unordered(
        "unordered, whole list",
        Since::All,
        Paging::Link,
        "
      listed: unordered
      pages: link_header",
    ),
    oldest(
        "since a number, ties",
        Since::From,
        Paging::Token,
        "
      cursor: { max_field: { path: at, kind: number, query: since } }
      lost: LOST
      pages: { token: { path: next, query: at } }",
    ),
    Case {
        shape: Shape { since: Since::From, paging: Paging::Link, late: true, ..OLDEST },
        ..oldest(
            "since a time, late",
            Since::From,
            Paging::Link,
            "
      cursor: { max_field: { path: at, kind: time, unit: s, query: since } }
      overlap: 2m
      lost: LOST
      pages: link_header",
        )
    },
    Case {
        shape: Shape { since: Since::Above, paging: Paging::Url, late: true, ..OLDEST },
        ..oldest(
            "later than a time, ties, late",
            Since::Above,
            Paging::Url,
            "
      cursor: { max_field: { path: at, kind: time, unit: s, query: since } }
      overlap: 2m
      lost: LOST
      pages: { next_url: { path: next } }",
        )
    },
    oldest(
        "after an id",
        Since::Id,
        Paging::Item,
        "
      cursor: { last_id: { query: since } }
      lost: LOST
      pages: { item_id: { query: last } }",
    ),
    oldest(
        "token in the body",
        Since::Token,
        Paging::Token,
        "
      cursor: { body_token: { path: sync, query: since } }
      lost: LOST
      pages: { token: { path: next, query: at } }",
    ),
    oldest(
        "URL in the body",
        Since::Delta,
        Paging::Url,
        "
      cursor: { body_url: { path: delta } }
      lost: LOST
      pages: { next_url: { path: next } }",
    ),
    Case {
        at_once: false,
        ..oldest(
            "next link as cursor",
            Since::Tail,
            Paging::Link,
            "
      cursor: link_url
      lost: LOST",
        )
    },
    unordered(
        "header of the first page",
        Since::Header,
        Paging::Token,
        "
      listed: unordered
      cursor: { header: { name: x-as-of, query: since } }
      lost: LOST
      pages: { token: { path: next, query: at } }",
    ),
    // What is published while a walk is under way may stand on a page that was read, and be older
    // than what the walk still sees: without an overlap it could never be found.
    unordered(
        "unordered, since a time",
        Since::From,
        Paging::Token,
        "
      listed: unordered
      cursor: { max_field: { path: at, kind: time, unit: s, query: since } }
      overlap: 2m
      lost: LOST
      pages: { token: { path: next, query: at } }",
    ),
    Case {
        shape: Shape { paging: Paging::Number, changes: true, etag: true, ..OLDEST },
        ordered: false,
        ..oldest(
            "changes, whole list",
            Since::All,
            Paging::Number,
            "
      emit: every_change
      pages: page_number",
        )
    },
    Case {
        shape: Shape { since: Since::From, changes: true, ..OLDEST },
        ordered: false,
        ..oldest(
            "changes, since a number",
            Since::From,
            Paging::Token,
            "
      emit: every_change
      cursor: { max_field: { path: at, kind: number, query: since } }
      lost: LOST
      pages: { token: { path: next, query: at } }",
        )
    },
];
