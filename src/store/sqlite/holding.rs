//! Who does what on a file that one process has: of each kind of work, whoever asks first does all.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::SqliteStore;
use crate::store::{Holding, Member, NewMember, Share, StoreError, Work};

/// The members and who has which work; forgotten with the process, as they are.
#[derive(Debug, Default)]
pub(super) struct Holders {
    /// The number of the last one that joined.
    last: u64,
    by: BTreeMap<Work, u64>,
}

#[async_trait]
impl Holding for SqliteStore {
    async fn join(&self, _new: &NewMember) -> Result<Member, StoreError> {
        let mut holders = self.holders.lock();
        holders.last += 1;
        Ok(Member { incarnation: holders.last, term: None })
    }

    async fn renew(&self, _member: &Member) -> Result<(), StoreError> {
        // A term without an end does not run out.
        Ok(())
    }

    async fn claim(&self, member: &Member, work: Work) -> Result<Share, StoreError> {
        let mut holders = self.holders.lock();
        let holder = *holders.by.entry(work).or_insert(member.incarnation);
        Ok(if holder == member.incarnation { Share::Everything } else { Share::Nothing })
    }

    async fn give_back(&self, member: &Member, work: Work) -> Result<(), StoreError> {
        let mut holders = self.holders.lock();
        if holders.by.get(&work) == Some(&member.incarnation) {
            holders.by.remove(&work);
            drop(holders);
            self.shared.changes.send_modify(|number| *number += 1);
        }
        Ok(())
    }
}
