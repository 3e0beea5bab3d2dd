//! Cases over a real store.
