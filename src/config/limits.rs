//! `limits`: the bounds of the whole process.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_saphyr::Location;

use super::error::Problems;

/// The bounds of the whole process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The newest events in memory, all topics together.
    #[schemars(range(min = 0, max = BYTES_MAX))]
    pub tail_bytes: usize,
    /// Dedupe keys in memory, all topics together.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub dedupe_keys_max: usize,
    /// Positions: one for each topic of each subscription, and one for each replay that runs. A
    /// subscription or a topic that needs more is refused.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub positions_max: usize,
    /// Decoded pages in memory, all sources together.
    #[schemars(range(min = WALK_BYTES_MIN, max = BYTES_MAX))]
    pub walk_bytes_max: usize,
    /// Sources that are asked at the same time.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub walks_max: usize,
    /// Deliveries under way, all subscriptions together.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub in_flight_max: usize,
    /// Deliveries under way to one host, all subscriptions on it together.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub host_in_flight_max: usize,
    /// What is held for all clients of the API together: bodies until their request is answered,
    /// answers until they are sent. What finds no room is answered 503.
    #[schemars(range(min = API_BYTES_MIN, max = BYTES_MAX))]
    pub api_bytes_max: usize,
    /// Long polls and event streams of the API.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub streams_max: usize,
    /// Connections that read the store.
    #[schemars(range(min = 1, max = 64))]
    pub readers: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tail_bytes: 64 << 20,
            dedupe_keys_max: 4_000_000,
            positions_max: 50_000,
            walk_bytes_max: 256 << 20,
            walks_max: 64,
            in_flight_max: 4_096,
            host_in_flight_max: 1_024,
            api_bytes_max: 256 << 20,
            streams_max: 10_000,
            readers: 4,
        }
    }
}

/// One page that fills its own bound must fit.
const WALK_BYTES_MIN: usize = 32 << 20;
/// The largest body of a publish must fit into a half, twice.
const API_BYTES_MIN: usize = 32 << 20;
/// More than any machine that this is run on has to spare: 64 GiB.
const BYTES_MAX: usize = 64 << 30;

impl Limits {
    pub(crate) fn check(&self, at: Location, problems: &mut Problems<'_>) {
        for (name, value, least, most) in [
            ("tail_bytes", self.tail_bytes, 0, BYTES_MAX),
            ("dedupe_keys_max", self.dedupe_keys_max, 1, 1_000_000_000),
            ("positions_max", self.positions_max, 1, 10_000_000),
            ("walk_bytes_max", self.walk_bytes_max, WALK_BYTES_MIN, BYTES_MAX),
            ("walks_max", self.walks_max, 1, 1_000_000),
            ("in_flight_max", self.in_flight_max, 1, 1_000_000),
            ("host_in_flight_max", self.host_in_flight_max, 1, 1_000_000),
            ("api_bytes_max", self.api_bytes_max, API_BYTES_MIN, BYTES_MAX),
            ("streams_max", self.streams_max, 1, 1_000_000),
            ("readers", self.readers as usize, 1, 64),
        ] {
            if !(least..=most).contains(&value) {
                problems.add(at, format!("`limits.{name}: {value}`: expected {least} to {most}"));
            }
        }
    }
}
