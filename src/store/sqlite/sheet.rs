//! Many rows in one: their heads as a text, their attributes and their data each in one piece.

use std::sync::Arc;

use bytes::Bytes;

use super::{commit, memory::PendingMemory, slot};
use crate::{
    event::{Data, Event, Micros, Version},
    store::{NewEvent, StoreError, TopicState},
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

/// The events whose heads are `SLOT,RECORDED,FORM,ATTRIBUTES_BYTES,DATA_BYTES,CHECKSUM;…`, up to
/// the first that is damaged; an error when that is the first of all.
pub(super) fn events<'a>(
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
    if sum >= 0 && sum != i64::from(checksum(state.id, &event)) {
        return Err(unreadable("its checksum is wrong"));
    }
    Ok(event)
}

/// What is kept with an event, and compared whenever it is read: of all of its row, its epoch and
/// where it is, so that no event is taken for another.
pub(super) fn checksum(topic: i64, event: &Event) -> u32 {
    let (form, data) = commit::stored(&event.data);
    let mut sum = crc32fast::Hasher::new();
    let epoch = i64::from(event.epoch.0);
    for number in [slot::of(topic, event.version), epoch, event.recorded.0, form] {
        sum.update(&number.to_be_bytes());
    }
    sum.update(&event.attributes.len().to_be_bytes());
    sum.update(event.attributes.as_bytes());
    sum.update(data.unwrap_or_default());
    sum.finalize()
}

/// What is kept with an event that has no version yet, in the list where it waits, and compared
/// whenever it is read: of its row and of its `place` there.
pub(super) fn waiting_checksum(place: &[u8], event: &NewEvent) -> u32 {
    let (form, data) = commit::stored(&event.data);
    let mut sum = crc32fast::Hasher::new();
    sum.update(place);
    sum.update(&form.to_be_bytes());
    let texts = [event.source.as_str(), event.id.as_str(), &event.attributes];
    for bytes in texts.map(str::as_bytes).into_iter().chain([data.unwrap_or_default()]) {
        sum.update(&(bytes.len() as u64).to_be_bytes());
        sum.update(bytes);
    }
    sum.finalize()
}

/// What is kept with a pending event: of all of its row.
pub(super) fn pending_checksum(
    id: i64,
    memory: &PendingMemory,
    since: Micros,
    event: &NewEvent,
) -> u32 {
    let mut place = Vec::with_capacity(40);
    for number in [id, memory.topic, since.0] {
        place.extend(number.to_be_bytes());
    }
    place.extend(memory.key.to_be_bytes());
    waiting_checksum(&place, event) ^ due_checksum(id, memory.due, memory.committed)
}

/// The part of the checksum that changes while it waits: taken out and put in by exclusive or, so
/// that a change need not read the event.
pub(super) fn due_checksum(id: i64, due: Micros, committed: bool) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    for number in [id, due.0, i64::from(committed)] {
        sum.update(&number.to_be_bytes());
    }
    sum.finalize()
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
