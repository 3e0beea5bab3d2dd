//! How an answer leads to the next page.

use http::header;
use serde_json::Value;
use url::Url;

use super::answer::Answer;

/// Names of URLs of the next page, at most two names deep.
const URLS: [&[&str]; 8] = [
    &["@odata.nextLink"],
    &["next"],
    &["links", "next"],
    &["_links", "next", "href"],
    &["next_url"],
    &["nextLink"],
    &["paging", "next"],
    &["meta", "next"],
];
/// Names of tokens, each with the parameter that it usually goes back in.
const TOKENS: [(&[&str], &str); 9] = [
    (&["response_metadata", "next_cursor"], "cursor"),
    (&["next_cursor"], "cursor"),
    (&["nextPageToken"], "pageToken"),
    (&["next_page_token"], "page_token"),
    (&["meta", "next_cursor"], "cursor"),
    (&["pagination", "next_cursor"], "cursor"),
    (&["continue", "rccontinue"], "rccontinue"),
    (&["next_token"], "next_token"),
    (&["nextToken"], "nextToken"),
];

/// How items lie in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Items {
    List,
    Values,
    One,
}

/// How the next page is found, as the file has it, and why.
#[derive(Debug, Clone, Default)]
pub(super) struct Pages {
    /// Lines below `http`.
    pub(super) lines: Vec<String>,
    pub(super) why: String,
    /// What the answer does not tell.
    pub(super) doubts: Vec<String>,
}

/// What the answer, its items at `path`, says of pages.
pub(super) fn of(
    answer: &Answer,
    path: &[String],
    items: Items,
    id: Option<&Vec<String>>,
) -> Pages {
    let body = &answer.body;
    let mut pages = Pages::default();
    if items == Items::One {
        "one object, on one page".clone_into(&mut pages.why);
        return pages;
    }
    let links = answer.headers.get_all(header::LINK).iter().filter_map(|link| link.to_str().ok());
    if links.into_iter().any(|link| link.contains("next")) {
        pages.lines.push("pages: link_header".into());
        "the answer has a Link header with a next page".clone_into(&mut pages.why);
        return pages;
    }
    if answer.headers.contains_key("next-page") {
        pages.lines.push("pages: { next_url: { path: headers.next-page } }".into());
        "the answer names the next page in the header next-page".clone_into(&mut pages.why);
        return pages;
    }
    let delta = body["@odata.deltaLink"].is_string();
    if delta || body["@odata.nextLink"].is_string() {
        pages.lines.push("pages: { next_url: { path: \"/@odata.nextLink\" } }".into());
        if delta
            || path.last().is_some_and(|name| name == "value")
                && answer.url.path().ends_with("/delta")
        {
            pages.lines.push("cursor: { body_url: { path: \"/@odata.deltaLink\" } }".into());
        }
        "OData gives the URL of the next page in the body".clone_into(&mut pages.why);
        return pages;
    }
    if let Some((names, url)) = URLS.iter().find_map(|names| Some((*names, url_at(answer, names)?)))
    {
        let is_elsewhere = url.origin() != answer.url.origin();
        let rebase = if is_elsewhere { ", rebase: true" } else { "" };
        let path = names.join(".");
        pages.lines.push(format!("pages: {{ next_url: {{ path: {path}{rebase} }} }}"));
        pages.why = format!("`{path}` is the URL of the next page");
        if is_elsewhere {
            pages.why.push_str("; it names another host, so its path is asked at this one");
        }
        return pages;
    }
    if let Some((names, query)) =
        TOKENS.iter().find(|(names, _)| at(body, names).is_some_and(Value::is_string))
    {
        let path = names.join(".");
        pages.lines.push(format!("pages: {{ token: {{ path: {path}, query: {query} }} }}"));
        pages.why = format!("`{path}` is a token of the next page");
        pages.doubts.push(format!(
            "in which parameter the token of the next page goes back: `{query}` is usual"
        ));
        return pages;
    }
    let has_more = body["has_more"].is_boolean();
    if let (true, Some(_)) = (has_more, id) {
        pages.lines.push("pages: { item_id: { query: starting_after, of: last } }".into());
        pages.lines.push("stop: { flag: { path: has_more, is: false } }".into());
        "`has_more` says whether there is more; as Stripe, it is asked for by the last id"
            .clone_into(&mut pages.why);
        pages.doubts.push(
            "by which parameter the page after an id is asked for: `starting_after` is a guess"
                .into(),
        );
        return pages;
    }
    pages.lines.push("pages: none".into());
    "nothing in the answer leads to a next page".clone_into(&mut pages.why);
    pages.doubts.push(
        "whether the list has more pages, as by page numbers or offsets (`pages: page_number`)"
            .into(),
    );
    pages
}

/// The URL at a path of the body.
fn url_at(answer: &Answer, names: &[&str]) -> Option<Url> {
    let text = at(&answer.body, names)?.as_str()?;
    // A token is no URL that leads anywhere.
    let is_url = text.starts_with("http") || text.starts_with('/') || text.starts_with('?');
    is_url.then(|| answer.url.join(text).ok()).flatten()
}

fn at<'a>(value: &'a Value, names: &[&str]) -> Option<&'a Value> {
    names.iter().try_fold(value, |value, name| value.get(name))
}
