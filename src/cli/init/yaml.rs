//! The file that is proposed, with the reasons beside it.

use std::fmt::Write as _;

use serde_json::json;
use url::{Host, Url};

use super::{answer::Answer, guess::Guess, paging::Items};

/// The variable that holds the value of a header.
pub(super) fn variable(header: &str) -> String {
    let name = header.to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    format!("SOURCE_{name}")
}

/// The whole file.
pub(super) fn write(
    url: &Url,
    headers: &[(String, String)],
    name: &str,
    answer: &Answer,
    guess: &Guess,
) -> String {
    let mut out = String::new();
    // Writing into memory cannot fail.
    let _ = head(&mut out, url, name)
        .and_then(|()| source(&mut out, url, headers, name, answer, guess));
    out
}

fn head(out: &mut String, url: &Url, name: &str) -> std::fmt::Result {
    writeln!(out, "# Made by `milkrun init` from one answer of {}.", shown(url))?;
    writeln!(out, "# Look through it, then:")?;
    writeln!(out, "#   milkrun check                        what is wrong with it")?;
    writeln!(out, "#   milkrun probe {name} --dry-run     what is taken, and nothing is stored")?;
    writeln!(out, "#   milkrun run                          the relay")?;
    writeln!(out)?;
    writeln!(out, "store: sqlite:${{MILKRUN_DATA:-data}}/milkrun.db")?;
    writeln!(out, "listen: 127.0.0.1:8080")?;
    if is_private(url) {
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_matches(['[', ']']);
        writeln!(out, "outbound:")?;
        writeln!(out, "  # Private addresses are asked only where they are named.")?;
        let allow = if url.domain().is_some() { "127.0.0.0/8\", \"::1" } else { host };
        writeln!(out, "  allow: [\"{allow}\"]")?;
    }
    writeln!(out)
}

fn source(
    out: &mut String,
    url: &Url,
    headers: &[(String, String)],
    name: &str,
    answer: &Answer,
    guess: &Guess,
) -> std::fmt::Result {
    writeln!(out, "sources:")?;
    writeln!(out, "  - name: {}", json!(name))?;
    writeln!(out, "    topic: {}", json!(name))?;
    writeln!(out, "    interval: 60s            # not known: how often the producer may be asked")?;
    writeln!(out, "    http:")?;
    writeln!(out, "      url: {}", json!(url.as_str().replace('$', "$$")))?;
    if !headers.is_empty() {
        writeln!(out, "      headers:               # values come from the environment")?;
        for (header, _) in headers {
            writeln!(out, "        {}: {{ env: {} }}", json!(header), variable(header))?;
        }
    }
    let (count, items) = (guess.count, path(&guess.path));
    let items_line = match guess.items {
        Items::List => format!("items: {items}"),
        Items::Values => format!("items: {{ path: {items}, of: values }}"),
        Items::One => format!("items: {{ path: {items}, of: one }}"),
    };
    let told = match guess.items {
        Items::List => format!("a list; it had {count} items"),
        Items::Values => format!("an object whose values are the items; it had {count}"),
        Items::One => "one object, that is asked for again and again".into(),
    };
    writeln!(out, "      {items_line}   # {told}")?;
    let ids: Vec<String> = guess.id.iter().map(|id| path(id)).collect();
    match &ids[..] {
        [one] => writeln!(out, "      id: {one}   # each item had one, and each another")?,
        several => {
            writeln!(
                out,
                "      # With the moment of its last change, each change of an item is an event."
            )?;
            writeln!(out, "      id: [{}]", several.join(", "))?;
        }
    }
    match &guess.time {
        Some((time, None)) => writeln!(out, "      time: {}", path(time))?,
        Some((time, Some(unit))) => {
            let time = path(time);
            writeln!(
                out,
                "      time: {{ path: {time}, unit: {unit} }}   # by the size of the numbers"
            )?;
        }
        None => writeln!(out, "      # time: not known: no field of all items is a moment")?,
    }
    match &guess.kind {
        Some(kind) => writeln!(out, "      type: {}", path(kind))?,
        None => writeln!(
            out,
            "      # type: {{ const: {name}.changed }}   # what the events are called"
        )?,
    }
    listed(out, guess)?;
    writeln!(out, "      # {}.", guess.pages.why)?;
    for line in &guess.pages.lines {
        writeln!(out, "      {line}")?;
    }
    let has_error = ["error", "errors"].iter().find(|name| !answer.body[**name].is_null());
    if let Some(error) = has_error {
        writeln!(out, "      fail_when: page.{error}   # the answer has a place for errors")?;
    }
    for doubt in &guess.doubts {
        writeln!(out, "      # not known: {doubt}")?;
    }
    if !guess.pages.lines.iter().any(|line| line.starts_with("cursor:")) {
        writeln!(
            out,
            "      # not known: whether it can be asked for what is new only (`cursor`, docs/probing.md);"
        )?;
        writeln!(
            out,
            "      # until then the list is read anew, and what is known is recognised."
        )?;
    }
    writeln!(out)?;
    writeln!(out, "# subscriptions:")?;
    writeln!(out, "#   - name: consumer")?;
    writeln!(out, "#     topic: {name}")?;
    writeln!(
        out,
        "#     webhook: {{ url: \"https://consumer.example/hooks\", secret: {{ env: CONSUMER_SECRET }} }}"
    )
}

fn listed(out: &mut String, guess: &Guess) -> std::fmt::Result {
    match guess.is_newest_first {
        Some(true) => writeln!(
            out,
            "      # The first item is the newest, as far as one page shows.\n      listed: newest_first"
        ),
        Some(false) => writeln!(
            out,
            "      # The first item is the oldest, as far as one page shows.\n      listed: oldest_first"
        ),
        None => writeln!(out, "      listed: unordered      # not known: one page shows no order"),
    }
}

/// A path as the file has it: with dots where they part names only, else a JSON pointer.
fn path(names: &[String]) -> String {
    let is_plain = |name: &String| {
        !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
    };
    if names.iter().all(is_plain) {
        return json!(names.join(".")).to_string();
    }
    let escaped = names.iter().map(|name| name.replace('~', "~0").replace('/', "~1"));
    json!(format!("/{}", escaped.collect::<Vec<_>>().join("/"))).to_string()
}

/// Without what may be secret.
fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    let _ = shown.set_password(None);
    shown.to_string()
}

fn is_private(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => crate::outbound::is_forbidden(address.into()),
        Some(Host::Ipv6(address)) => crate::outbound::is_forbidden(address.into()),
        None => false,
    }
}
