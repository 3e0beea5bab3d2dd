//! What every backend decides alike: pure, without SQL and without a runtime.

pub(crate) mod access_keys;
pub(crate) mod bounds;
pub(crate) mod group;
pub(crate) mod keys;
pub(crate) mod known;
pub(crate) mod ops;
pub(crate) mod pending;
pub(crate) mod registry;
pub(crate) mod retention;
pub(crate) mod settled;
pub(crate) mod source;
