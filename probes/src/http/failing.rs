//! What is said of a request that gave no page, and what helps.

use super::HttpProbe;
use crate::{Failure, FailureKind, Pace};

impl HttpProbe {
    /// A failure; [`Failure::at`] says of which page.
    pub(super) fn failure(kind: FailureKind, problem: &str) -> Failure {
        Failure {
            kind,
            message: problem.to_owned(),
            help: None,
            pace: Pace::default(),
            cursor: None,
            restart: false,
            gap: None,
            exchange: None,
        }
    }

    /// The failure of a request that was not sent.
    pub(super) fn unsent(&self, failure: Failure) -> Failure {
        failure.at(&self.secrets.hide(&self.spec.masked(&self.spec.url)))
    }
}

/// The setting or command that helps with a kind of failure.
pub(super) fn help(kind: FailureKind) -> Option<Box<str>> {
    let text = match kind {
        FailureKind::Forbidden => "allow the address in `outbound.allow`, if it is meant",
        FailureKind::Machine => "raise this machine's limits (open files, say)",
        FailureKind::Timeout => "raise `http.timeout`, or ask for smaller pages",
        FailureKind::TooLarge => "raise `http.limits`, or ask for smaller pages",
        FailureKind::ForeignLink => "set `rebase: true` or `origins` in `http.pages`",
        FailureKind::Malformed | FailureKind::ErrorPage | FailureKind::Unreachable => {
            "`milkrun probe NAME --dry-run` shows the request and its answer"
        }
        FailureKind::Waiting => "`http.wait_when` says which answers are waited for",
        FailureKind::Status(_) | FailureKind::CursorDoubted | FailureKind::CursorLost => {
            return None;
        }
    };
    Some(text.into())
}

impl Failure {
    /// The failure with the URL, as it may be shown, of the page it is about.
    pub(super) fn at(mut self, shown: &str) -> Self {
        self.message = format!("{shown}: {}", self.message);
        self
    }
}
