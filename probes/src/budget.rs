//! A bound on the memory of all pages together.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What one permit stands for.
const UNIT_BYTES: usize = 64 << 10;

/// How many bytes of pages may be held at once, by all probes that share it.
#[derive(Debug, Clone)]
pub struct Budget {
    permits: Arc<Semaphore>,
    units: usize,
}

impl Budget {
    /// A budget of `bytes`.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let units = (bytes / UNIT_BYTES).clamp(1, u32::MAX as usize);
        Self { permits: Arc::new(Semaphore::new(units)), units }
    }

    /// Bytes held now, in units of 64 KiB.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.units.saturating_sub(self.permits.available_permits()) * UNIT_BYTES
    }

    /// Waits for room for a first small piece.
    pub(crate) async fn hold(&self) -> Held {
        let mut held = Held { budget: self.clone(), permit: None, units: 0 };
        held.grow(1).await;
        held
    }
}

/// A page's share of the budget, given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    budget: Budget,
    permit: Option<OwnedSemaphorePermit>,
    units: usize,
}

impl Held {
    /// Waits until the share covers `bytes`. Those who wait for each other are ended by their
    /// deadlines.
    pub(crate) async fn grow(&mut self, bytes: usize) {
        let wanted = bytes.div_ceil(UNIT_BYTES).min(self.budget.units);
        let more = wanted.saturating_sub(self.units);
        if more == 0 {
            return;
        }
        let more_permits = u32::try_from(more).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        if let Ok(permit) = self.budget.permits.clone().acquire_many_owned(more_permits).await {
            self.units = wanted;
            match &mut self.permit {
                Some(held) => held.merge(permit),
                none => *none = Some(permit),
            }
        }
    }
}
