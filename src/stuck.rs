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
