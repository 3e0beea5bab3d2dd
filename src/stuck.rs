//! Why a source stands still until an operator acts, and the commands that help.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    event::Name,
    store::{NewSource, SourceState},
};

/// The longest cursor that is repeated in a message.
const CURSOR_CHARS_MAX: usize = 200;

/// Why a source stands still until an operator acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Stuck {
    /// `needs_cursor`: its cursor was stored for another kind, URL or cursor rule. `cursor_lost`:
    /// the producer refuses its cursor, and the file says `lost: fail`.
    #[schema(value_type = String)]
    pub reason: &'static str,
    /// The same for a person.
    pub message: String,
    /// Since when, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Commands of which one helps.
    pub help: Vec<String>,
}

impl Stuck {
    /// Of a source as it stands; `None` when it needs nobody.
    #[must_use]
    pub fn of(state: &SourceState) -> Option<Self> {
        if state.needs_cursor() {
            return Some(Self::needs_cursor(state));
        }
        // A cursor that was set by hand has yet to be tried.
        let tried = state.cursor.is_some() && !state.contract.is_empty();
        let report: Value = serde_json::from_str(state.report.as_deref()?).ok()?;
        (tried && report["result"] == "cursor_lost").then(|| Self {
            reason: "cursor_lost",
            message: format!(
                "the producer refuses the cursor of source `{}`, and answers without it",
                state.name
            ),
            since: None,
            help: vec![format!("{} --reset", command(&state.name))],
        })
    }

    /// Of a source as it would stand with what the file says of it.
    #[must_use]
    pub fn with(state: &SourceState, new: &NewSource) -> Option<Self> {
        (!state.goes_with(new)).then(|| Self::needs_cursor(state))
    }

    fn needs_cursor(state: &SourceState) -> Self {
        let cursor = state.cursor.as_deref().unwrap_or("null");
        let shown: String = cursor.chars().take(CURSOR_CHARS_MAX).collect();
        let cut = if shown.len() < cursor.len() { "…" } else { "" };
        let command = command(&state.name);
        Self {
            reason: "needs_cursor",
            message: format!(
                "source `{}` has a cursor that was stored for another kind, URL or cursor rule \
                 ({shown}{cut}), and stands still: keep it for the new one, or reset it to start \
                 as at the first run (events that are known are not repeated)",
                state.name
            ),
            since: state.stuck_at.map(|at| at.to_string()),
            help: vec![format!("{command} --keep"), format!("{command} --reset")],
        }
    }

    /// The commands in one line.
    #[must_use]
    pub fn commands(&self) -> String {
        let commands: Vec<String> = self.help.iter().map(|help| format!("`{help}`")).collect();
        commands.join(" or ")
    }
}

fn command(name: &Name) -> String {
    format!("milkrun sources cursor {name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::Micros,
        store::{EventSource, SourceStatus},
    };

    fn state(contract: &str, cursor: Option<&str>, result: &str) -> SourceState {
        SourceState {
            id: 1,
            name: "shop".parse().unwrap(),
            topic: "orders".parse().unwrap(),
            status: SourceStatus::Active,
            fence: 1,
            contract: contract.into(),
            put_contract: "now".into(),
            event_source: None,
            config_hash: String::new(),
            cursor: cursor.map(Into::into),
            old_cursor: None,
            stuck_at: Some(Micros(0)),
            mark: None,
            mark_at: Micros(0),
            journaled: 0,
            walks: 1,
            next_poll: Micros(0),
            asked_at: Micros(0),
            report: Some(format!("{{\"result\": \"{result}\"}}")),
            appended: 0,
            duplicates: 0,
            rejected: 0,
            removed_at: None,
        }
    }

    #[test]
    fn a_source_is_stuck_while_a_command_would_help() {
        for (contract, cursor, result, reason) in [
            ("now", Some("7"), "ok", None),
            ("", Some("7"), "ok", None),
            ("other", None, "ok", None),
            ("other", Some("7"), "ok", Some("needs_cursor")),
            ("other", Some("7"), "cursor_lost", Some("needs_cursor")),
            ("now", Some("7"), "cursor_lost", Some("cursor_lost")),
            // Until the next poll the report is that of the cursor before.
            ("", Some("8"), "cursor_lost", None),
            ("", None, "cursor_lost", None),
        ] {
            let stuck = Stuck::of(&state(contract, cursor, result));
            assert_eq!(stuck.map(|stuck| stuck.reason), reason, "{contract} {cursor:?} {result}");
        }
    }

    #[test]
    fn a_file_is_looked_at_before_it_is_put() {
        let new = |contract: &str, before: Option<&str>| NewSource {
            name: "shop".parse().unwrap(),
            topic: "orders".parse().unwrap(),
            contract: contract.into(),
            contract_before: before.map(Into::into),
            event_source: EventSource::fixed("urn:x"),
            config_hash: String::new(),
        };
        let known = state("now", Some("\"e-7\""), "ok");
        assert_eq!(Stuck::with(&known, &new("now", None)), None);
        assert_eq!(Stuck::with(&known, &new("later", Some("now"))), None);
        let stuck = Stuck::with(&known, &new("later", Some("x"))).unwrap();
        assert!(stuck.message.contains("(\"e-7\")"), "{stuck:?}");
        assert_eq!(
            stuck.commands(),
            "`milkrun sources cursor shop --keep` or `milkrun sources cursor shop --reset`"
        );
        let long = state("now", Some(&"é".repeat(500)), "ok");
        let stuck = Stuck::with(&long, &new("later", None)).unwrap();
        assert!(stuck.message.contains(&format!("({}…)", "é".repeat(200))), "{stuck:?}");
    }
}
