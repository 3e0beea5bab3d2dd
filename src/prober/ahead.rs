//! The page after the one that is being kept: it is asked for meanwhile, for a producer takes its
//! time as the disk does.

use std::{
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
};

use probes::{Failure, Mark, Page};

/// What came, or why nothing did.
type Fetched = Result<Page, Failure>;

/// A page to come.
pub(super) type Fetch = Pin<Box<dyn Future<Output = Fetched> + Send>>;

/// A page that was asked for before its turn. Dropping it costs the producer one request in vain.
pub(super) struct Ahead {
    pub(super) mark: Mark,
    state: State,
}

enum State {
    Coming(Fetch),
    Here(Box<Fetched>),
}

impl Ahead {
    /// The page at `mark`, as `fetch` gets it.
    pub(super) fn new(mark: Mark, fetch: Fetch) -> Self {
        Self { mark, state: State::Coming(fetch) }
    }

    /// Does `work`, and moves the request on meanwhile.
    pub(super) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| {
            if let State::Coming(fetch) = &mut self.state
                && let Poll::Ready(page) = fetch.as_mut().poll(context)
            {
                self.state = State::Here(Box::new(page));
            }
            work.as_mut().poll(context)
        })
        .await
    }

    /// The page, once it is there.
    pub(super) async fn page(self) -> Fetched {
        match self.state {
            State::Coming(fetch) => fetch.await,
            State::Here(page) => *page,
        }
    }
}

impl fmt::Debug for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ahead").field("mark", &self.mark).finish_non_exhaustive()
    }
}
