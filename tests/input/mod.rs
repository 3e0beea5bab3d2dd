//! Bad input: each with a clear message, and nothing stored.

mod api;
mod files;
mod generated;
mod producers;
mod schema;
mod settings;
