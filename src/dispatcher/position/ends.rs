//! Taking in what has ended: requests, reads, saves.

use futures_util::{FutureExt as _, StreamExt as _};

use super::{Assignment, Done, ENDS_MAX, RECORDS_MAX, STORE_PAUSE, Step, Worker};
use crate::{
    clock,
    dispatcher::{
        endpoint::Place,
        flight::{Landed, Unsent},
        landing::{self, Judged, Landing},
        window::{Settled, Take},
    },
    event::{Micros, Version},
    health::{Held, Learnt},
    notices::{DeadLetters, Notice},
    sift::Sifted,
    store::{
        Attempt, DeadReason, LastAnswer, NewDeadLetter, Page, Settlement, StoreError,
        SubscriptionSteer,
    },
};

impl Worker {
    pub(super) fn take_assignment(&mut self) -> Step {
        let assignment = self.assignments.borrow_and_update().clone();
        if assignment.fence > self.window.fence() {
            return Step::Stale;
        }
        self.merge_wanted |= assignment.edit != self.assignment.edit;
        self.disabled &= !assignment.serve || assignment.edit == self.assignment.edit;
        let is_replay = self.replay.is_some();
        let rules = assignment.rules(is_replay);
        let filter = |assignment: &Assignment| assignment.addressee.settings.filter.clone();
        if rules != self.assignment.rules(is_replay)
            || filter(&assignment) != filter(&self.assignment)
        {
            self.window.rule(rules);
        }
        self.assignment = assignment;
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
            Done::Page(after, result) => {
                (self.busy.reading, self.asked_bytes) = (false, 0);
                match result {
                    Ok(page) => self.take_page(after, page),
                    Err(StoreError::Damaged { from, to, problem, .. }) => {
                        self.pass_damaged(after, (from, to), problem);
                    }
                    Err(error) => return self.failed("read", &error),
                }
            }
            Done::Fetched(take, place) => {
                self.fetching -= 1;
                self.claims.push((take, place));
            }
            Done::Learnt(learnt) => {
                self.busy.learning = false;
                for (version, lane) in learnt {
                    match lane {
                        Ok(lane) => self.window.learn(version, lane),
                        Err(error) => return self.failed("read", &error),
                    }
                }
            }
            Done::Saved(settlement, claims, result) => {
                self.busy.saving = false;
                return self.saved(settlement, claims, result);
            }
            Done::Merged(result) => {
                self.busy.merging = false;
                match result {
                    Ok(state) if state.fence > self.window.fence() => return Step::Stale,
                    Ok(mut state) => {
                        state.shift(self.tools.clock.of_stored(state.saved));
                        self.window.merge(state);
                    }
                    Err(error) => {
                        self.merge_wanted = true;
                        return self.failed("position", &error);
                    }
                }
            }
            Done::Disabled(Ok(())) => {}
            Done::Disabled(Err(error)) => {
                self.disabled = false;
                self.endpoint.set_gone(false);
                return self.failed("disable", &error);
            }
            Done::Ended(Ok(())) => return Step::Done,
            Done::Ended(Err(error)) => {
                self.busy.ending = false;
                return self.failed("end", &error);
            }
        }
        Step::Went
    }

    /// What was claimed is sent once the store knows that it is settled.
    fn saved(
        &mut self,
        settlement: Option<Settlement>,
        claims: Vec<(Take, Place)>,
        result: Result<(), StoreError>,
    ) -> Step {
        let Err(error) = result else {
            for (take, place) in claims {
                self.launch(take, place);
            }
            self.tell_of_dead(settlement);
            return Step::Went;
        };
        for (take, _) in claims {
            self.requests -= 1;
            self.retries -= usize::from(take.is_retry);
            for (version, _) in take.versions {
                self.window.settle(version, Settled::Back);
            }
        }
        if let Some(settlement) = settlement {
            self.window.unsave(settlement);
        }
        self.failed("save", &error)
    }

    fn take_page(&mut self, after: Version, page: Page) {
        // What was read ahead was let go of meanwhile: it is read again.
        if after != self.window.end() {
            return;
        }
        let oldest = page.state.oldest;
        if page.events.is_empty() && oldest > self.window.end().next() {
            // All that was left has gone; the store has recorded what of it was owed.
            self.window.skip_to(oldest.previous());
        } else if let Some(passed) = page.passed {
            // A gap tells of what is lost.
            self.window.skip_to(passed);
        }
        let (now, believed) = (self.tools.clock.steady(), self.tools.clock.believed());
        let (sift, topic) = (&self.assignment.sift, &self.topic.topic);
        let mut passed_over = 0;
        self.window.extend(page.events, now, |event| {
            let sifted = sift.sift(event, topic, believed);
            passed_over += u64::from(matches!(sifted, Sifted::Skipped));
            sifted
        });
        self.deliveries.filtered.inc_by(passed_over);
        if page.state.epochs != self.topic.epochs {
            self.topic = page.state;
        }
    }

    /// What cannot be given becomes a dead letter, and a range of it is passed over: the store
    /// makes a gap of each.
    fn pass_damaged(&mut self, after: Version, (from, to): (Version, Version), problem: String) {
        if after != self.window.end() {
            return;
        }
        let subscription = self.assignment.addressee.name.as_str();
        tracing::error!(
            event = "subscription.damage_passed",
            subscription, topic = %self.topic.topic, from = from.0, to = to.0,
            "passed over: {problem}"
        );
        if from == to {
            self.window.bury_damaged(from, problem, self.tools.clock.now());
        } else {
            self.window.skip_to(to);
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
                let subscription = self.assignment.addressee.name.as_str();
                tracing::warn!(
                    event = "subscription.store_failed",
                    subscription, topic = %self.topic.topic, what, %error,
                    "the store failed"
                );
                self.store_pause = self.tools.clock.steady().plus(STORE_PAUSE);
                Step::Went
            }
        }
    }

    fn land(&mut self, landed: Landed) {
        let Landed {
            attempt,
            is_retry,
            addressee,
            started,
            ended,
            sent,
            recorded,
            outcome,
            unsent,
            place,
        } = landed;
        self.tools.metrics.in_flight.dec();
        self.requests -= 1;
        self.retries -= usize::from(is_retry);
        for (version, why) in unsent {
            self.settle_unsent(version, why, (attempt, started));
        }
        if let Some(outcome) = outcome {
            let landing = Landing {
                addressee: &self.assignment.addressee,
                is_moved: addressee.settings.url != self.assignment.addressee.settings.url,
                position: self.position,
                topic: self.topic.id,
                versions: &sent,
                attempt,
                started,
                ended,
                outcome: &outcome,
                chance: clock::chance(),
            };
            let judged =
                landing::land(&landing, self.assignment.ceiling, &mut self.window, &self.endpoint);
            self.count(&judged, &outcome, &recorded);
            self.tools.metrics.attempt_seconds.observe(ended.since(started).as_secs_f64());
            self.take_judged(judged);
        }
        drop(place);
    }

    /// What was not sent is settled without an attempt, and shows in the trace where that tells
    /// something.
    fn settle_unsent(&mut self, version: Version, why: Unsent, tried: (u32, Micros)) {
        let (attempt, now) = tried;
        let settled = match why {
            Unsent::Missing => Settled::Gone,
            Unsent::Later => Settled::Back,
            Unsent::Unread(StoreError::Damaged { problem, .. }) => {
                self.dead(version, DeadReason::Damaged, problem, now)
            }
            Unsent::Unread(error) => {
                self.failed("read", &error);
                Settled::Back
            }
            Unsent::Filtered => {
                self.deliveries.filtered.inc();
                self.record_unsent((version, attempt), now, "filtered", None);
                Settled::Gone
            }
            Unsent::Expired => {
                self.deliveries.filtered.inc();
                self.record_unsent((version, attempt), now, "expired", None);
                Settled::Gone
            }
            // Recorded once it is on disk, with those that died when they were read.
            Unsent::Dead(reason, why) => self.dead(version, reason, why, now),
        };
        self.window.settle(version, settled);
    }

    pub(super) fn record_unsent(
        &mut self,
        (version, attempt): (Version, u32),
        started: Micros,
        verdict: &str,
        error: Option<String>,
    ) {
        self.record(Attempt {
            id: 0,
            subscription: self.assignment.addressee.subscription,
            topic: self.topic.id,
            version,
            attempt,
            started,
            duration_ms: 0,
            status: None,
            answer: Vec::new(),
            error,
            verdict: verdict.to_owned(),
        });
    }

    fn dead(&self, version: Version, reason: DeadReason, why: String, now: Micros) -> Settled {
        let prior = self.window.exception(version);
        Settled::Dead(NewDeadLetter {
            version,
            reason,
            attempts: prior.map_or(0, |prior| prior.tries),
            first: prior.map_or(now, |prior| prior.first),
            last: LastAnswer { status: None, error: Some(why) },
        })
    }

    fn record(&mut self, attempt: Attempt) {
        let started = attempt.started.shifted(self.tools.clock.to_store());
        self.records.push(Attempt { started, ..attempt });
        if self.records.len() >= RECORDS_MAX {
            self.tools.store.trace(std::mem::take(&mut self.records));
        }
    }

    fn take_judged(&mut self, judged: Judged) {
        for record in judged.records {
            self.record(record);
        }
        if judged.gone {
            self.disable("the endpoint answered 410 Gone", judged.last);
        } else if judged.given_up {
            self.disable("the endpoint was on hold for too long", judged.last);
        } else {
            self.tell_of_hold(judged.learnt, judged.last);
        }
    }

    fn tell_of_hold(&self, learnt: Learnt, last: LastAnswer) {
        let subscription = self.assignment.addressee.name.clone();
        let by_wall = |since: Micros| since.shifted(self.tools.clock.to_store());
        if let Some(Held { since, asked }) = learnt.held {
            let since = by_wall(since);
            let reason = match asked.as_secs() {
                0 => "attempts failed in a row".to_owned(),
                seconds => format!("the endpoint asked for a pause of {seconds} s"),
            };
            tracing::warn!(
                event = "subscription.failing",
                %subscription, status = last.status, error = last.error,
                "on hold"
            );
            self.tools.notices.tell(Notice::Failing { subscription, reason, since, last });
        } else if let Some(since) = learnt.recovered {
            let since = by_wall(since);
            tracing::info!(event = "subscription.recovered", %subscription, "no longer on hold");
            self.tools.notices.tell(Notice::Recovered { subscription, since });
        }
    }

    /// Tells of what was given up, once it is on disk.
    fn tell_of_dead(&mut self, settlement: Option<Settlement>) {
        let dead = settlement.map(|settlement| settlement.dead).unwrap_or_default();
        self.count_unsent(&dead);
        self.log_given_up(&dead);
        for letter in dead {
            self.deliveries.died(letter.reason, 1);
            self.tools.notices.tell(Notice::DeadLetters(DeadLetters {
                subscription: self.assignment.addressee.name.clone(),
                count: 1,
                topic: self.topic.topic.clone(),
                version: letter.version,
                reason: letter.reason,
                attempts: letter.attempts,
                last: letter.last,
            }));
        }
    }

    fn disable(&mut self, reason: &str, last: LastAnswer) {
        if std::mem::replace(&mut self.disabled, true) || self.endpoint.set_gone(true) {
            return;
        }
        let subscription = self.assignment.addressee.name.clone();
        tracing::warn!(
            event = "subscription.disabled", %subscription, reason,
            "subscription disabled"
        );
        self.tools.notices.tell(Notice::Disabled { subscription, reason: reason.to_owned(), last });
        let (store, now) = (self.tools.store.clone(), self.tools.clock.now());
        let (name, id) =
            (self.assignment.addressee.name.clone(), self.assignment.addressee.subscription);
        let steer = SubscriptionSteer::Disable { id, reason: reason.to_owned() };
        self.begin(async move {
            Done::Disabled(store.steer_subscription(&name, steer, now).await.map(drop))
        });
    }
}
