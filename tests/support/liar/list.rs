//! What the lying producer really has: every item it ever published, and how its list is asked for.

use fastrand::Rng;
use serde_json::{Value, json};

/// The moment of the first item, seconds since 1970.
const FIRST_AT: i64 = 1_790_000_000;

/// In which order the list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Oldest,
    Newest,
    /// In one that says nothing of time: a new item may stand anywhere.
    Unordered,
}

/// What of the list a first request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// All of it, always.
    All,
    /// What has a time from `since` on.
    From,
    /// What has a time later than `since`.
    Above,
    /// What has an id above `since`.
    Id,
    /// What was published after the token `sync`, which the last page gives as `sync`.
    Token,
    /// The same by a URL, which the last page gives as `delta`.
    Delta,
    /// The same by the next link, which every page has.
    Tail,
    /// The same by a header of the first page.
    Header,
}

/// How a page is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paging {
    Number,
    Offset,
    /// A place in the list, as a token in the body.
    Token,
    /// As a URL or an object with one in the body.
    Url,
    /// As a `Link` header.
    Link,
    /// The id of the last item.
    Item,
}

/// What an item says, and when.
pub(crate) type Content = (char, i64);

/// One item as it is now, and what it was.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// Rises with every item that is published.
    pub id: u64,
    /// Whether it was published with a time before those of others.
    pub late: bool,
    /// Its contents, each with a time in seconds since 1970, which several items may share; the
    /// last one is the present one.
    pub contents: Vec<Content>,
    /// Whether the list has it no more.
    pub gone: bool,
    /// What stands for its place in an unordered list.
    shuffled: u64,
}

impl Item {
    pub(crate) fn content(&self) -> Content {
        self.contents[self.contents.len() - 1]
    }

    pub(crate) fn json(&self) -> Value {
        let (content, at) = self.content();
        json!({ "id": self.id, "at": at, "content": content.to_string() })
    }
}

/// All items ever published, by their ids: the first has id 1.
#[derive(Debug, Clone, Default)]
pub(crate) struct List {
    pub items: Vec<Item>,
}

impl List {
    /// Publishes one item; `late` puts it up to 30 s before the last.
    pub(crate) fn publish(&mut self, late: bool, rng: &mut Rng) -> String {
        let last = self.items.iter().map(|item| item.content().1).max().unwrap_or(FIRST_AT);
        let late = late && !self.items.is_empty();
        let at = if late { last - rng.i64(1..=30) } else { last + rng.i64(0..=2) };
        let id = self.items.len() as u64 + 1;
        let shuffled = rng.u64(1..1 << 40);
        self.items.push(Item { id, late, contents: vec![('A', at)], gone: false, shuffled });
        format!("published {id} at {}{}", at - FIRST_AT, if late { ", late" } else { "" })
    }

    /// Changes an item to another of three contents, and so often back; `moves` gives it the
    /// latest time too, which is later than any before: a change at a moment that was read already
    /// is one that nobody can see.
    pub(crate) fn change(&mut self, moves: bool, rng: &mut Rng) -> Option<String> {
        let last = self.items.iter().map(|item| item.content().1).max()?;
        let at = rng.usize(0..self.items.len());
        let item = self.items.get_mut(at).filter(|item| !item.gone)?;
        let (now, at) = item.content();
        let other = ['A', 'B', 'C'].into_iter().filter(|other| *other != now);
        let content = other.take(rng.usize(1..=2)).last()?;
        let at = if moves { last + rng.i64(1..=2) } else { at };
        item.contents.push((content, at));
        Some(format!("changed {} to {content} at {}", item.id, at - FIRST_AT))
    }

    /// Takes an item out of the list, so that those behind it move to other pages.
    pub(crate) fn remove(&mut self, rng: &mut Rng) -> Option<String> {
        let at = rng.usize(0..self.items.len().max(1));
        let item = self.items.get_mut(at).filter(|item| !item.gone)?;
        item.gone = true;
        Some(format!("removed {}", item.id))
    }

    /// What a request with this cursor may see, in the list's order.
    pub(crate) fn listed(&self, order: Order, since: Since, cursor: Option<i64>) -> Vec<&Item> {
        let wanted = |item: &&Item| {
            let Some(cursor) = cursor else { return true };
            match since {
                Since::All => true,
                Since::From => item.content().1 >= cursor,
                Since::Above => item.content().1 > cursor,
                _ => i64::try_from(item.id).is_ok_and(|id| id > cursor),
            }
        };
        let mut listed: Vec<&Item> =
            self.items.iter().filter(|item| !item.gone).filter(wanted).collect();
        listed.sort_by_key(|item| Self::key(order, since, item));
        if order == Order::Newest {
            listed.reverse();
        }
        listed
    }

    /// The place of an item in the list, as one number.
    pub(crate) fn key(order: Order, since: Since, item: &Item) -> i64 {
        let id = i64::try_from(item.id).unwrap();
        match (order, since) {
            (Order::Unordered, _) => i64::try_from(item.shuffled).unwrap(),
            // Lists of changes are in the order of publishing.
            (_, Since::Id | Since::Token | Since::Delta | Since::Tail | Since::Header) => id,
            _ => (item.content().1 - FIRST_AT + 1_000) * 100_000 + id,
        }
    }
}
