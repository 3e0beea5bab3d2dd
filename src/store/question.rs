//! How somebody asks who decides, and is answered.

use tokio::sync::oneshot;

use super::{StoreError, rules::ops::Reply};

/// How something is answered, and the answer: `Unknown` when nobody gives one. Whoever asked may be
/// gone; the work is done all the same.
pub(crate) fn question<T: Send + 'static>()
-> (Reply<T>, impl Future<Output = Result<T, StoreError>> + Send) {
    let (sender, answer) = oneshot::channel();
    let reply = Box::new(|answer| drop(sender.send(answer)));
    (reply, async { answer.await.map_err(|_| StoreError::Unknown(None))? })
}
