//! Who holds which work: read from the database, as every node sees it.

use std::{collections::BTreeMap, sync::Arc};

use super::super::super::{Failure, failure::chain};
use crate::store::{self, Options, Share, Store, StoreError, Work};

/// A piece of work, as people call it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Piece(String);

impl Piece {
    fn new(work: Work, of: &str) -> Self {
        Self(match work {
            Work::Source => format!("source {of}"),
            Work::Subscription => format!("subscription {of}"),
            Work::Retention => format!("retention of {of}"),
            Work::Pending => format!("delayed events of {of}"),
        })
    }

    /// What asks the producer.
    pub(super) fn source() -> Self {
        Self::new(Work::Source, "shop")
    }

    /// What serves the consumer.
    pub(super) fn subscription() -> Self {
        Self::new(Work::Subscription, "billing")
    }
}

/// Several pieces in a line.
pub(super) fn line<'a>(pieces: impl IntoIterator<Item = &'a Piece>) -> String {
    let names: Vec<&str> = pieces.into_iter().map(|piece| &*piece.0).collect();
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

/// The node that holds each piece; those that nobody holds at present have none.
pub(super) type Holders = BTreeMap<Piece, Option<String>>;

/// Looks at the database without being a node.
pub(super) struct Board {
    store: Arc<dyn Store>,
}

impl Board {
    pub(super) async fn open(url: &str) -> Result<Self, Failure> {
        let options = Options { makes_tables: false, ..Options::default() };
        Ok(Self { store: store::open(url, &options).await.map_err(|error| failed(&error))? })
    }

    /// Who holds what now.
    pub(super) async fn look(&self) -> Result<Holders, Failure> {
        let pieces = self.pieces().await.map_err(|error| failed(&error))?;
        let members = self.store.members().await.map_err(|error| failed(&error))?;
        let holder = |work: Work, number: i64| {
            let has = |share: &Share| share.has(number);
            let holds = members.iter().filter(|member| member.lives);
            let mut holds = holds.filter(|member| member.held.get(&work).is_some_and(has));
            holds.next().map(|member| member.name.clone())
        };
        let held = pieces
            .into_iter()
            .map(|(work, number, of)| (Piece::new(work, &of), holder(work, number)));
        Ok(held.collect())
    }

    async fn pieces(&self) -> Result<Vec<(Work, i64, String)>, StoreError> {
        let mut pieces = Vec::new();
        for source in self.store.sources().await? {
            pieces.push((Work::Source, source.id, source.name.to_string()));
        }
        for subscription in self.store.subscriptions(0).await? {
            pieces.push((Work::Subscription, subscription.id, subscription.name.to_string()));
        }
        for topic in self.store.topics().await? {
            pieces.push((Work::Retention, topic.id, topic.topic.to_string()));
            pieces.push((Work::Pending, topic.id, topic.topic.to_string()));
        }
        Ok(pieces)
    }
}

fn failed(error: &StoreError) -> Failure {
    Failure::new(format!("the database cannot be looked at: {}", chain(error)))
}
