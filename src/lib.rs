//! Milkrun, an active pull-and-push relay: the map, in reading order.

pub mod api;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dispatcher;
pub mod event;
pub mod intake;
pub mod janitor;
pub mod node;
pub mod outbound;
pub mod prober;
pub mod retry;
pub mod settings;
pub mod settle;
pub mod store;
pub mod telemetry;
pub mod wire;
