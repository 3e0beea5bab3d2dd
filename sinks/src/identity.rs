//! Certificates of one target, and the networks that are made of them.

use std::{fmt, sync::Arc};

use crate::{Network, recent::Recent};

/// The most networks that are kept besides the usual one; each has connections of its own.
const NETWORKS_MAX: usize = 256;

/// Certificates that a target wants; PEM texts.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The client's certificate chain, the leaf first.
    pub certificate: Option<String>,
    /// The client's private key; goes with `certificate`.
    pub key: Option<String>,
    /// Authorities that are trusted in the place of the system's.
    pub ca: Option<String>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(…)")
    }
}

/// Makes the network of an identity, or says why there can be none.
pub(crate) type Build = Arc<dyn Fn(&Identity) -> Result<Network, String> + Send + Sync>;

/// The usual network, and those of identities, made when they are first wanted.
#[derive(Clone)]
pub(crate) struct Networks {
    usual: Network,
    build: Build,
    made: Recent<Arc<Identity>, Network>,
}

impl Networks {
    pub(crate) fn new(usual: Network, build: Build) -> Self {
        Self { usual, build, made: Recent::new(NETWORKS_MAX) }
    }

    pub(crate) fn get(&self, identity: Option<&Arc<Identity>>) -> Result<Network, String> {
        match identity {
            Some(identity) => self.made.get(identity, || (self.build)(identity)),
            None => Ok(self.usual.clone()),
        }
    }
}

impl fmt::Debug for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Networks(…)")
    }
}
