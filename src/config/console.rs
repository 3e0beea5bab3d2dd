//! `console`: whether there is one, and whether it changes anything.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The web console, at `/console/` where the API is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Console {
    /// Whether it is served.
    pub enabled: bool,
    /// Whether it only shows, whatever a key is good for.
    pub read_only: bool,
}

impl Default for Console {
    fn default() -> Self {
        Self { enabled: true, read_only: false }
    }
}
