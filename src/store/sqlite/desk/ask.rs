//! How the one writer is asked: with others, or alone in its turn.

use std::hash::Hasher as _;

use futures_util::future::BoxFuture;
use siphasher::sip128::{Hasher128 as _, SipHasher13};
use tokio::sync::oneshot;

use super::{Desk, writer::Op};
use crate::store::sqlite::SqliteStore;
use crate::store::{
    NewEvent, StoreError,
    rules::{
        keys::Key,
        ops::{Hot, Reply},
    },
};

/// How something is answered, and the answer: `Unknown` when nobody gives one. Whoever asked may be
/// gone; the work is done all the same.
pub(crate) fn question<T: Send + 'static>()
-> (Reply<T>, impl Future<Output = Result<T, StoreError>> + Send) {
    let (sender, answer) = oneshot::channel();
    let reply = Box::new(|answer| drop(sender.send(answer)));
    (reply, async { answer.await.map_err(|_| StoreError::Unknown(None))? })
}

impl SqliteStore {
    /// Asks for what is decided in memory and committed with others.
    pub(crate) async fn hot<T: Send + 'static>(
        &self,
        op: impl FnOnce(Reply<T>) -> Hot,
    ) -> Result<T, StoreError> {
        let (reply, answer) = question();
        self.writer.send(Op::Hot(op(reply))).await.map_err(|_| StoreError::Closed)?;
        answer.await
    }

    /// Runs `work` in a transaction of its own, in its turn; on a full disk again, from the reserve.
    pub(crate) async fn cold<T: Send + 'static>(
        &self,
        work: impl for<'a> FnOnce(&'a mut Desk) -> BoxFuture<'a, Result<T, StoreError>>
        + Clone
        + Send
        + 'static,
    ) -> Result<T, StoreError> {
        loop {
            let work = work.clone();
            match self.at_desk(move |desk| Box::pin(desk.transact(work))).await {
                Err(StoreError::DiskFull) if self.shared.room.give().await => {}
                answer => return answer,
            }
        }
    }

    /// Runs `work` in its turn. A damaged row that it met is logged and counted here, whoever asked.
    pub(crate) async fn at_desk<T: Send + 'static>(
        &self,
        work: impl for<'a> FnOnce(&'a mut Desk) -> BoxFuture<'a, Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = question();
        let op = Op::Cold(Box::new(move |desk| {
            Box::pin(async move {
                let answer = work(desk).await;
                if let Err(error @ StoreError::Unreadable { .. }) = &answer {
                    tracing::error!(
                        %error,
                        "a row of the store is damaged where it was needed; look at the store \
                         with `milkrun check --store` when the relay is stopped"
                    );
                    desk.shared.holes.count(1);
                }
                reply(answer);
            })
        }));
        self.writer.send(op).await.map_err(|_| StoreError::Closed)?;
        answer.await
    }

    /// By which an event that came before is known.
    pub(crate) fn key(&self, event: &NewEvent) -> Key {
        let mut hasher = SipHasher13::new_with_key(&self.shared.hash_key);
        hasher.write(event.source.as_bytes());
        hasher.write_u8(0xff);
        hasher.write(event.id.as_bytes());
        hasher.finish128().as_u128()
    }
}
