//! Whoever watches a backup being made.

use tokio_util::sync::CancellationToken;

/// Who is told how a backup goes on.
pub trait BackupWatch: Send {
    /// So many more events are copied.
    fn events(&mut self, more: u64);
    /// Ends it. Whoever drops it instead leaves the store open for a moment.
    fn stop(&self) -> CancellationToken {
        CancellationToken::new()
    }
}
