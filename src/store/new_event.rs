//! What goes into the log.

use std::sync::Arc;

use crate::event::{Data, Micros, attribute};

/// An event that was checked and is to be numbered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// CloudEvents `source`; with `id` what makes it known.
    pub source: String,
    /// CloudEvents `id`.
    pub id: String,
    /// See [`Event::attributes`](crate::event::Event::attributes); holds `source` and `id` too.
    pub attributes: Arc<str>,
    /// The producer's bytes.
    pub data: Data,
    /// When it goes into the log; until then it is pending. `None`: now.
    pub deliver_at: Option<Micros>,
}

impl NewEvent {
    /// As [`Event::attribute`](crate::event::Event::attribute).
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<String> {
        attribute(&self.attributes, name)
    }
}
