//! Starting requests: whether one may go, which, and off it goes.

use super::{Done, Worker};
use crate::{
    dispatcher::{
        endpoint::Place,
        flight::{self, Flight},
        window::{Take, Window},
    },
    event::{Micros, Version},
    health::{Leave, Turn},
};

impl Worker {
    /// When pace lets the next event start; zero when it does not hold it back.
    pub(super) fn paced(&self) -> Micros {
        let own = self.replay.as_ref().map_or(Micros(0), |(_, pace)| pace.ready_at());
        own.max(self.endpoint.pace().ready_at())
    }

    /// What may be in flight here: a replay has a quarter, so that live delivery goes on.
    fn concurrency(&self) -> usize {
        let concurrency = self.assignment.addressee.settings.concurrency.max(1);
        if self.replay.is_some() { (concurrency / 4).max(1) } else { concurrency }
    }

    fn leave(&self, now: Micros) -> Leave {
        let health = self.endpoint.health();
        if self.replay.is_some() {
            health.leave_last(self.position, now)
        } else {
            health.leave(self.position, now)
        }
    }

    /// Starts one request, if one may be started; answers whether it did.
    pub(super) fn start_one(&mut self, now: Micros) -> bool {
        let may_new = self.window.next_new().is_some_and(|new| new <= now);
        let may_retry = self.is_due(now);
        let settings = &self.assignment.addressee.settings;
        let asks = settings.handshake && !self.endpoint.has_agreed(&settings.url);
        let full = self.requests >= if asks { 1 } else { self.concurrency() };
        if !(may_new || may_retry) || full || self.paced() > now {
            return false;
        }
        let leave = self.leave(now);
        if leave == Leave::Wait {
            return false;
        }
        let retries_max = (self.concurrency() / 4).max(1);
        let retry_first =
            may_retry && self.retries < retries_max && !(self.last.was_retry && may_new);
        if matches!(leave, Leave::Free(_)) && !retry_first && !may_new {
            return false;
        }
        let mut place = match self.endpoint.place(self.position) {
            Ok(place) => place,
            Err(refusal) => {
                self.last.refusal = Some(refusal);
                return false;
            }
        };
        if asks {
            let Some(turn) = self.endpoint.ask_turn() else { return false };
            place.ask(turn);
            // Consent may have been given in between, with a rate.
            if self.paced() > now {
                return false;
            }
        }
        let Some(take) = self.pick(leave, now, may_new, retry_first) else { return false };
        self.begin_take(take, place, now);
        true
    }

    /// Requests that were sent and have not ended.
    pub(super) fn launched(&self) -> usize {
        self.requests - self.claims.len() - self.fetching
    }

    fn pick(
        &mut self,
        leave: Leave,
        now: Micros,
        may_new: bool,
        retry_first: bool,
    ) -> Option<Take> {
        let most = match self.assignment.addressee.settings.batch {
            Some(batch) if matches!(leave, Leave::Free(_)) => batch.max_events,
            _ => 1,
        };
        let window = &mut self.window;
        let new = |window: &mut Window| may_new.then(|| window.start_new(most, now)).flatten();
        match leave {
            Leave::Wait => None,
            Leave::Trial(Turn::New) => new(window).or_else(|| window.start_oldest(now)),
            Leave::Trial(Turn::Oldest) => window.start_oldest(now).or_else(|| new(window)),
            Leave::Free(_) if retry_first => window.start_due(now),
            Leave::Free(_) => new(window),
        }
    }

    fn begin_take(&mut self, take: Take, mut place: Place, now: Micros) {
        let first = take.versions.first().map_or(Version::ZERO, |(version, _)| *version);
        place.begin(first);
        self.endpoint.pace().spend(take.versions.len(), now);
        if let Some((_, pace)) = &mut self.replay {
            pace.spend(take.versions.len(), now);
        }
        self.retries += usize::from(take.is_retry);
        self.requests += 1;
        self.last.was_retry = take.is_retry;
        if !self.assignment.addressee.settings.is_at_most_once() {
            self.launch(take, place);
        } else if take.versions.iter().all(|(_, event)| event.is_some()) {
            self.claims.push((take, place));
        } else {
            self.fetch(take, place);
        }
    }

    /// Reads the events of what is to be claimed: the claim removes the only copy of one that the
    /// log has let go of.
    fn fetch(&mut self, mut take: Take, place: Place) {
        self.fetching += 1;
        let (store, topic, position) =
            (self.tools.store.clone(), self.topic.clone(), self.position);
        self.begin(async move {
            for (version, event) in take.versions.iter_mut().filter(|(_, event)| event.is_none()) {
                // What cannot be read now is read, or missed, when it is sent.
                let read = flight::read(&*store, &topic, position, *version).await;
                *event = read.unwrap_or_default();
            }
            Done::Fetched(take, place)
        });
    }

    pub(super) fn launch(&mut self, take: Take, place: Place) {
        self.tools.metrics.in_flight.inc();
        let first = take.versions.first().map_or(Version::ZERO, |(version, _)| *version);
        let tries = self.window.exception(first).map_or(0, |prior| prior.tries);
        let flight = Flight {
            store: self.tools.store.clone(),
            sink: self.tools.sink.clone(),
            clock: self.tools.clock.clone(),
            until: self.tools.held.until(),
            addressee: self.assignment.addressee.clone(),
            sift: self.assignment.sift.clone(),
            topic: self.topic.clone(),
            versions: take.versions,
            previous: take.previous,
            replay: self.replay.as_ref().map(|(job, _)| job.id),
            attempt: tries + 1,
            is_retry: take.is_retry,
            place,
        };
        self.begin(async move { Done::Landed(flight.fly().await) });
    }
}
