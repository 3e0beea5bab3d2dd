//! The bounds of one page.

use serde::Serialize;

use super::error::SpecError;

/// Bounds of one page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Bytes as they come over the wire.
    pub wire_bytes_max: usize,
    /// Bytes after decompression, counted while decompressing.
    pub decoded_bytes_max: usize,
    /// Items.
    pub items_max: usize,
    /// Bytes of one item; larger ones are rejected.
    pub item_bytes_max: usize,
    /// Nesting of the JSON text.
    pub depth_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wire_bytes_max: 16 << 20,
            decoded_bytes_max: 32 << 20,
            items_max: 10_000,
            item_bytes_max: 1 << 20,
            depth_max: 64,
        }
    }
}

impl Limits {
    /// The most that each may be set to.
    pub(super) fn check(&self) -> Result<(), SpecError> {
        for (field, value, max) in [
            ("limits.page_items", self.items_max, 100_000),
            ("limits.wire_bytes", self.wire_bytes_max, 1 << 30),
            ("limits.page_bytes", self.decoded_bytes_max, 1 << 30),
            ("limits.event_bytes", self.item_bytes_max, 1 << 20),
            ("limits.depth", self.depth_max, 128),
        ] {
            if value == 0 || value > max {
                let problem = format!("`{value}`: expected 1 to {max}");
                return Err(SpecError { field, problem });
            }
        }
        Ok(())
    }
}
