//! The contract as releases before 0.2 hashed it: the text that Rust's `Debug` made of the rule.
//!
//! The types here exist for their names and the order of their fields, which are that text. They
//! never change.

use crate::http::{
    cursor::{self, CursorRule as Rule},
    order::FieldKind,
    rules::Of,
};

#[derive(Debug)]
#[expect(dead_code, reason = "read by Debug")]
enum CursorRule<'a> {
    None,
    LastId(LastId<'a>),
    MaxField(MaxField<'a>),
    BodyToken(BodyToken<'a>),
    LinkUrl(LinkUrl<'a>),
    Header(HeaderCursor<'a>),
}

macro_rules! shown {
    ($($name:ident { $($field:ident: $kind:ty),+ })+) => {$(
        #[derive(Debug)]
        #[expect(dead_code, reason = "read by Debug")]
        struct $name<'a> { $($field: $kind),+ }
    )+};
}

shown! {
    LastId { query: &'a str, of: Option<Of>, path: Option<&'a str> }
    MaxField { path: &'a str, kind: FieldKind, query: Option<&'a str> }
    BodyToken { path: &'a str, query: &'a str }
    LinkUrl { rel: &'a str }
    HeaderCursor { name: &'a str, query: &'a str }
}

/// The text that was hashed for this URL and rule; `None` for a rule that those releases had not.
pub(super) fn contract(url: &str, rule: &Rule) -> Option<String> {
    let rule = match rule {
        Rule::None => CursorRule::None,
        Rule::LastId(cursor::LastId { query: Some(query), header: None, body: None, of, path }) => {
            CursorRule::LastId(LastId { query, of: *of, path: path.as_deref() })
        }
        Rule::MaxField(cursor::MaxField {
            path,
            kind,
            query,
            header: None,
            body: None,
            unit: None,
            format: None,
            zone: None,
        }) => CursorRule::MaxField(MaxField { path, kind: *kind, query: query.as_deref() }),
        Rule::BodyToken(cursor::BodyToken {
            path,
            query: Some(query),
            header: None,
            body: None,
        }) => CursorRule::BodyToken(BodyToken { path, query }),
        Rule::LinkUrl(cursor::LinkUrl { rel }) => CursorRule::LinkUrl(LinkUrl { rel }),
        Rule::Header(cursor::HeaderCursor {
            name,
            query: Some(query),
            header: None,
            body: None,
        }) => CursorRule::Header(HeaderCursor { name, query }),
        _ => return None,
    };
    Some(format!("http {url} {rule:?}"))
}
