//! What goes into the log.

use super::{Attributes, Data, Micros};

/// An event that was checked and is to be numbered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// CloudEvents `source`; with `id` what makes it known.
    pub source: String,
    /// CloudEvents `id`.
    pub id: String,
    /// Holds `source` and `id` too.
    pub attributes: Attributes,
    /// The producer's bytes.
    pub data: Data,
    /// When it goes into the log; until then it is pending. `None`: now.
    pub deliver_at: Option<Micros>,
}

impl NewEvent {
    /// What it counts for against limits, as [`Event::size_bytes`](super::Event::size_bytes).
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.attributes.as_str().len() + self.data.bytes().len()
    }
}
