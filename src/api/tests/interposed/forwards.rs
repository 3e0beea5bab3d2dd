//! What is handed on as it is.

use super::*;

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

    async fn subscriptions_of(&self, share: &Share) -> Result<Vec<Subscription>, StoreError> {
        self.inner.subscriptions_of(share).await
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
