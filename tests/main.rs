//! What is tested from outside: the store contract, the built binary, real servers, and the shape
//! of the source.
//!
//! `scripts/test` runs these in their short form; `MILKRUN_FULL=1` asks for the full counts.

#![expect(clippy::disallowed_methods, reason = "tests measure with the machine's clock")]

mod support;

mod browser;
mod cells;
mod clients;
mod cluster;
mod console;
mod delivery;
mod deploy;
mod expr;
mod field;
mod flow;
mod history;
mod input;
mod kinto;
mod liar;
mod metrics;
mod process;
mod recipes;
mod secrets;
mod simulation;
mod steering;
mod store;
mod structure;
mod verify;
