//! A source for a person: how it stands, what is wrong since when, and what helps.

use serde_json::Value;

use super::output::{shortened, text};
use crate::event::Micros;

/// The longest reason in a list.
const REASON_CHARS_MAX: usize = 80;
/// Gaps that are shown.
const GAPS_MAX: usize = 3;

/// Why a source is not simply well, in a few words; empty when it is.
pub(super) fn reason(view: &Value) -> String {
    let report = &view["report"];
    let failing = &report["failing"];
    let told = if let Some(stuck) = view["stuck"]["reason"].as_str() {
        stuck.to_owned()
    } else if failing.is_object() {
        let (walks, kind) = (&failing["walks"], text(&failing["kind"]));
        format!("{walks} failed ({kind}): {}", text(&failing["message"]))
    } else if report["waits"].is_object() {
        format!("not ready since {}", text(&report["waits"]["since"]))
    } else {
        text(&report["message"])
    };
    shortened(&told, REASON_CHARS_MAX)
}

/// A source with all that a person needs to act; `gaps` are those of its topic, newest first.
pub(super) fn story(view: &Value, gaps: &[Value], now: Micros) -> String {
    let mut lines = Lines { now, lines: Vec::new() };
    lines.value("source", &view["name"]);
    lines.value("topic", &view["topic"]);
    lines.value("event source", &view["event_source"]);
    lines.say("state", state(view, now));
    lines.trouble(view);
    lines.report(&view["report"]);
    lines.at("next poll", &view["next_poll"]);
    lines.gaps(view, gaps);
    let count = |field: &str| view[field].as_u64().unwrap_or(0);
    let (appended, known) = (count("appended"), count("duplicates"));
    let (rejected, journaled) = (count("rejected"), count("journaled"));
    let see = format!(" (see `milkrun sources rejected {}`)", text(&view["name"]));
    let waiting = format!(", {journaled} wait for the end of the walk");
    let events = format!(
        "{appended} appended, {known} known, {rejected} rejected{}{}",
        if rejected > 0 { &*see } else { "" },
        if journaled > 0 { &*waiting } else { "" },
    );
    lines.say("events", events);
    lines.say("walks", format!("{} complete", count("walks")));
    lines.at("removed", &view["removed_at"]);
    for (name, field) in [("cursor", "cursor"), ("old cursor", "old_cursor")] {
        if view[field].is_object() {
            lines.say(name, view[field].to_string());
        }
    }
    lines.join()
}

/// How a source stands, in a line.
fn state(view: &Value, now: Micros) -> String {
    let (report, status) = (&view["report"], text(&view["status"]));
    let (failing, waits) = (&report["failing"], &report["waits"]);
    if status != "active" {
        return status;
    }
    if view["stuck"].is_object() {
        return "stands still until somebody acts".into();
    }
    if failing.is_object() {
        let walks = failing["walks"].as_u64().unwrap_or(1);
        let what = if failing["kind"] == "waiting" { "answers" } else { "walks" };
        return format!(
            "failing since {}: {walks} {what} in a row",
            moment(&failing["since"], now)
        );
    }
    if waits.is_object() {
        return format!("waits for the producer since {}", moment(&waits["since"], now));
    }
    match &report["result"] {
        Value::Null => "not asked yet".into(),
        _ if report["message"].is_string() => "active, with remarks".into(),
        result => format!("active: {}", text(result)),
    }
}

/// A moment, and how long ago it is or will be.
pub(super) fn moment(at: &Value, now: Micros) -> String {
    let at = text(at);
    match at.parse::<Micros>() {
        Ok(moment) => format!("{at} ({})", ago(moment, now)),
        Err(_) => at,
    }
}

/// How long ago a moment is, in its largest unit.
pub(super) fn ago(at: Micros, now: Micros) -> String {
    let (seconds, future) = match now.0.checked_sub(at.0).unwrap_or(0) / 1_000_000 {
        past @ 0.. => (past, false),
        future => (-future, true),
    };
    let (count, unit) = match seconds {
        0..120 => (seconds, "s"),
        120..7_200 => (seconds / 60, "min"),
        7_200..172_800 => (seconds / 3_600, "h"),
        _ => (seconds / 86_400, "days"),
    };
    if future { format!("in {count} {unit}") } else { format!("{count} {unit} ago") }
}

struct Lines {
    now: Micros,
    lines: Vec<(&'static str, String)>,
}

impl Lines {
    fn say(&mut self, name: &'static str, told: impl Into<String>) {
        self.lines.push((name, told.into()));
    }

    fn value(&mut self, name: &'static str, value: &Value) {
        if !value.is_null() {
            self.say(name, text(value));
        }
    }

    fn at(&mut self, name: &'static str, at: &Value) {
        if !at.is_null() {
            self.say(name, moment(at, self.now));
        }
    }

    /// What is wrong, in whose words, and what helps.
    fn trouble(&mut self, view: &Value) {
        let (stuck, failing) = (&view["stuck"], &view["report"]["failing"]);
        if stuck.is_object() {
            self.value("wrong", &stuck["message"]);
            self.at("since", &stuck["since"]);
            for help in stuck["help"].as_array().into_iter().flatten() {
                self.say("helps", format!("`{}`", text(help)));
            }
        }
        if !failing.is_object() {
            return;
        }
        self.say("wrong", format!("{}: {}", text(&failing["kind"]), text(&failing["message"])));
        let answer = &failing["answer"];
        if answer.is_object() {
            let kind = Some(text(&answer["type"])).filter(|kind| !kind.is_empty());
            let kind = kind.unwrap_or_else(|| "no content type".into());
            let (status, length) = (&answer["status"], &answer["length"]);
            self.say("answered", format!("{status}  {kind}  {length} bytes"));
            self.say("", text(&answer["first"]));
        }
        if !stuck.is_object() {
            self.value("helps", &failing["help"]);
        }
    }

    /// What the last polls found.
    fn report(&mut self, report: &Value) {
        if !report.is_object() {
            return;
        }
        let count = |field: &str| report[field].as_u64().unwrap_or(0);
        let ended = report["stopped_by"].as_str().map(|reason| format!(", ended by {reason}"));
        let poll = format!(
            "{}: {}, {} requests, {} items, {} new{}",
            moment(&report["at"], self.now),
            text(&report["result"]),
            count("requests"),
            count("items"),
            count("new"),
            ended.unwrap_or_default()
        );
        self.say("last poll", poll);
        self.at("last success", &report["last_success"]);
        if report["message"] != report["failing"]["message"] {
            self.value("remarks", &report["message"]);
        }
        for (field, error) in report["field_errors"].as_object().into_iter().flatten() {
            let (count, reason) = (&error["count"], text(&error["reason"]));
            self.say("field errors", format!("{field}: {count}, the first: {reason}"));
        }
        if count("empty_pages") > 0 {
            self.say("empty pages", format!("{} in the last walk", count("empty_pages")));
        }
        if count("unchanged") > 0 {
            let since = moment(&report["unchanged_since"], self.now);
            self.say("unchanged", format!("{} walks in a row, since {since}", count("unchanged")));
        }
        let waits = &report["waits"];
        if waits.is_object() {
            let since = moment(&waits["since"], self.now);
            let told = format!("{} answers in a row were not ready, since {since}", waits["count"]);
            self.say("waits", told);
        }
    }

    fn gaps(&mut self, view: &Value, gaps: &[Value]) {
        let own: Vec<&Value> = gaps.iter().filter(|gap| gap["source"] == view["name"]).collect();
        for gap in own.iter().take(GAPS_MAX) {
            let at = moment(&gap["recorded"], self.now);
            self.say("gap", format!("{at} {}: {}", text(&gap["reason"]), text(&gap["detail"])));
        }
        if let Some(more) = own.len().checked_sub(GAPS_MAX).filter(|more| *more > 0) {
            let topic = text(&view["topic"]);
            self.say("", format!("and {more} more: GET /v1/topics/{topic}/gaps"));
        }
    }

    fn join(self) -> String {
        let lines = self.lines.iter().map(|(name, told)| format!("{name:<12}  {told}"));
        lines.map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> Micros {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn failing() -> Value {
        json!({
            "name": "shop", "topic": "orders", "status": "active", "walks": 7, "appended": 3,
            "duplicates": 0, "rejected": 1, "journaled": 0, "cursor": { "v": 1 },
            "next_poll": "2026-03-01T12:05:00Z",
            "report": {
                "at": "2026-03-01T11:59:30Z", "result": "status", "requests": 1, "items": 0, "new": 0,
                "message": "https://a.example/x: answered 403 Forbidden: expected a success",
                "last_success": "2026-02-27T12:00:00Z",
                "failing": {
                    "since": "2026-03-01T08:00:00Z", "walks": 12, "kind": "status",
                    "message": "https://a.example/x: answered 403 Forbidden: expected a success",
                    "help": "check `http.auth` and what the key may read",
                    "answer": {
                        "status": 403, "type": "text/plain", "length": 11, "first": "you may not"
                    },
                },
                "field_errors": { "time": { "count": 2, "reason": "`soon` is no time" } },
                "empty_pages": 4, "unchanged": 3, "unchanged_since": "2026-03-01T11:00:00Z",
                "waits": { "count": 2, "since": "2026-03-01T11:59:00Z" },
            },
        })
    }

    #[test]
    fn a_person_is_told_what_is_wrong_and_what_helps() {
        let gap = |source| {
            json!({
                "source": source, "recorded": "2026-03-01T10:00:00Z", "reason": "bound_reached", "detail": "50 pages"
            })
        };
        let gaps = [gap("other"), gap("shop"), gap("shop"), gap("shop"), gap("shop")];
        let told = story(&failing(), &gaps, now());
        for line in [
            "state         failing since 2026-03-01T08:00:00Z (4 h ago): 12 walks in a row",
            "wrong         status: https://a.example/x: answered 403 Forbidden: expected a success",
            "answered      403  text/plain  11 bytes",
            "              you may not",
            "helps         check `http.auth` and what the key may read",
            "last poll     2026-03-01T11:59:30Z (30 s ago): status, 1 requests, 0 items, 0 new",
            "last success  2026-02-27T12:00:00Z (2 days ago)",
            "next poll     2026-03-01T12:05:00Z (in 5 min)",
            "field errors  time: 2, the first: `soon` is no time",
            "empty pages   4 in the last walk",
            "unchanged     3 walks in a row, since 2026-03-01T11:00:00Z (60 min ago)",
            "waits         2 answers in a row were not ready, since 2026-03-01T11:59:00Z (60 s ago)",
            "gap           2026-03-01T10:00:00Z (2 h ago) bound_reached: 50 pages",
            "              and 1 more: GET /v1/topics/orders/gaps",
            "events        3 appended, 0 known, 1 rejected (see `milkrun sources rejected shop`)",
            "cursor        {\"v\":1}",
        ] {
            assert!(told.lines().any(|told| told == line), "{line}\nis not in\n{told}");
        }
        assert!(!told.contains("remarks"), "the failure is told once: {told}");
    }

    #[test]
    fn who_stands_still_is_told_the_commands() {
        let mut view = failing();
        view["stuck"] = json!({
            "reason": "needs_cursor", "message": "its cursor is for another URL",
            "help": ["milkrun sources cursor shop --keep", "milkrun sources cursor shop --reset"],
        });
        let told = story(&view, &[], now());
        for line in [
            "state         stands still until somebody acts",
            "wrong         its cursor is for another URL",
            "helps         `milkrun sources cursor shop --keep`",
            "helps         `milkrun sources cursor shop --reset`",
        ] {
            assert!(told.lines().any(|told| told == line), "{line}\nis not in\n{told}");
        }
        assert_eq!(reason(&view), "needs_cursor");
    }

    #[test]
    fn a_list_has_a_short_reason() {
        let told = reason(&failing());
        assert!(
            told.starts_with("12 failed (status): https://a.example/x: answered 403"),
            "{told}"
        );
        assert_eq!(told.chars().count(), REASON_CHARS_MAX);
        for (report, expected) in [
            (json!(null), ""),
            (json!({ "result": "ok" }), ""),
            (json!({ "result": "ok", "message": "1 of 2 items" }), "1 of 2 items"),
            (json!({ "waits": { "count": 1, "since": "now" } }), "not ready since now"),
        ] {
            assert_eq!(reason(&json!({ "report": report })), expected);
        }
    }

    #[test]
    fn states_are_told_apart() {
        for (status, report, expected) in [
            ("paused", json!({ "result": "ok" }), "paused"),
            ("active", json!(null), "not asked yet"),
            ("active", json!({ "result": "unchanged" }), "active: unchanged"),
            ("active", json!({ "result": "ok", "message": "m" }), "active, with remarks"),
            (
                "active",
                json!({ "waits": { "since": "2026-03-01T11:59:59Z" } }),
                "waits for the producer since 2026-03-01T11:59:59Z (1 s ago)",
            ),
        ] {
            assert_eq!(state(&json!({ "status": status, "report": report }), now()), expected);
        }
    }
}
