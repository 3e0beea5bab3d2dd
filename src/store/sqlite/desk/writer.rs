//! The one task that writes: takes what has queued up, decides, commits, answers.

use std::panic::AssertUnwindSafe;

use futures_util::{FutureExt as _, future::BoxFuture};
use sqlx::Connection as _;
use tokio::sync::{mpsc, oneshot};

use super::{Desk, checkpoint::Checkpoints, shorten};
use crate::store::rules::ops::Hot;

/// Operations that share one commit at most.
const GROUP: usize = 1_024;

/// Something done at the desk in its turn.
pub(crate) type Work = Box<dyn for<'a> FnOnce(&'a mut Desk) -> BoxFuture<'a, ()> + Send>;

/// What is asked of the writer.
pub(crate) enum Op {
    /// Decided in memory and committed with others.
    Hot(Hot),
    /// Has a transaction of its own.
    Cold(Work),
    /// Nothing more will come.
    Close(oneshot::Sender<()>),
}

/// Takes in what is asked for by those that can run already, as long as there are more of them: one
/// commit costs about as much for all of them.
async fn gather(queue: &mut mpsc::Receiver<Op>, ops: &mut Vec<Op>) {
    loop {
        let before = ops.len();
        tokio::task::yield_now().await;
        while ops.len() < GROUP
            && let Ok(op) = queue.try_recv()
        {
            ops.push(op);
        }
        if ops.len() == before || ops.len() >= GROUP {
            return;
        }
    }
}

/// Does a group, then what has a transaction of its own. A panic ends that alone: who asked learns
/// that the outcome is unknown, and the writer goes on, because a relay without it is of no use.
async fn guarded(desk: &mut Desk, group: Vec<Hot>, work: Option<Work>) {
    let done = AssertUnwindSafe(async {
        desk.group(group).await;
        if let Some(work) = work {
            work(desk).await;
        }
    });
    if done.catch_unwind().await.is_err() {
        tracing::error!(
            event = "store.writer_panicked",
            "the writer panicked; what is known is read back from the file"
        );
        desk.doubt();
    }
}

/// Runs until closed.
pub(crate) async fn run(mut desk: Desk, mut queue: mpsc::Receiver<Op>) {
    let mut ops = Vec::with_capacity(GROUP);
    let mut groups = 0_u32;
    let mut closing = None;
    let mut log = shorten::Log::default();
    let checkpoints = Checkpoints::start(desk.shared.path.clone(), desk.shared.room.clone());
    while closing.is_none() && queue.recv_many(&mut ops, GROUP).await > 0 {
        gather(&mut queue, &mut ops).await;
        let mut hot = Vec::with_capacity(ops.len());
        for op in ops.drain(..) {
            match op {
                Op::Hot(op) => hot.push(op),
                Op::Cold(work) => {
                    guarded(&mut desk, std::mem::take(&mut hot), Some(work)).await;
                }
                Op::Close(done) => closing = Some(done),
            }
        }
        guarded(&mut desk, hot, None).await;
        checkpoints.committed();
        groups = groups.wrapping_add(1);
        if groups.is_multiple_of(64) {
            log.check(&mut desk, &checkpoints).await;
        }
    }
    checkpoints.stop().await;
    if desk.shared.is_changed_in_place() {
        // Closed, SQLite would copy what is left of the log over what is left of the file. As it is,
        // the next start tells what is lost.
        std::mem::forget(desk);
    } else {
        end(desk).await;
    }
    if let Some(done) = closing {
        let _ = done.send(());
    }
}

/// Empties the log and closes the file.
async fn end(mut desk: Desk) {
    let _ = sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut desk.conn).await;
    if let Err(error) = desk.conn.close().await {
        tracing::warn!(event = "store.close_failed", %error, "the database was not closed cleanly");
    }
}
