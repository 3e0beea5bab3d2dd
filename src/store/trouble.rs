//! What keeps a store from working as it should, while it lasts and when it changes.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use utoipa::ToSchema;

/// A standby follows the database, and commits do not wait for it.
pub(crate) const NOT_REPLICATED: &str = "not_replicated";
/// Somebody holds a snapshot of the database for long.
pub(crate) const SNAPSHOT_HELD: &str = "snapshot_held";
/// Those of a database, which each of its nodes finds by itself.
const SEEN_BY_ALL: [&str; 2] = [NOT_REPLICATED, SNAPSHOT_HELD];
/// News that wait to be told; the oldest go first.
const NEWS_MAX: usize = 100;

/// What is wrong with the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Trouble {
    /// The stable word for a program: `disk_full`, `store_locked`, `log_pinned`, `trace_unavailable`,
    /// `trace_replaced`, `record_replaced`, `record_damaged`, `pending_damaged`; of a database:
    /// `database_refused`, `database_failed`, `not_replicated`, `history_lost`, `node_name_taken`, `rows_held`,
    /// `snapshot_held`.
    #[schema(value_type = String)]
    pub code: &'static str,
    /// What it is, what that means and what helps, for a person.
    pub detail: String,
}

/// What happened to a trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It began and lasts.
    Began,
    /// It is over.
    Ended,
    /// It was found and mended at once.
    Mended,
}

/// One change, to be told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// What happened.
    pub change: Change,
    /// To what.
    pub trouble: Trouble,
}

impl News {
    /// Whether every node on the same database has them.
    #[must_use]
    pub fn is_seen_by_all(&self) -> bool {
        SEEN_BY_ALL.contains(&self.trouble.code)
    }
}

/// The troubles of a store; each change is logged here, and handed out once.
#[derive(Debug, Default)]
pub struct Troubles {
    board: Mutex<Board>,
}

#[derive(Debug, Default)]
struct Board {
    present: BTreeMap<&'static str, String>,
    news: VecDeque<News>,
}

impl Troubles {
    /// A trouble is there; one that is known only gets the newer words.
    pub fn began(&self, code: &'static str, detail: String) {
        let mut board = self.board();
        if board.present.insert(code, detail.clone()).is_none() {
            tracing::error!(event = "store.degraded", code, "{detail}");
            board.tell(Change::Began, code, detail);
        }
    }

    /// A trouble is over, if it was there.
    pub fn ended(&self, code: &'static str, detail: &str) {
        let mut board = self.board();
        if board.present.remove(code).is_some() {
            tracing::warn!(event = "store.recovered", code, "{detail}");
            board.tell(Change::Ended, code, detail.to_owned());
        }
    }

    /// A trouble was found and is over by now.
    pub fn mended(&self, code: &'static str, detail: String) {
        tracing::error!(event = "store.mended", code, "{detail}");
        self.board().tell(Change::Mended, code, detail);
    }

    /// Those that last.
    pub fn present(&self) -> Vec<Trouble> {
        let present = &self.board().present;
        present.iter().map(|(code, detail)| Trouble { code, detail: detail.clone() }).collect()
    }

    /// What changed since this was asked last.
    pub fn news(&self) -> Vec<News> {
        self.board().news.drain(..).collect()
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        // Whatever a panicking holder left is whole: it only pushes and removes.
        self.board.lock()
    }
}

impl Board {
    fn tell(&mut self, change: Change, code: &'static str, detail: String) {
        if self.news.len() >= NEWS_MAX {
            self.news.pop_front();
        }
        self.news.push_back(News { change, trouble: Trouble { code, detail } });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_told_when_it_begins_and_when_it_ends() {
        let troubles = Troubles::default();
        troubles.began("disk_full", "full".into());
        troubles.began("disk_full", "still full".into());
        let present = Trouble { code: "disk_full", detail: "still full".into() };
        assert_eq!(troubles.present(), [present]);
        troubles.ended("disk_full", "room again");
        troubles.ended("disk_full", "room again");
        let changes: Vec<Change> = troubles.news().iter().map(|news| news.change).collect();
        assert_eq!(changes, [Change::Began, Change::Ended]);
        assert!(troubles.present().is_empty() && troubles.news().is_empty());
    }

    #[test]
    fn news_that_nobody_asks_for_are_bounded() {
        let troubles = Troubles::default();
        for number in 0..NEWS_MAX + 5 {
            troubles.mended("trace_replaced", number.to_string());
        }
        let news = troubles.news();
        assert_eq!((news.len(), news[0].trouble.detail.as_str()), (NEWS_MAX, "5"));
    }
}
