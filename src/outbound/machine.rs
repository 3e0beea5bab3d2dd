//! This machine at its end: no file, no port, no memory left for a connection. That is never the
//! other side's failure.

use std::{
    io::{Error, ErrorKind},
    net::{Ipv4Addr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use rustix::io::Errno;

use crate::summed::Summed;

/// How such an error is told from others.
pub(super) const KIND: ErrorKind = ErrorKind::ResourceBusy;
/// How long is waited before another try.
pub(super) const PAUSES: [Duration; 3] =
    [Duration::from_millis(50), Duration::from_millis(150), Duration::from_millis(300)];

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
    summed: Arc<Mutex<Summed>>,
}

impl Machine {
    pub(super) fn counting(count: Counter) -> Self {
        Self { count, ..Self::default() }
    }

    /// Takes note of one.
    pub(super) fn note(&self, error: &Error) {
        self.count.inc();
        let mut summed = self.summed.lock();
        let Some(count) = summed.count() else { return };
        tracing::error!(
            event = "outbound.machine_exhausted",
            %error,
            count,
            "this machine has no file, port or memory left for connections: raise its limits or \
             lower `concurrency`; no endpoint is charged with it"
        );
    }
}
