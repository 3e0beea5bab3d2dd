//! What is handed on as it is.

use super::*;
use crate::key::{AccessKey, KeyId};

#[async_trait]
impl Topics for Interposed {
    async fn put_topic(
        &self,
        topic: &Topic,
        settings: &TopicSettings,
        now: Micros,
    ) -> Result<Arc<TopicState>, StoreError> {
        self.inner.put_topic(topic, settings, now).await
    }

    async fn delete_topic(&self, topic: &Topic, now: Micros) -> Result<(), StoreError> {
        self.inner.delete_topic(topic, now).await
    }

    async fn topic(&self, topic: &Topic) -> Result<Arc<TopicState>, StoreError> {
        self.inner.topic(topic).await
    }

    async fn topics(&self) -> Result<Vec<Arc<TopicState>>, StoreError> {
        self.inner.topics().await
    }

    async fn new_epoch(
        &self,
        topic: &Topic,
        reason: &str,
        now: Micros,
    ) -> Result<Cursor, StoreError> {
        self.inner.new_epoch(topic, reason, now).await
    }

    async fn lost(&self, topic: &Topic) -> Result<Vec<(Version, Version)>, StoreError> {
        self.inner.lost(topic).await
    }

    async fn gaps(&self, topic: &Topic, limit: usize) -> Result<Vec<Gap>, StoreError> {
        self.inner.gaps(topic, limit).await
    }

    async fn recent_gaps(
        &self,
        since: Micros,
        limit: usize,
    ) -> Result<Vec<(Topic, Gap)>, StoreError> {
        self.inner.recent_gaps(since, limit).await
    }
}

#[async_trait]
impl PendingEvents for Interposed {
    async fn pending(
        &self,
        topic: &Topic,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Pending>, StoreError> {
        self.inner.pending(topic, after, limit).await
    }

    async fn pending_event(&self, topic: &Topic, id: i64) -> Result<Pending, StoreError> {
        self.inner.pending_event(topic, id).await
    }

    async fn change_pending(&self, topic: &Topic, id: i64, due: Micros) -> Result<(), StoreError> {
        self.inner.change_pending(topic, id, due).await
    }

    async fn commit_pending(
        &self,
        topic: &Topic,
        id: i64,
        due: Micros,
        now: Micros,
    ) -> Result<Option<LoggedPending>, StoreError> {
        self.inner.commit_pending(topic, id, due, now).await
    }

    async fn cancel_pending(&self, topic: &Topic, id: i64) -> Result<(), StoreError> {
        self.inner.cancel_pending(topic, id).await
    }

    async fn release_pending(
        &self,
        now: Micros,
        limit: usize,
    ) -> Result<Vec<LoggedPending>, StoreError> {
        self.inner.release_pending(now, limit).await
    }

    fn next_pending(&self) -> watch::Receiver<Option<Micros>> {
        self.inner.next_pending()
    }

    async fn was_pending(
        &self,
        topic: &Topic,
        version: Version,
    ) -> Result<Option<LoggedPending>, StoreError> {
        self.inner.was_pending(topic, version).await
    }
}

#[async_trait]
impl Sources for Interposed {
    async fn put_source(&self, source: &NewSource, now: Micros) -> Result<SourceState, StoreError> {
        self.inner.put_source(source, now).await
    }

    async fn source(&self, name: &Name) -> Result<SourceState, StoreError> {
        self.inner.source(name).await
    }

    async fn sources(&self) -> Result<Vec<SourceState>, StoreError> {
        self.inner.sources().await
    }

    async fn steer_source(
        &self,
        name: &Name,
        steer: Steer,
        now: Micros,
    ) -> Result<SourceState, StoreError> {
        self.inner.steer_source(name, steer, now).await
    }

    async fn journal(&self, name: &Name, limit: usize) -> Result<Vec<NewEvent>, StoreError> {
        self.inner.journal(name, limit).await
    }

    async fn rejected(&self, name: &Name, limit: usize) -> Result<Vec<Rejected>, StoreError> {
        self.inner.rejected(name, limit).await
    }
}

#[async_trait]
impl Subscriptions for Interposed {
    async fn put_subscription(
        &self,
        new: &NewSubscription,
        now: Micros,
    ) -> Result<Subscription, StoreError> {
        self.inner.put_subscription(new, now).await
    }

    async fn set_subscription(
        &self,
        name: &Name,
        settings: &SubscriptionSettings,
        edit: Option<u64>,
        now: Micros,
    ) -> Result<Subscription, StoreError> {
        self.inner.set_subscription(name, settings, edit, now).await
    }

    async fn subscription(&self, name: &Name) -> Result<Subscription, StoreError> {
        self.inner.subscription(name).await
    }

    async fn subscriptions(&self, edit: u64) -> Result<Vec<Subscription>, StoreError> {
        self.inner.subscriptions(edit).await
    }

    async fn owed(&self) -> Result<Vec<(i64, u64)>, StoreError> {
        self.inner.owed().await
    }

    async fn standings(&self, share: &Share) -> Result<Vec<Standing>, StoreError> {
        self.inner.standings(share).await
    }

    async fn steer_subscription(
        &self,
        name: &Name,
        steer: SubscriptionSteer,
        now: Micros,
    ) -> Result<Subscription, StoreError> {
        self.inner.steer_subscription(name, steer, now).await
    }

    async fn rewind(
        &self,
        name: &Name,
        topic: Option<&Topic>,
        to: Version,
        now: Micros,
    ) -> Result<Subscription, StoreError> {
        self.inner.rewind(name, topic, to, now).await
    }

    async fn reseal(&self) -> Result<crate::store::Resealed, StoreError> {
        self.inner.reseal().await
    }
}

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
