//! What the demo prints: one line for each thing that happens.

use std::io::IsTerminal as _;

use super::super::{Failure, output::print};
use super::consumer::Received;
use crate::{clock::Clock, event::Micros};

/// Prints lines with the time since the beginning.
pub(super) struct Story {
    clock: Clock,
    began: Micros,
    colour: bool,
}

/// How a line is marked.
#[derive(Clone, Copy)]
pub(super) enum Mark {
    Plain,
    Good,
    Warning,
    Bad,
}

impl Mark {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Good => "32",
            Self::Warning => "33",
            Self::Bad => "31",
        }
    }
}

impl Story {
    pub(super) fn new(clock: Clock) -> Self {
        let began = clock.now();
        let plain = std::env::var_os("NO_COLOR").is_some();
        Self { clock, began, colour: std::io::stdout().is_terminal() && !plain }
    }

    /// Prints one line.
    pub(super) fn tell(&self, mark: Mark, word: &str, text: &str) -> Result<(), Failure> {
        let seconds = self.clock.now().since(self.began).as_secs_f64();
        let word = format!("{word:<10}");
        let word = if self.colour { format!("\x1b[{}m{word}\x1b[0m", mark.code()) } else { word };
        Ok(print(&format!("{seconds:>5.1}s  {word} {text}"))?)
    }

    /// Prints what the consumer got and said.
    pub(super) fn received(&self, one: &Received) -> Result<(), Failure> {
        let (mark, word, more) = match (one.status, one.attempt) {
            (200..=299, 1) => (Mark::Good, "delivered", ""),
            (200..=299, _) => (Mark::Good, "delivered", "  the retry went well"),
            (401, _) => (Mark::Bad, "refused", "  the signature is wrong"),
            _ => (Mark::Warning, "refused", ""),
        };
        let status =
            if one.status < 300 { String::new() } else { format!("  status {}", one.status) };
        let text =
            format!("version {:<3} {}  attempt {}{status}{more}", one.version, one.id, one.attempt);
        self.tell(mark, word, &text)
    }
}
