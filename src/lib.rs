//! Milkrun, an active pull-and-push relay: the map, in reading order.

// What everything speaks of.
pub mod clock;
pub mod event;
pub mod settings;
pub mod wire;

// The way of an event, from the producer to the consumer.
pub mod prober;

pub mod intake;

pub mod store;

pub mod dispatcher;

pub mod settle;

pub mod retry;

pub mod outbound;

// What else a process does.
pub mod api;
pub mod janitor;
pub mod telemetry;

// How it is put together and started.
pub mod config;
pub mod node;

pub mod cli;
