//! Steps of the prober on a real store.
