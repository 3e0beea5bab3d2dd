//! Lists: `limit`, `after` and the `Link` to the next page (RFC 8288).

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;

use super::{problem::Problem, query::Query};

/// The part of `items`, which are in the order of their keys, that a list by name asks for, and
/// the name behind which the next page begins.
pub(super) fn by_name<T>(
    items: impl IntoIterator<Item = T>,
    query: &Query,
    name: impl Fn(&T) -> &str,
) -> Result<(Vec<T>, Option<String>), Problem> {
    let limit = query.limit()?;
    let after = query.get("after").unwrap_or_default();
    let mut rest = items.into_iter().filter(|item| name(item) > after);
    let page: Vec<T> = rest.by_ref().take(limit).collect();
    let next = rest.next().and(page.last()).map(|last| name(last).to_owned());
    Ok((page, next))
}

/// A list as JSON, with a link to the next page when there is one.
pub(super) fn answer(
    path: &str,
    query: &Query,
    next: Option<&str>,
    list: impl Serialize,
) -> Response {
    let mut headers = HeaderMap::new();
    if let Some(next) = next {
        let link = format!("<{path}?{}>; rel=\"next\"", query.next_page(next, &[]));
        if let Ok(link) = HeaderValue::from_str(&link) {
            headers.insert(header::LINK, link);
        }
    }
    (headers, Json(list)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_cut_into_pages() {
        let page = |text: &str| {
            by_name(["a", "b", "c"], &Query::parse(text), |name| name).map_err(|p| p.detail)
        };
        assert_eq!(page("limit=2").unwrap(), (vec!["a", "b"], Some("b".to_owned())));
        assert_eq!(page("limit=2&after=b").unwrap(), (vec!["c"], None));
        assert_eq!(page("limit=3").unwrap().1, None);
        assert!(page("limit=none").is_err());
    }
}
