//! Checksums that are kept with events, and compared whenever one is read.

use crate::{
    event::{Data, Event, Micros},
    store::{NewEvent, rules::known::KnownPending, slot},
};

/// What is kept with an event, and compared whenever it is read: of all of its row, its epoch and
/// where it is, so that no event is taken for another.
pub(crate) fn of_event(topic: i64, event: &Event) -> u32 {
    let (form, data) = stored(&event.data);
    let mut sum = crc32fast::Hasher::new();
    let epoch = i64::from(event.epoch.0);
    for number in [slot::of(topic, event.version), epoch, event.recorded.0, form] {
        sum.update(&number.to_be_bytes());
    }
    let attributes = event.attributes.as_str();
    sum.update(&attributes.len().to_be_bytes());
    sum.update(attributes.as_bytes());
    sum.update(data.unwrap_or_default());
    sum.finalize()
}

/// What is kept with an event that has no version yet, in the list where it waits, and compared
/// whenever it is read: of its row and of its `place` there.
pub(crate) fn of_waiting(place: &[u8], event: &NewEvent) -> u32 {
    let (form, data) = stored(&event.data);
    let mut sum = crc32fast::Hasher::new();
    sum.update(place);
    sum.update(&form.to_be_bytes());
    let texts = [event.source.as_str(), event.id.as_str(), event.attributes.as_str()];
    for bytes in texts.map(str::as_bytes).into_iter().chain([data.unwrap_or_default()]) {
        sum.update(&(bytes.len() as u64).to_be_bytes());
        sum.update(bytes);
    }
    sum.finalize()
}

/// What is kept with a pending event: of all of its row.
pub(crate) fn of_pending(id: i64, known: &KnownPending, since: Micros, event: &NewEvent) -> u32 {
    let mut place = Vec::with_capacity(40);
    for number in [id, known.topic, since.0] {
        place.extend(number.to_be_bytes());
    }
    place.extend(known.key.to_be_bytes());
    of_waiting(&place, event) ^ of_due(id, known.due, known.committed)
}

/// The part of the checksum that changes while it waits: taken out and put in by exclusive or, so
/// that a change need not read the event.
pub(crate) fn of_due(id: i64, due: Micros, committed: bool) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    for number in [id, due.0, i64::from(committed)] {
        sum.update(&number.to_be_bytes());
    }
    sum.finalize()
}

/// The same of an event that a walk has listed.
pub(crate) fn of_listed(source: i64, count: u64, event: &NewEvent) -> u32 {
    of_waiting(&slot::join(source, count).to_be_bytes(), event)
}

/// How data is kept: its form and its bytes.
pub(crate) fn stored(data: &Data) -> (i64, Option<&[u8]>) {
    match data {
        Data::None => (0, None),
        Data::Json(bytes) => (1, Some(bytes)),
        Data::Text(bytes) => (2, Some(bytes)),
        Data::Binary(bytes) => (3, Some(bytes)),
    }
}
