//! What the log must have, and what it must not.

use std::collections::{BTreeMap, HashSet};

use super::{bench::Logged, cases::Case};
use crate::support::liar::{Content, Lie, State};

/// The last content of each item in the log.
pub(super) fn last_contents(log: &[Logged]) -> BTreeMap<u64, Content> {
    log.iter().map(|logged| (logged.id, logged.content)).collect()
}

/// Items that were there when the walk began, still are as they were, and are not in the log so.
pub(super) fn unseen(state: &State, log: &[Logged]) -> Vec<u64> {
    let contents = last_contents(log);
    let stayed = |(id, changes): &&(u64, usize)| {
        let item = &state.list.items[usize::try_from(*id - 1).unwrap()];
        !item.gone && item.contents.len() == *changes
    };
    let lacks = |id: &u64| {
        let item = &state.list.items[usize::try_from(*id - 1).unwrap()];
        let logged = contents.get(id);
        // Without `every_change` an item is an event once, with what it was then.
        if state.shape.changes { logged != Some(&item.content()) } else { logged.is_none() }
    };
    state.began.iter().filter(stayed).map(|(id, _)| *id).filter(lacks).collect()
}

/// Whatever was lost, this holds.
pub(super) fn sound(
    case: &Case,
    state: &State,
    log: &[Logged],
    gapless: bool,
) -> Result<(), String> {
    let mut seen = HashSet::new();
    if let Some(twice) = log.iter().find(|logged| !seen.insert(&*logged.event_id)) {
        return Err(format!("{} is in the log twice", twice.event_id));
    }
    for item in &state.list.items {
        let logged: Vec<Content> =
            log.iter().filter(|logged| logged.id == item.id).map(|logged| logged.content).collect();
        if !state.shape.changes && logged.len() > 1 {
            return Err(format!("item {} is in the log {} times", item.id, logged.len()));
        }
        if logged.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(format!("item {} did not change between its events {logged:?}", item.id));
        }
        let mut true_ones = item.contents.iter();
        // A copy that lags shows a former content once more, which is a change like any other.
        let told_again = state.told.contains_key(&Lie::Behind);
        let is_true = |content: &Content| {
            if told_again {
                item.contents.contains(content)
            } else {
                true_ones.any(|one| one == content)
            }
        };
        if !logged.iter().all(is_true) {
            return Err(format!("item {} was {:?}, its events {logged:?}", item.id, item.contents));
        }
    }
    if let Some(unknown) = log.iter().find(|logged| logged.id > state.list.items.len() as u64) {
        return Err(format!("item {} was never published", unknown.id));
    }
    let late = |id: u64| state.list.items[usize::try_from(id - 1).unwrap()].late;
    let in_time: Vec<u64> = log.iter().map(|logged| logged.id).filter(|id| !late(*id)).collect();
    if case.ordered && gapless && !in_time.is_sorted() {
        return Err(format!("the log is out of order: {in_time:?}"));
    }
    Ok(())
}
