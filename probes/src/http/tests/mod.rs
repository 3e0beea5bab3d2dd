//! Walks against a scripted producer; no sockets.

mod bad;
mod changes;
mod cursors;
mod ends;
mod lost;
mod memory;
mod packed;
mod packed_any;
mod packed_seen;
mod packed_text;
mod packing;
mod pages;
mod repeats;
mod support;
mod taken;
mod times;
