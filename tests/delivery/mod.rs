//! What a receiver can do to a delivery, and what follows: real sockets, and the verdict that
//! `docs/delivery.md` promises. What a producer can do to a poll by the same means is tried along.

mod answers;
mod closers;
mod endpoint;
mod servers;
mod shapes;
mod tls;
mod watch;

/// How attempts that did not deliver end, as the metrics have it.
const FAILED: [&str; 8] = ["3xx", "4xx", "5xx", "partial", "timeout", "connect", "tls", "ours"];
