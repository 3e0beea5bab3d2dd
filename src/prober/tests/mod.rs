//! Steps of the prober on a real store, against a scripted producer; no sockets.

mod held;
mod leaps;
mod newest_first;
mod pauses;
mod silence;
mod steps;
mod support;
mod trouble;
