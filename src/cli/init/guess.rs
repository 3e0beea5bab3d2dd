//! What the fields of an answer may mean, the likeliest first.

use serde_json::{Map, Value};

use super::{
    answer::Answer,
    is_object,
    paging::{self, Items},
};
use crate::event::Micros;

/// Names of lists, the likeliest first.
const LISTS: [&str; 16] = [
    "data", "items", "results", "value", "values", "events", "entries", "records", "features",
    "issues", "list", "result", "rows", "logs", "hits", "response",
];
/// Names of ids, the likeliest first; their ends too, as in `order_id`.
const IDS: [&str; 10] =
    ["id", "uuid", "guid", "event_id", "eventid", "uid", "_id", "rcid", "key", "number"];
/// Names of moments, the likeliest first: those of a change before those of a beginning.
const TIMES: [&str; 22] = [
    "updated_at",
    "updatedat",
    "updated",
    "modified",
    "last_modified",
    "lastmodified",
    "modified_at",
    "lastseen",
    "changed",
    "published",
    "timestamp",
    "time",
    "date",
    "date_create",
    "created_at",
    "createdat",
    "created",
    "occurred_at",
    "event_time",
    "at",
    "ts",
    "datetime",
];
/// Names of types.
const TYPES: [&str; 6] = ["type", "event_type", "eventtype", "action", "event", "kind"];
/// How deep is looked for a list, and for a field of an item.
const DEPTH_MAX: usize = 3;
/// Items that are looked at.
const LOOKED_MAX: usize = 200;

/// A proposal.
#[derive(Debug, Clone)]
pub(super) struct Guess {
    pub(super) path: Vec<String>,
    pub(super) items: Items,
    pub(super) count: usize,
    pub(super) id: Vec<Vec<String>>,
    /// Its path, and the unit of a number.
    pub(super) time: Option<(Vec<String>, Option<&'static str>)>,
    pub(super) kind: Option<Vec<String>>,
    pub(super) is_newest_first: Option<bool>,
    pub(super) pages: paging::Pages,
    pub(super) doubts: Vec<String>,
}

/// Proposals, the likeliest first.
pub(super) fn guesses(answer: &Answer) -> Vec<Guess> {
    let mut places = Vec::new();
    find(&answer.body, &mut Vec::new(), &mut places);
    places.sort_by_key(|(path, items, found)| {
        let name = path.last().map_or("", String::as_str).to_ascii_lowercase();
        let known = LISTS.iter().position(|one| *one == name).unwrap_or(LISTS.len());
        let is_one = *items == Items::One;
        (
            is_one,
            *items == Items::Values,
            path.len(),
            path.is_empty() && is_one,
            known,
            usize::MAX - found.len(),
        )
    });
    places
        .into_iter()
        .flat_map(|(path, items, found)| of_place(answer, &path, items, &found))
        .collect()
}

type Place<'a> = (Vec<String>, Items, Vec<&'a Value>);

/// Everywhere where items may lie.
fn find<'a>(value: &'a Value, path: &mut Vec<String>, places: &mut Vec<Place<'a>>) {
    match value {
        Value::Array(all)
            if all.iter().all(is_object)
                && (!all.is_empty()
                    || path.last().is_none_or(|name| LISTS.contains(&name.as_str()))) =>
        {
            places.push((path.clone(), Items::List, all.iter().take(LOOKED_MAX).collect()));
        }
        Value::Object(object) if path.len() <= DEPTH_MAX => {
            for (name, value) in object {
                path.push(name.clone());
                find(value, path, places);
                path.pop();
            }
            let are_alike = object.len() > 1 && object.values().all(is_object) && alike(object);
            if are_alike {
                let items = object.values().take(LOOKED_MAX).collect();
                places.push((path.clone(), Items::Values, items));
            }
            if !object.is_empty() {
                places.push((path.clone(), Items::One, vec![value]));
            }
        }
        _ => {}
    }
}

/// Whether all have a field in common that is an id, as records have that stand under their keys.
fn alike(object: &Map<String, Value>) -> bool {
    let all: Vec<&Value> = object.values().collect();
    !ids(&all).is_empty()
}

fn of_place(answer: &Answer, path: &[String], items: Items, found: &[&Value]) -> Vec<Guess> {
    let time = best(found, &TIMES, unit);
    let kind =
        best(found, &TYPES, |_, values| values.iter().all(|one| one.is_string()).then_some(()));
    let is_newest_first = time.as_ref().and_then(|(path, _)| order(found, path));
    let mut candidates = ids(found);
    if found.is_empty() {
        candidates.push(vec!["id".into()]);
    }
    if items == Items::One && candidates.first().is_none_or(|path| path.len() > 1) {
        candidates.clear();
    }
    let pages = paging::of(answer, path, items, candidates.first());
    let guess = |id: Vec<String>| {
        let mut doubts = pages.doubts.clone();
        if found.is_empty() {
            doubts
                .push("the list is empty now, so that the fields of its items are guessed".into());
        }
        let changes = time.as_ref().is_some_and(|(path, _)| is_of_change(path));
        // An item that changes keeps its id: with its time, each change is an event.
        let id = match &time {
            Some((time, _)) if changes || items == Items::One => vec![id, time.clone()],
            _ => vec![id],
        };
        Guess {
            path: path.to_vec(),
            items,
            count: found.len(),
            id,
            time: time.clone(),
            kind: kind.clone().map(|(path, ())| path),
            is_newest_first,
            pages: pages.clone(),
            doubts,
        }
    };
    candidates.into_iter().take(4).map(guess).collect()
}

/// Whether a moment is that of the last change.
fn is_of_change(path: &[String]) -> bool {
    let name = path.last().map_or(String::new(), |name| name.to_ascii_lowercase());
    ["updat", "modif", "chang", "lastseen"].iter().any(|part| name.contains(part))
}

/// Paths of scalars that all items have, each different, the likeliest first.
fn ids(found: &[&Value]) -> Vec<Vec<String>> {
    let mut paths = scalars(found);
    paths.retain(|path| {
        let texts: Option<Vec<String>> = found
            .iter()
            .map(|item| match at(item, path)? {
                Value::String(text) if !text.is_empty() => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            })
            .collect();
        texts.is_some_and(|mut texts| {
            let count = texts.len();
            texts.sort_unstable();
            texts.dedup();
            texts.len() == count
        })
    });
    let mut ranked: Vec<_> =
        paths.into_iter().filter_map(|path| Some((rank_id(&path)?, path))).collect();
    ranked.sort();
    ranked.into_iter().map(|(_, path)| path).collect()
}

/// How likely a name is an id's; `None`: not at all.
fn rank_id(path: &[String]) -> Option<(usize, usize)> {
    let name = path.last()?.to_ascii_lowercase();
    let rank = IDS
        .iter()
        .position(|one| *one == name)
        .or_else(|| name.ends_with("id").then_some(IDS.len()))?;
    Some((path.len(), rank))
}

/// The likeliest field by its name that `judge` takes in all items that have it.
fn best<T>(
    found: &[&Value],
    names: &[&str],
    judge: impl Fn(&str, &[&Value]) -> Option<T>,
) -> Option<(Vec<String>, T)> {
    let mut ranked: Vec<_> = scalars(found)
        .into_iter()
        .filter_map(|path| {
            let name = path.last()?.to_ascii_lowercase();
            let rank = names.iter().position(|one| *one == name)?;
            Some(((path.len(), rank), path))
        })
        .collect();
    ranked.sort();
    ranked.into_iter().find_map(|(_, path)| {
        let values: Vec<&Value> = found.iter().filter_map(|item| at(item, &path)).collect();
        let judged = judge(path.last().map_or("", String::as_str), &values)?;
        (values.len() == found.len()).then_some((path, judged))
    })
}

/// The unit of moments: none for texts; `None`: they are no moments.
#[expect(clippy::option_option, reason = "a moment without a unit is not the same as none")]
fn unit(_: &str, values: &[&Value]) -> Option<Option<&'static str>> {
    let of = |value: &&Value| match value {
        Value::String(text) => text.parse::<Micros>().ok().map(|_| None),
        Value::Number(number) => match number.as_f64()? {
            5e8..5e9 => Some(Some("s")),
            5e11..5e12 => Some(Some("ms")),
            _ => None,
        },
        _ => None,
    };
    let mut units = values.iter().map(of);
    let first = units.next()??;
    units.all(|unit| unit == Some(first)).then_some(first)
}

/// Whether moments go down, or up; `None`: neither, or they are all one.
fn order(found: &[&Value], path: &[String]) -> Option<bool> {
    let moment = |item: &&Value| match at(item, path)? {
        Value::String(text) => text.parse::<Micros>().ok().map(|at| at.0),
        #[expect(clippy::cast_possible_truncation, reason = "a moment in milliseconds fits")]
        Value::Number(number) => number.as_f64().map(|at| (at * 1e3) as i64),
        _ => None,
    };
    let moments: Vec<i64> = found.iter().map(moment).collect::<Option<_>>()?;
    let (first, last) = (moments.first()?, moments.last()?);
    if first == last {
        None
    } else if moments.is_sorted() {
        Some(false)
    } else {
        moments.iter().rev().is_sorted().then_some(true)
    }
}

/// Paths of scalars in the first item, not deep.
fn scalars(found: &[&Value]) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    if let Some(first) = found.first() {
        walk(first, &mut Vec::new(), &mut paths);
    }
    paths
}

fn walk(value: &Value, path: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(object) if path.len() < 2 => {
            for (name, value) in object {
                path.push(name.clone());
                walk(value, path, paths);
                path.pop();
            }
        }
        Value::String(_) | Value::Number(_) => paths.push(path.clone()),
        _ => {}
    }
}

/// What lies at a path.
fn at<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn all(found: &Value) -> Vec<&Value> {
        found.as_array().unwrap().iter().collect()
    }

    #[test]
    fn an_id_is_in_all_items_and_in_each_another() {
        let found =
            json!([{ "id": 1, "order_id": 7, "key": "a" }, { "id": 1, "order_id": 8, "key": "b" }]);
        assert_eq!(ids(&all(&found)), [["key"], ["order_id"]]);
        assert!(ids(&all(&json!([{ "id": "" }]))).is_empty());
    }

    #[test]
    fn moments_and_their_order_are_seen() {
        let found = json!([{ "created": 1_772_359_200, "at": "2026-03-01T10:00:01Z" },
            { "created": 1_772_359_100, "at": "2026-03-01T10:00:00Z" }]);
        let found = all(&found);
        assert_eq!(best(&found, &TIMES, unit), Some((vec!["created".to_owned()], Some("s"))));
        assert_eq!(order(&found, &["at".to_owned()]), Some(true));
    }
}
