//! What a receiver can do to a delivery, and what follows: real sockets, and the verdict that
//! `docs/delivery.md` promises. What a producer can do to a poll by the same means is tried along.

mod answers;
mod closers;
mod endpoint;
mod servers;
mod shapes;
mod tls;
mod watch;
