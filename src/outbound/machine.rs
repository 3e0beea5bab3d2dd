//! This machine at its end: no file, no port, no memory left for a connection. That is never the
//! other side's failure.

use std::{
    io::{Error, ErrorKind},
    net::{Ipv4Addr, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use prometheus_client::metrics::counter::Counter;
use rustix::io::Errno;

/// How such an error is told from others.
pub(super) const KIND: ErrorKind = ErrorKind::ResourceBusy;
/// How long is waited before another try.
pub(super) const PAUSES: [Duration; 3] =
    [Duration::from_millis(50), Duration::from_millis(150), Duration::from_millis(300)];
/// How often it is logged at most.
const LOG_EVERY: Duration = Duration::from_mins(1);

/// Whether the system had nothing left to do what was asked with.
pub(super) fn is_at_its_end(error: &Error) -> bool {
    Errno::from_io_error(error).is_some_and(|errno| {
        [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::ADDRNOTAVAIL]
            .contains(&errno)
    })
}

/// Why a look-up failed, if this machine had nothing left for it: what the resolver says, or what
/// opening another socket does.
pub(super) fn end_of_it(error: &Error) -> Option<Error> {
    let own = |error: &Error| {
        is_at_its_end(error)
            .then(|| Error::new(KIND, format!("this machine has none left: {error}")))
    };
    own(error).or_else(|| own(&UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).err()?))
}

/// Counts such failures, and logs them together.
#[derive(Debug, Clone, Default)]
pub(super) struct Machine {
    count: Counter,
    logged: Arc<Mutex<Option<(Instant, u64)>>>,
}

impl Machine {
    pub(super) fn counting(count: Counter) -> Self {
        Self { count, ..Self::default() }
    }

    /// Takes note of one.
    pub(super) fn note(&self, error: &Error) {
        let count = self.count.inc() + 1;
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let since = match *logged {
            Some((at, _)) if at.elapsed() < LOG_EVERY => return,
            Some((_, before)) => count - before,
            None => count,
        };
        *logged = Some((Instant::now(), count));
        tracing::error!(
            %error,
            count = since,
            "this machine has no file, port or memory left for connections: raise its limits or \
             lower `concurrency`; no endpoint is charged with it"
        );
    }
}
