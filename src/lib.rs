//! Milkrun, an active pull-and-push relay: the map, in reading order.
//!
//! `ARCHITECTURE.md` has the way of one event through these modules.

#![cfg_attr(
    test,
    expect(clippy::disallowed_methods, reason = "tests measure with the machine's clock")
)]

// What is talked about: plain data, the one JSON form, the present moment.
pub mod event;
pub mod nearest;
pub mod settings;

pub mod wire;

pub mod expr;

pub mod clock;

pub mod key;
pub mod seal;

pub mod holdings;

// In: from producers into the log.
pub mod prober;

pub mod intake;

// Where it is kept.
pub mod store;

// What the relay says of itself, in the log too.
pub mod notices;

// Out: from the log to consumers.
pub mod dispatcher;

pub mod sift;

pub mod health;

pub mod settle;

pub mod retry;

// The one network of both.
pub mod outbound;
pub mod pending;

pub mod stuck;
pub mod vet;

// Who else works on the log: readers and publishers, and the one who tidies up.
pub mod api;
pub mod backups;
pub mod console;
pub mod janitor;
pub mod series;

// One process of it all, and how it is told what to do.
pub mod logs;
pub mod summed;
pub mod telemetry;

mod regular;

pub mod config;

pub mod node;

pub mod cli;

/// How many histories a property test makes up.
#[cfg(test)]
fn cases() -> u32 {
    if std::env::var_os("MILKRUN_FULL").is_some() { 100_000 } else { 256 }
}
