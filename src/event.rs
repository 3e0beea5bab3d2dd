//! Plain data: names, versions, epochs, cursors, times and the event itself.
//!
//! A value of these types is valid by construction; nothing here does input or output.

mod attributes;
mod data;
mod micros;
mod name;
mod new_event;
mod version;

pub use self::{
    attributes::Attributes,
    data::Data,
    micros::Micros,
    name::{Name, NameError, PatternError, Topic, TopicPattern},
    new_event::NewEvent,
    version::{Cursor, CursorError, Epoch, Position, Version},
};

/// The highest value of the attribute `priority`.
pub const PRIORITY_MAX: u8 = 9;

/// A draft that the log accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place in the topic.
    pub version: Version,
    /// The epoch of that version.
    pub epoch: Epoch,
    /// When the log accepted it; never below its predecessor's.
    pub recorded: Micros,
    /// What CloudEvents says of it.
    pub attributes: Attributes,
    /// The producer's bytes.
    pub data: Data,
}

impl Event {
    /// What the event counts for against limits: its attributes and data.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.attributes.as_str().len() + self.data.bytes().len()
    }

    /// The event's own cursor.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, version: self.version }
    }
}
