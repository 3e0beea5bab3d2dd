//! A look at every event of a store, through the contract alone.

use super::{Read, Store, StoreError, Verified};

/// Problems that are told with words; more are counted.
const TOLD_MAX: usize = 1_000;

/// Reads every event of `store`, which compares each with its checksum.
///
/// # Errors
/// When the store cannot be read at all; damage is what is looked for.
pub(super) async fn verify(store: &impl Store) -> Result<Verified, StoreError> {
    let mut verified = Verified::default();
    for topic in store.topics().await? {
        verified.topics += 1;
        let mut read = Read { up_to: topic.head, ..Read::after(topic.oldest.previous()) };
        while read.after < topic.head {
            match store.read(&topic.topic, read).await {
                Ok(page) => {
                    verified.events += page.events.len() as u64;
                    let last = page.events.last().map(|last| last.version);
                    let Some(last) = last.or(page.passed) else { break };
                    read.after = last;
                }
                // What was removed meanwhile is not looked for.
                Err(StoreError::Trimmed { oldest }) => {
                    read.after = oldest.previous().max(read.after.next());
                }
                Err(error @ StoreError::Damaged { to, .. }) => {
                    read.after = to;
                    verified.problem_count += 1;
                    if verified.problems.len() < TOLD_MAX {
                        verified.problems.push(error.to_string());
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(verified)
}
