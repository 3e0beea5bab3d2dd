//! What a receiver can do to a delivery, and what follows: real sockets, and the verdict that
//! `docs/delivery.md` promises.

mod answers;
mod closers;
mod endpoint;
mod servers;
