//! Whether an endpoint agreed to be sent to.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use parking_lot::Mutex;

/// An endpoint's consent to a contract, which is lost when it gets another.
#[derive(Debug, Default)]
pub(super) struct Consent {
    /// Held while consent is asked for, so that it is asked for once.
    asking: tokio::sync::Mutex<()>,
    /// How often it was not given.
    refusals: AtomicU64,
    /// The contract that it was given to, and what is allowed, in events a second.
    given: Mutex<Option<(String, Option<f64>)>>,
}

impl Consent {
    /// Whether it was given to this `contract`.
    pub(super) fn is_to(&self, contract: &str) -> bool {
        self.given.lock().as_ref().is_some_and(|given| given.0 == contract)
    }

    /// Forgets a consent to anything but this `contract`.
    pub(super) fn keep_to(&self, contract: Option<&str>) {
        self.given.lock().take_if(|given| Some(&*given.0) != contract);
    }

    /// The rate that is allowed with it, in events a second.
    pub(super) fn rate(&self) -> Option<f64> {
        self.given.lock().as_ref()?.1
    }

    /// Asks for it by `greet`, unless it was given to this `contract`; `greet` answers the rate
    /// that is allowed.
    ///
    /// # Errors
    /// As `greet`, or `waited` when another had asked meanwhile, in vain: one attempt waits for one
    /// answer. The next attempt asks again.
    pub(super) async fn ask<E>(
        &self,
        contract: &str,
        greet: impl Future<Output = Result<Option<f64>, E>>,
        waited: impl FnOnce() -> E,
    ) -> Result<(), E> {
        let refusals = self.refusals.load(SeqCst);
        let _asking = self.asking.lock().await;
        if self.is_to(contract) {
            return Ok(());
        }
        if self.refusals.load(SeqCst) != refusals {
            return Err(waited());
        }
        let greeted = greet.await;
        self.refusals.fetch_add(u64::from(greeted.is_err()), SeqCst);
        *self.given.lock() = Some((contract.to_owned(), greeted?));
        Ok(())
    }
}
