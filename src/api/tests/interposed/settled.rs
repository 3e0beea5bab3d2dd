//! What an interposed store leaves to the one behind it, of what was sent and of who holds it.

use super::*;
use crate::key::{AccessKey, KeyId};

#[async_trait]
impl Positions for Interposed {
    async fn position(&self, position: i64) -> Result<PositionState, StoreError> {
        self.inner.position(position).await
    }

    async fn kept_event(
        &self,
        position: i64,
        version: Version,
    ) -> Result<Option<Arc<Event>>, StoreError> {
        self.inner.kept_event(position, version).await
    }

    async fn event_states(
        &self,
        topic: &Topic,
        version: Version,
    ) -> Result<Vec<EventState>, StoreError> {
        self.inner.event_states(topic, version).await
    }

    async fn waiting(
        &self,
        subscription: i64,
        after: WaitingPlace,
        limit: usize,
    ) -> Result<Vec<Waiting>, StoreError> {
        self.inner.waiting(subscription, after, limit).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Vec<Result<(), StoreError>> {
        self.inner.settle(settlements).await
    }

    async fn save_health(
        &self,
        subscription: i64,
        resets: u64,
        health: String,
    ) -> Result<(), StoreError> {
        self.inner.save_health(subscription, resets, health).await
    }
}

#[async_trait]
impl Replays for Interposed {
    async fn start_replay(
        &self,
        name: &Name,
        job: &NewJob,
        now: Micros,
    ) -> Result<Job, StoreError> {
        self.inner.start_replay(name, job, now).await
    }

    async fn replays(&self, name: &Name) -> Result<Vec<Job>, StoreError> {
        self.inner.replays(name).await
    }

    async fn cancel_replay(&self, name: &Name, id: i64, now: Micros) -> Result<Job, StoreError> {
        self.inner.cancel_replay(name, id, now).await
    }

    async fn end_replay(&self, position: i64, fence: Fence, now: Micros) -> Result<(), StoreError> {
        self.inner.end_replay(position, fence, now).await
    }
}

#[async_trait]
impl DeadLetters for Interposed {
    async fn dead_letters(
        &self,
        name: &Name,
        select: &DeadSelect,
        after: i64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        self.inner.dead_letters(name, select, after, limit).await
    }

    async fn all_dead_letters(
        &self,
        of: Option<&[i64]>,
        select: &DeadSelect,
        after: i64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        self.inner.all_dead_letters(of, select, after, limit).await
    }

    async fn recent_deaths(&self, since: Micros) -> Result<Vec<RecentDeaths>, StoreError> {
        self.inner.recent_deaths(since).await
    }

    async fn count_dead_letters(
        &self,
        name: &Name,
        select: &DeadSelect,
    ) -> Result<ChosenLetters, StoreError> {
        self.inner.count_dead_letters(name, select).await
    }

    async fn redrive(
        &self,
        name: &Name,
        select: DeadSelect,
        rate: Option<Rate>,
        now: Micros,
    ) -> Result<u64, StoreError> {
        self.inner.redrive(name, select, rate, now).await
    }

    async fn delete_dead_letters(
        &self,
        name: &Name,
        select: DeadSelect,
    ) -> Result<u64, StoreError> {
        self.inner.delete_dead_letters(name, select).await
    }
}

#[async_trait]
impl Attempts for Interposed {
    fn trace(&self, attempts: Vec<Attempt>) {
        self.inner.trace(attempts);
    }

    async fn attempts(&self, query: AttemptQuery) -> Result<Vec<Attempt>, StoreError> {
        self.inner.attempts(query).await
    }
}

#[async_trait]
impl Keeping for Interposed {
    async fn trim(&self, now: Micros) -> Result<Trimmed, StoreError> {
        self.inner.trim(now).await
    }

    async fn believed(&self) -> Result<Option<Micros>, StoreError> {
        self.inner.believed().await
    }

    async fn keep_believed(&self, moment: Micros) -> Result<(), StoreError> {
        self.inner.keep_believed(moment).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.inner.ready().await
    }

    fn troubles(&self) -> Vec<Trouble> {
        self.inner.troubles()
    }

    fn news(&self) -> Vec<News> {
        self.inner.news()
    }

    async fn gauges(&self) -> Vec<(&'static str, f64)> {
        self.inner.gauges().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[async_trait]
impl Holding for Interposed {
    async fn join(&self, new: &NewMember) -> Result<Member, StoreError> {
        self.inner.join(new).await
    }

    async fn renew(&self, member: &Member) -> Result<(), StoreError> {
        self.inner.renew(member).await
    }

    async fn claim(&self, member: &Member, work: Work) -> Result<Share, StoreError> {
        self.inner.claim(member, work).await
    }

    async fn leave(
        &self,
        member: &Member,
        work: Work,
        ended: &BTreeSet<i64>,
    ) -> Result<(), StoreError> {
        self.inner.leave(member, work, ended).await
    }

    async fn give_back(&self, member: &Member, work: Work) -> Result<(), StoreError> {
        self.inner.give_back(member, work).await
    }

    async fn members(&self) -> Result<Vec<MemberState>, StoreError> {
        self.inner.members().await
    }
}

#[async_trait]
impl AccessKeys for Interposed {
    async fn put_key(&self, key: &AccessKey) -> Result<(), StoreError> {
        self.inner.put_key(key).await
    }

    async fn keys(&self) -> Result<Vec<AccessKey>, StoreError> {
        self.inner.keys().await
    }

    async fn remove_key(&self, id: &KeyId) -> Result<(), StoreError> {
        self.inner.remove_key(id).await
    }
}
