//! The producer's own bytes, and what they are.

use bytes::Bytes;

/// What an event carries: the producer's own bytes, never serialised again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Data {
    /// No data at all.
    #[default]
    None,
    /// Valid JSON text; goes into a CloudEvent as it is.
    Json(Bytes),
    /// UTF-8 text that is not JSON; becomes a JSON string.
    Text(Bytes),
    /// Anything else; becomes `data_base64`.
    Binary(Bytes),
}

impl Data {
    /// The bytes, empty for [`Data::None`].
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::None => &[],
            Self::Json(bytes) | Self::Text(bytes) | Self::Binary(bytes) => bytes,
        }
    }

    /// The same in memory of its own.
    #[must_use]
    pub fn copied(&self) -> Self {
        match self {
            Self::None => Self::None,
            Self::Json(bytes) => Self::Json(Bytes::copy_from_slice(bytes)),
            Self::Text(bytes) => Self::Text(Bytes::copy_from_slice(bytes)),
            Self::Binary(bytes) => Self::Binary(Bytes::copy_from_slice(bytes)),
        }
    }
}
