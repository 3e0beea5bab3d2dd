//! Who does what on a file that one process has: of each kind of work, whoever asks first does all.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::SqliteStore;
use crate::store::{Holding, Member, MemberState, NewMember, Share, StoreError, Work};

/// The members and who has which work; forgotten with the process, as they are.
#[derive(Debug, Default)]
pub(super) struct Holders {
    /// The number of the last one that joined.
    last: u64,
    by: BTreeMap<Work, u64>,
    /// Those that joined.
    members: BTreeMap<u64, NewMember>,
}

#[async_trait]
impl Holding for SqliteStore {
    async fn join(&self, new: &NewMember) -> Result<Member, StoreError> {
        let mut holders = self.holders.lock();
        holders.last += 1;
        let incarnation = holders.last;
        // An earlier member of the name is this one, begun anew.
        holders.members.retain(|_, known| known.name != new.name);
        holders.members.insert(incarnation, new.clone());
        Ok(Member { incarnation, term: None })
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

    /// Nobody is told to leave anything: there is one process.
    async fn leave(
        &self,
        _member: &Member,
        _work: Work,
        _ended: &BTreeSet<i64>,
    ) -> Result<(), StoreError> {
        Ok(())
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

    async fn members(&self) -> Result<Vec<MemberState>, StoreError> {
        let holders = self.holders.lock();
        let held = |incarnation| {
            let own = holders.by.iter().filter(move |(_, holder)| **holder == incarnation);
            own.map(|(work, _)| (*work, Share::Everything)).collect()
        };
        let member = |(incarnation, new): (&u64, &NewMember)| MemberState {
            name: new.name.clone(),
            incarnation: *incarnation,
            roles: new.roles.iter().map(|role| (*role).to_owned()).collect(),
            release: env!("CARGO_PKG_VERSION").to_owned(),
            lives: true,
            term_left: None,
            is_this: true,
            held: held(*incarnation),
        };
        Ok(holders.members.iter().map(member).collect())
    }
}
