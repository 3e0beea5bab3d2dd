//! Why a command did not work, and its exit code.

use super::output::Unread;
use crate::config::ConfigError;

/// What is printed to stderr, and the exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// For a person; empty when there is nothing to tell.
    pub message: String,
    /// 1, 2 or 78; 0 when nobody reads the data any more.
    pub code: u8,
}

impl Failure {
    /// It did not work.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    /// It was asked for wrongly.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2 }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self { message: error.to_string(), code: 78 }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        // Nobody reading any more is no error of ours.
        if let Some(inner) = error.get_ref()
            && inner.is::<Unread>()
        {
            return Self { message: String::new(), code: 0 };
        }
        Self::new(error.to_string())
    }
}

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
