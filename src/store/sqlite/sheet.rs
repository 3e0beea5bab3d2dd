//! Many rows in one: their heads as a text, their attributes and their data each in one piece.

use std::sync::Arc;

use bytes::Bytes;

use super::slot;
use crate::{
    event::{Data, Event, Micros, Version},
    store::{StoreError, TopicState},
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
pub(super) fn end(sizes: &str, max_bytes: usize) -> Result<Option<i64>, StoreError> {
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

/// The events whose heads are `SLOT,RECORDED,FORM,ATTRIBUTES_BYTES,DATA_BYTES;…`.
pub(super) fn events(
    heads: &str,
    mut attributes: &str,
    mut data: &[u8],
    state: &TopicState,
) -> Result<Vec<Arc<Event>>, StoreError> {
    let mut events = Vec::new();
    for head in heads.split(';') {
        let [slot, recorded, form, attributes_bytes, data_bytes] = numbers(head)?;
        let length = |bytes: i64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let short = || unreadable("an event is shorter than its head says");
        let own = attributes.split_at_checked(length(attributes_bytes)).ok_or_else(short)?;
        attributes = own.1;
        let bytes = data.split_at_checked(length(data_bytes)).ok_or_else(short)?;
        data = bytes.1;
        let version = Version(slot::split(slot).1);
        events.push(Arc::new(Event {
            version,
            epoch: state.epoch_of(version),
            recorded: Micros(recorded),
            attributes: own.0.into(),
            data: formed(form, bytes.0, "events")?,
        }));
    }
    Ok(events)
}

/// Data as it is kept: a form and bytes.
pub(super) fn formed(form: i64, bytes: &[u8], table: &'static str) -> Result<Data, StoreError> {
    // A slice would keep the whole page in memory.
    let bytes = Bytes::copy_from_slice(bytes);
    match form {
        0 => Ok(Data::None),
        1 => Ok(Data::Json(bytes)),
        2 => Ok(Data::Text(bytes)),
        3 => Ok(Data::Binary(bytes)),
        form => Err(StoreError::Unreadable { table, problem: format!("form {form}") }),
    }
}
