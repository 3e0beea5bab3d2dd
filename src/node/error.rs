//! Why a node does not start, or does not take a changed file.

use std::{io, net::SocketAddr};

use crate::store::StoreError;

/// Why a node did not start, or did not take a changed file.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The configuration cannot be used.
    #[error("{0}")]
    Config(String),
    /// The API's address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The outbound network cannot be set up.
    #[error("the outbound network cannot be set up: {0}")]
    Network(String),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl NodeError {
    /// The exit code of a process that ends of it: 78 for what another configuration (or another
    /// file) would mend, else 1.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_)
            | Self::Listen { .. }
            | Self::Store(
                StoreError::Refused(_) | StoreError::InUse(_) | StoreError::Conflict(_),
            ) => 78,
            Self::Network(_) | Self::Store(_) => 1,
        }
    }
}
