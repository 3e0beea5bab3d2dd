//! What all subscriptions of a process share: places in flight, and room for what is read ahead.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use parking_lot::Mutex;

use super::{pool::Pool, saves::Saves};

/// Hosts with places in use that are remembered; beyond that unused ones are let go of.
const HOSTS_SWEPT_AT: usize = 1_024;

/// What all subscriptions of a process share.
#[derive(Debug)]
pub struct Common {
    pub(super) places: Arc<Pool>,
    host_max: usize,
    hosts: Mutex<HashMap<String, Arc<Pool>>>,
    /// Bytes that are read ahead of need.
    ahead_bytes: AtomicUsize,
    saves: Arc<Saves>,
}

impl Common {
    /// `in_flight_max` places in all, of which everyone may have one, and `host_max` for each host.
    #[must_use]
    pub fn new(in_flight_max: usize, host_max: usize) -> Arc<Self> {
        Arc::new(Self {
            places: Pool::new(in_flight_max, true),
            host_max,
            hosts: Mutex::default(),
            ahead_bytes: AtomicUsize::new(0),
            saves: Arc::default(),
        })
    }

    /// Bytes that are read ahead of need, in the whole process.
    #[must_use]
    pub fn ahead_bytes(&self) -> usize {
        self.ahead_bytes.load(SeqCst)
    }

    /// What brings the settlements of all positions to the store.
    #[must_use]
    pub fn saves(&self) -> &Arc<Saves> {
        &self.saves
    }

    /// Notes that one position has `now` bytes read ahead where it had `before`.
    pub fn read_ahead(&self, before: usize, now: usize) {
        self.ahead_bytes.fetch_add(now, SeqCst);
        self.ahead_bytes.fetch_sub(before, SeqCst);
    }

    pub(super) fn host(&self, host: &str) -> Arc<Pool> {
        let mut hosts = self.hosts.lock();
        if hosts.len() >= HOSTS_SWEPT_AT {
            hosts.retain(|_, pool| Arc::strong_count(pool) > 1);
        }
        let pool = hosts.entry(host.to_owned());
        pool.or_insert_with(|| Pool::new(self.host_max, false)).clone()
    }
}
