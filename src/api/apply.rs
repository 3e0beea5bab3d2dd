//! How the API has the configuration file applied, and why it was not.

use std::sync::Arc;

use futures_util::future::BoxFuture;

/// Applies the configuration file as it is now; says whether most of what runs may go.
pub type ApplyFile = Arc<dyn Fn(bool) -> BoxFuture<'static, Result<(), NotApplied>> + Send + Sync>;

/// Why the file was not applied; everything is as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotApplied {
    /// Nobody reads one.
    NoFile,
    /// The relay is stopping.
    Stopping,
    /// What is wrong with it.
    Refused(String),
}
