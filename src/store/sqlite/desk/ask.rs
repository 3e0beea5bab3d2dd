//! How the one writer is asked: with others, or alone in its turn.

use futures_util::future::BoxFuture;

use super::{Desk, writer::Op};
use crate::store::{
    StoreError,
    question::question,
    rules::ops::{Hot, Reply},
    sqlite::SqliteStore,
};

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
                        event = "store.row_damaged", %error,
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
}
