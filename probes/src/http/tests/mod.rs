//! Walks against a scripted producer; no sockets.

mod bad;
mod cursors;
mod pages;
mod support;
