//! Taking in what has ended: attempts, reads, saves.

use futures_util::{FutureExt as _, StreamExt as _};

use super::{Done, ENDS_MAX, RECORDS_MAX, STORE_PAUSE, Step, Worker};
use crate::{
    clock,
    dispatcher::{
        flight::{End, Landed},
        landing::{self, Landing},
        window::Settled,
    },
    settle::Verdict,
    store::{Page, StoreError, SubscriptionSteer},
};

impl Worker {
    pub(super) fn take_order(&mut self) -> Step {
        let order = self.orders.borrow_and_update().clone();
        if order.fence > self.window.fence() {
            return Step::Stale;
        }
        self.merge_wanted |= order.edit != self.order.edit;
        self.disabled &= !order.serve || order.edit == self.order.edit;
        self.order = order;
        Step::Went
    }

    pub(super) fn take_in_all(&mut self, first: Done) -> Step {
        let mut step = self.take_in(first);
        for _ in 1..ENDS_MAX {
            if step != Step::Went {
                break;
            }
            let Some(Some(done)) = self.under_way.next().now_or_never() else { break };
            step = self.take_in(done);
        }
        step
    }

    fn take_in(&mut self, done: Done) -> Step {
        match done {
            Done::Landed(landed) => self.land(landed),
            Done::Page(result) => {
                self.busy.reading = false;
                match result {
                    Ok(page) => self.take_page(page),
                    Err(error) => return self.failed("read", &error),
                }
            }
            Done::Saved(settlement, result) => {
                self.busy.saving = false;
                if let Err(error) = result {
                    if let Some(settlement) = settlement {
                        self.window.unsave(settlement);
                    }
                    return self.failed("save", &error);
                }
            }
            Done::Merged(result) => {
                self.busy.merging = false;
                match result {
                    Ok(state) if state.fence > self.window.fence() => return Step::Stale,
                    Ok(state) => self.window.merge(state),
                    Err(error) => {
                        self.merge_wanted = true;
                        return self.failed("position", &error);
                    }
                }
            }
            Done::Disabled(Ok(())) => {}
            Done::Disabled(Err(error)) => {
                self.disabled = false;
                return self.failed("disable", &error);
            }
        }
        Step::Went
    }

    fn take_page(&mut self, page: Page) {
        let oldest = page.state.oldest;
        if page.events.is_empty() && oldest > self.window.end().next() {
            // All that was left has gone; the store has recorded what of it was owed.
            self.window.skip_to(oldest.previous());
        }
        self.window.extend(page.events);
        if page.state.epochs != self.topic.epochs {
            self.topic = page.state;
        }
    }

    fn failed(&mut self, what: &str, error: &StoreError) -> Step {
        match error {
            StoreError::Stale => {
                self.tools.metrics.stale.inc();
                Step::Stale
            }
            StoreError::NotFound { .. } => Step::Stale,
            error => {
                let subscription = self.order.plan.name.as_str();
                tracing::warn!(subscription, topic = %self.topic.topic, what, %error, "the store failed");
                self.store_pause = self.tools.clock.now().plus(STORE_PAUSE);
                Step::Went
            }
        }
    }

    fn land(&mut self, landed: Landed) {
        let Landed { version, attempt, is_retry, started, ended, end, place } = landed;
        self.tools.metrics.in_flight.dec();
        self.retries -= usize::from(is_retry);
        match end {
            End::Pushed(outcome) => {
                self.settle(&Landing {
                    position: self.position,
                    topic: self.topic.id,
                    version,
                    attempt,
                    started,
                    ended,
                    outcome: &outcome,
                });
            }
            End::Missing => {
                self.window.settle(version, Settled::Gone);
            }
            End::Unread(error) => {
                self.window.settle(version, Settled::Back);
                self.failed("read", &error);
            }
        }
        drop(place);
    }

    fn settle(&mut self, landing: &Landing<'_>) {
        let order = &self.order;
        let window = &mut self.window;
        let chance = clock::chance();
        let landed =
            landing::land(landing, &order.plan, order.ceiling, window, &self.endpoint, chance);
        let seconds = landing.ended.since(landing.started).as_secs_f64();
        self.tools.metrics.attempt_seconds.observe(seconds);
        let counter = match landed.verdict {
            Verdict::Delivered => 0,
            Verdict::RetryAt(_) => 1,
            Verdict::Dead(_) => 2,
            Verdict::Gone => 3,
        };
        self.counters[counter].inc();
        self.records.push(landed.record);
        if self.records.len() >= RECORDS_MAX {
            self.tools.store.trace(std::mem::take(&mut self.records));
        }
        if landed.verdict == Verdict::Gone {
            self.disable("the endpoint answered 410 Gone");
        } else if landed.given_up {
            self.disable("the endpoint was on hold for too long");
        }
    }

    fn disable(&mut self, reason: &str) {
        if self.disabled {
            return;
        }
        self.disabled = true;
        tracing::warn!(subscription = %self.order.plan.name, reason, "subscription disabled");
        let (store, now) = (self.tools.store.clone(), self.tools.clock.now());
        let (name, steer) =
            (self.order.plan.name.clone(), SubscriptionSteer::Disable(reason.to_owned()));
        self.begin(async move {
            Done::Disabled(store.steer_subscription(&name, steer, now).await.map(drop))
        });
    }
}
