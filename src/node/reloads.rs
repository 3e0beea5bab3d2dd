//! How the API asks for the file to be applied: whoever runs the node reads it and answers.

use std::sync::{Arc, OnceLock};

use tokio::sync::{mpsc, oneshot};

use crate::api::{ApplyFile, NotApplied};

/// One request to apply the file as it is now.
#[derive(Debug)]
pub struct Reload {
    /// Whether most of what runs may go.
    pub allow_removal: bool,
    answer: oneshot::Sender<Result<(), String>>,
}

impl Reload {
    /// Says that it is applied, or why it is not.
    pub fn answer(self, applied: Result<(), String>) {
        // Whoever asked may have gone away.
        let _ = self.answer.send(applied);
    }
}

/// The way of such requests. Nobody may be there to serve them.
#[derive(Debug, Clone, Default)]
pub(super) struct Reloads(Arc<OnceLock<mpsc::Sender<Reload>>>);

impl Reloads {
    /// The requests from now on; for a second caller there are none.
    pub(super) fn serve(&self) -> mpsc::Receiver<Reload> {
        let (sender, receiver) = mpsc::channel(16);
        let _ = self.0.set(sender);
        receiver
    }

    /// What the API calls.
    pub(super) fn into_api(self) -> ApplyFile {
        Arc::new(move |allow_removal| {
            let reloads = self.clone();
            Box::pin(async move {
                let Some(sender) = reloads.0.get() else { return Err(NotApplied::NoFile) };
                let (answer, applied) = oneshot::channel();
                sender
                    .send(Reload { allow_removal, answer })
                    .await
                    .map_err(|_| NotApplied::Stopping)?;
                let applied = applied.await.map_err(|_| NotApplied::Stopping)?;
                applied.map_err(NotApplied::Refused)
            })
        })
    }
}
