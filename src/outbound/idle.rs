//! Connections that wait for a request.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Weak},
    time::Duration,
};

use http::{HeaderMap, HeaderName};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{IDLE_FOR, IDLE_PER_HOST};
use crate::clock;

/// How often those are looked for that have waited for too long: within the half second by which a
/// receiver that closes after one second is forestalled.
const SWEEP_EVERY: Duration = Duration::from_millis(400);

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// What can wait for a request.
pub(super) trait Rest: Send + 'static {
    /// Whether it can take a request at once.
    fn is_ready(&mut self) -> bool;
    /// Until when one that waits from `now` on may take a request.
    fn until(&self, now: Instant) -> Instant;
}

/// By who is connected to; the freshest last.
pub(super) struct Idle<Peer, Connection>(Mutex<HashMap<Peer, Vec<(Connection, Instant)>>>);

impl<Peer, Connection> Default for Idle<Peer, Connection> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Peer: Eq + Hash + Send + 'static, Connection: Rest> Idle<Peer, Connection> {
    /// The connection that was used last.
    pub(super) fn take(&self, peer: &Peer) -> Option<Connection> {
        let mut idle = self.0.lock();
        let of_peer = idle.get_mut(peer)?;
        let now = clock::instant();
        while let Some((mut connection, until)) = of_peer.pop() {
            // The other side may have closed it.
            if now < until && connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    pub(super) fn put(self: &Arc<Self>, peer: Peer, connection: Connection) {
        let now = clock::instant();
        let until = connection.until(now);
        if until <= now {
            return;
        }
        let mut idle = self.0.lock();
        if idle.is_empty() {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
        let of_peer = idle.entry(peer).or_default();
        if of_peer.len() < IDLE_PER_HOST {
            of_peer.push((connection, until));
        }
    }

    /// Closes what has waited for too long; whether some wait still.
    fn expire(&self) -> bool {
        let now = clock::instant();
        let mut idle = self.0.lock();
        idle.retain(|_, of_peer| {
            of_peer.retain(|(_, until)| now < *until);
            !of_peer.is_empty()
        });
        !idle.is_empty()
    }
}

/// Closes idle connections as long as there are some.
async fn sweep<Peer: Eq + Hash + Send + 'static, Connection: Rest>(
    idle: Weak<Idle<Peer, Connection>>,
) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        if !idle.upgrade().is_some_and(|idle| idle.expire()) {
            return;
        }
    }
}

/// How long a connection may wait for the next request after this answer: less than the receiver
/// says that it does (`Keep-Alive: timeout=5`, RFC 2068, section 19.7.1), so that none is sent over
/// one that is just being closed.
pub(super) fn idle_for(headers: &HeaderMap) -> Duration {
    let said = headers.get_all(KEEP_ALIVE).iter().filter_map(|value| value.to_str().ok());
    let parameters = said.flat_map(|text| text.split(','));
    let seconds = parameters.filter_map(|one| {
        let (name, value) = one.split_once('=')?;
        let value = value.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("timeout").then(|| value.parse::<u32>().ok())?
    });
    seconds.min().map_or(IDLE_FOR, |seconds| {
        let timeout = Duration::from_secs(seconds.into());
        timeout.saturating_sub((timeout / 2).min(Duration::from_secs(1))).min(IDLE_FOR)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_let_go_of_before_its_receiver_does() {
        for (said, idle_ms) in [
            ("timeout=5", 4_000),
            ("timeout=5, max=100", 4_000),
            ("max=100,Timeout = \"2\"", 1_000),
            ("timeout=1", 500),
            ("timeout=0", 0),
            ("timeout=75", 30_000),
            ("timeout=31", 30_000),
            ("timeout=30", 29_000),
            ("max=7", 30_000),
            ("timeout=soon", 30_000),
            ("timeout=-1", 30_000),
        ] {
            let headers = HeaderMap::from_iter([(KEEP_ALIVE, said.parse().unwrap())]);
            assert_eq!(idle_for(&headers), Duration::from_millis(idle_ms), "{said}");
        }
        assert_eq!(idle_for(&HeaderMap::new()), IDLE_FOR);
    }
}
