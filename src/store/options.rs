//! How a store is opened, and what a look at one finds.

use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{clock::Clock, seal::Seal};

/// What must be true of an event that was acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// It is on the disk of one machine at least.
    #[default]
    Any,
    /// It is on the disks of two machines: a database that does not promise that is refused.
    Replicated,
}

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Shared by the tails of all topics.
    pub tail_bytes: usize,
    /// Dedupe keys in memory over all topics.
    pub dedupe_keys_max: usize,
    /// Events that wait for their time, over all topics.
    pub pending_max: usize,
    /// Positions, over all subscriptions.
    pub positions_max: usize,
    /// Connections that read.
    pub readers: u32,
    /// What must be true of an event that was acknowledged.
    pub durability: Durability,
    /// Whether the tables of a database are made when there are none, and brought up to this release.
    pub makes_tables: bool,
    /// Whether attempts are recorded: a command that is no relay leaves their file alone.
    pub records_attempts: bool,
    /// How long a node holds its work after it last renewed its term.
    pub term: Duration,
    /// Seals what subscriptions are set to, and opens it.
    pub seal: Seal,
    /// Tells when damage was found.
    pub clock: Clock,
    /// Takes how long each commit of appends and settlements took.
    pub commit_seconds: Histogram,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tail_bytes: 64 << 20,
            dedupe_keys_max: 4_000_000,
            pending_max: 1_000_000,
            positions_max: 50_000,
            readers: 4,
            durability: Durability::default(),
            makes_tables: true,
            records_attempts: true,
            term: Duration::from_secs(10),
            seal: Seal::default(),
            clock: Clock::system(),
            // Nobody reads it.
            commit_seconds: Histogram::new([]),
        }
    }
}

/// What is in a store, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Verified {
    /// Topics.
    pub topics: usize,
    /// Events over all topics.
    pub events: u64,
    /// Those that an earlier release appended, without a checksum.
    pub unchecked: u64,
    /// What is wrong, a line each; at most 1,000.
    pub problems: Vec<String>,
    /// How much is wrong.
    pub problem_count: usize,
}
