//! Many rows in one: their heads as a text, their attributes and their data each in one piece.

use std::sync::Arc;

use super::{
    row::{Cells, formed},
    slot,
};
use crate::{
    event::{Event, Micros, Version},
    store::{StoreError, TopicState, sum},
};

fn unreadable(problem: &str) -> StoreError {
    StoreError::Unreadable { table: "events", problem: problem.to_owned() }
}

/// The numbers of a head, which are separated by commas.
fn numbers<const COUNT: usize>(head: &str) -> Result<[i64; COUNT], StoreError> {
    let mut numbers = [0; COUNT];
    let mut texts = head.split(',');
    for number in &mut numbers {
        let text = texts.next().and_then(|text| text.parse().ok());
        *number = text.ok_or_else(|| unreadable("a head that is no list of numbers"))?;
    }
    Ok(numbers)
}

/// The last slot of `SLOT,BYTES;SLOT,BYTES;…` up to which all have at most `max_bytes`, and the
/// first whatever it has.
pub(crate) fn end(sizes: &str, max_bytes: usize) -> Result<Option<i64>, StoreError> {
    let (mut end, mut bytes) = (None, 0);
    for head in sizes.split(';') {
        let [slot, size] = numbers(head)?;
        bytes += usize::try_from(size).unwrap_or(usize::MAX / 2);
        if bytes > max_bytes && end.is_some() {
            break;
        }
        end = Some(slot);
    }
    Ok(end)
}

/// The events whose heads are `SLOT,RECORDED,FORM,ATTRIBUTES_BYTES,DATA_BYTES,CHECKSUM;…`, up to
/// the first that is damaged; an error when that is the first of all.
pub(crate) fn events<'a>(
    heads: &str,
    mut attributes: &'a [u8],
    mut data: &'a [u8],
    state: &TopicState,
) -> Result<Vec<Arc<Event>>, StoreError> {
    let mut events = Vec::new();
    for head in heads.split(';') {
        match event(head, &mut attributes, &mut data, state) {
            Ok(event) => events.push(Arc::new(event)),
            Err(error) if events.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(events)
}

fn event<'a>(
    head: &str,
    attributes: &mut &'a [u8],
    data: &mut &'a [u8],
    state: &TopicState,
) -> Result<Event, StoreError> {
    let [slot, recorded, form, attributes_bytes, data_bytes, sum] = numbers(head)?;
    let take = |from: &mut &'a [u8], bytes: i64| {
        let found = from.split_at_checked(usize::try_from(bytes).unwrap_or(usize::MAX));
        let (own, rest) =
            found.ok_or_else(|| unreadable("an event is shorter than its head says"))?;
        *from = rest;
        Ok::<_, StoreError>(own)
    };
    let own = take(attributes, attributes_bytes)?;
    let bytes = take(data, data_bytes)?;
    let version = Version(slot::split(slot).1);
    let own = str::from_utf8(own).map_err(|_| unreadable("its attributes are no text"))?;
    let event = Event {
        version,
        epoch: state.epoch_of(version),
        recorded: Micros(recorded),
        attributes: own.into(),
        data: formed(form, bytes, "events")?,
    };
    // Events that an earlier release appended have none.
    if sum >= 0 && sum != i64::from(sum::of_event(state.id, &event)) {
        return Err(unreadable("its checksum is wrong"));
    }
    Ok(event)
}

/// The event that is kept beside an exception or a dead letter, in the columns `recorded`,
/// `attributes`, `form`, `data` and `checksum`; `None` when the log still has it.
pub(crate) fn kept_event(
    row: Cells<'_>,
    version: Version,
    state: &TopicState,
) -> Result<Option<Arc<Event>>, StoreError> {
    let Some(attributes) = row.get::<Option<&str>>("attributes")? else { return Ok(None) };
    let event = Event {
        version,
        epoch: state.epoch_of(version),
        recorded: row.get("recorded")?,
        attributes: attributes.into(),
        data: row.data()?,
    };
    row.check(sum::of_event(state.id, &event))?;
    Ok(Some(Arc::new(event)))
}
