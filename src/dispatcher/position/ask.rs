//! Asking the store: events read ahead, lanes learnt, exceptions read anew, settlements saved.

use super::{
    AHEAD_BATCHES_BYTES, AHEAD_BYTES, AHEAD_BYTES_ALL, Done, LEARN_MAX, LOOKED_MAX, LOW_BYTES,
    LOW_EVENTS, PAGE_BYTES, SAVE_EVERY, SAVE_SKIPPED_EVERY, UNSAVED_DEAD_MAX, Worker,
};
use crate::{
    dispatcher::flight,
    event::{Micros, Version},
    settings::Order,
    store::{Read, StoreError},
};

impl Worker {
    /// Reads what is ordered with what, where that is not known.
    pub(super) fn learn(&mut self) {
        let unknown = self.window.unknown(LEARN_MAX);
        if unknown.is_empty() || self.busy.learning {
            return;
        }
        self.busy.learning = true;
        let (store, topic, position) =
            (self.tools.store.clone(), self.topic.clone(), self.position);
        let sift = self.assignment.sift.clone();
        self.begin(async move {
            let mut learnt = Vec::with_capacity(unknown.len());
            for version in unknown {
                let event = flight::read(&*store, &topic, position, version).await;
                // An event that is gone or damaged holds nobody back.
                let lane = match event {
                    Err(StoreError::Damaged { .. }) => Ok(0),
                    event => event.map(|event| event.map_or(0, |event| sift.lane(&event))),
                };
                learnt.push((version, lane));
            }
            Done::Learnt(learnt)
        });
    }

    pub(super) fn read_ahead(&mut self, head: Version) {
        let (low_events, low_bytes) = self.low_marks();
        let (events, bytes) = self.window.ready();
        let after = self.window.end();
        let up_to = self.replay.as_ref().map_or(head, |(job, _)| head.min(job.to));
        let enough = events >= low_events || bytes >= low_bytes;
        // A filter that fails makes letters as fast as it is read.
        let full = self.window.looked_ahead() > LOOKED_MAX
            || self.window.unsaved_dead() >= UNSAVED_DEAD_MAX;
        if self.busy.reading || up_to <= after || enough || full {
            return;
        }
        self.busy.reading = true;
        let (store, topic) = (self.tools.store.clone(), self.topic.topic.clone());
        let max_events = (2 * low_events).clamp(1, 1_000);
        let max_bytes = (low_bytes - bytes).clamp(LOW_BYTES, PAGE_BYTES);
        // It counts from now on: many positions ask at the same moment.
        self.asked_bytes = max_bytes;
        self.begin(async move {
            let read = Read { up_to, max_events, max_bytes, ..Read::after(after) };
            Done::Page(after, store.read(&topic, read).await)
        });
    }

    /// Fewer events or bytes than these, and more are read. Priorities want to look far ahead,
    /// which all positions together may do only so far.
    fn low_marks(&self) -> (usize, usize) {
        let settings = &self.assignment.addressee.settings;
        let batch = settings.batch.map_or(1, |batch| batch.max_events);
        let low = (settings.concurrency * batch).clamp(LOW_EVENTS, 1_000).max(batch);
        let in_turn = settings.order != Order::None || settings.batch.is_some();
        let roomy = self.endpoint.common().ahead_bytes() < AHEAD_BYTES_ALL;
        if roomy && settings.batch.is_some() {
            (low, AHEAD_BATCHES_BYTES)
        } else if in_turn || self.replay.is_some() {
            (low, LOW_BYTES.max(batch * 1_024))
        } else if roomy {
            (low.max(settings.priority.read_ahead), AHEAD_BYTES)
        } else {
            (low, LOW_BYTES)
        }
    }

    pub(super) fn merge(&mut self) {
        (self.busy.merging, self.merge_wanted) = (true, false);
        self.window.begin_merge();
        let (store, position) = (self.tools.store.clone(), self.position);
        self.begin(async move { Done::Merged(store.position(position).await) });
    }

    /// Saves what is unsaved, when it is time: at once when nothing is in flight, or when something
    /// waits to be sent until it is settled.
    pub(super) fn save(&mut self, now: Micros) {
        if !self.window.is_behind() {
            return;
        }
        let since = *self.unsaved_since.get_or_insert(now);
        let at_once = self.window.is_unsaved() && self.window.in_flight() == 0;
        let time = at_once
            || !self.claims.is_empty()
            || self.tools.soft.is_cancelled()
            || now >= self.save_at(since);
        // What the store made due earlier is read before it could be overwritten.
        let merges = self.merge_wanted || self.busy.merging;
        let waits = merges || self.fetching > 0;
        if self.busy.saving || waits || !time || now < self.store_pause {
            return;
        }
        self.unsaved_since = None;
        self.busy.saving = true;
        if !self.records.is_empty() {
            self.tools.store.trace(std::mem::take(&mut self.records));
        }
        let settlement = self.window.save(now);
        let claims = std::mem::take(&mut self.claims);
        let (store, endpoint) = (self.tools.store.clone(), self.endpoint.clone());
        let clock = self.tools.clock.clone();
        self.begin(async move {
            let mut result = Ok(());
            if let Some(settlement) = &settlement {
                let saves = endpoint.common().saves();
                let mut stored = settlement.clone();
                stored.shift(clock.to_store());
                result = saves.save(&store, stored).await;
            }
            if let Err(error) = endpoint.save(&*store, &clock).await {
                tracing::warn!(
                    event = "subscription.health_unsaved", %error,
                    "the health of an endpoint was not saved"
                );
            }
            Done::Saved(settlement, claims, result)
        });
    }

    /// When what is unsaved since then is saved: all positions at the same moments, so that they
    /// share a commit.
    pub(super) fn save_at(&self, since: Micros) -> Micros {
        let every = if self.window.is_unsaved() { SAVE_EVERY } else { SAVE_SKIPPED_EVERY };
        let every = i64::try_from(every.as_micros()).unwrap_or(i64::MAX).max(1);
        Micros(since.0 - since.0.rem_euclid(every) + every)
    }

    /// A replay that has nothing left is done.
    pub(super) fn end_replay(&mut self, now: Micros) {
        let Some((job, _)) = &self.replay else { return };
        let done = self.window.reach() >= job.to
            && self.window.is_settled()
            && !self.window.is_behind()
            && !self.busy.saving
            && !self.busy.merging;
        if !done || self.busy.ending || now < self.store_pause {
            return;
        }
        self.busy.ending = true;
        let (store, position, fence) =
            (self.tools.store.clone(), self.position, self.window.fence());
        let now = self.tools.clock.now();
        self.begin(async move { Done::Ended(store.end_replay(position, fence, now).await) });
    }
}
