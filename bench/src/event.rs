//! Events of 1 KB with random producer ids.

use std::fmt::Write as _;

use bytes::Bytes;

/// What one event has in bytes when it is published, as a CloudEvent in JSON.
pub(crate) const EVENT_BYTES: usize = 1_024;
/// Hexadecimal digits of an id.
const ID_CHARS: usize = 32;
const HEAD: &str = r#"{"specversion":"1.0","id":""#;
const ITEM_HEAD: &str = r#"{"id":""#;

/// Ids that nobody else makes, the same for the same seed.
#[derive(Debug, Clone)]
pub(crate) struct Ids(fastrand::Rng);

impl Ids {
    /// Those of a seed.
    #[must_use]
    pub(crate) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// Those of chance.
    #[must_use]
    pub(crate) fn fresh() -> Self {
        Self(fastrand::Rng::new())
    }

    /// Writes the next id over the first characters of `out`.
    pub(crate) fn write(&mut self, out: &mut [u8]) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut number = self.0.u128(..);
        for digit in &mut out[..ID_CHARS] {
            *digit = DIGITS[(number & 15) as usize];
            number >>= 4;
        }
    }

    /// The next id.
    #[must_use]
    pub(crate) fn text(&mut self) -> String {
        let mut text = vec![0; ID_CHARS];
        self.write(&mut text);
        String::from_utf8(text).unwrap_or_default()
    }
}

/// JSON of so many bytes that is not one long text.
#[must_use]
pub(crate) fn data(bytes: usize) -> String {
    let mut data = String::from(r#"{"lines":["#);
    let mut line = 0;
    while data.len() + 60 < bytes {
        let comma = if line == 0 { "" } else { "," };
        // Writing into memory cannot fail.
        let _ = write!(data, r#"{comma}{{"sku":"part-{line:04}","count":{line},"price":9.75}}"#);
        line += 1;
    }
    data.push_str(r#"],"note":""#);
    let rest = bytes.saturating_sub(data.len() + 2);
    data.push_str(&"x".repeat(rest));
    data.push_str(r#""}"#);
    data
}

/// One CloudEvent as it is published, its id to be written over from [`HEAD`]'s end on.
fn published() -> String {
    let zeros = "0".repeat(ID_CHARS);
    let mut event = format!(r#"{HEAD}{zeros}","source":"/bench","type":"bench.line","data":"#);
    event.push_str(&data(EVENT_BYTES - event.len() - 1));
    event.push('}');
    event
}

/// An item of a producer's page: the event's data with its id in it.
fn listed() -> String {
    let zeros = "0".repeat(ID_CHARS);
    let mut item = format!(r#"{ITEM_HEAD}{zeros}","type":"bench.line","order":"#);
    item.push_str(&data(EVENT_BYTES - item.len() - 1));
    item.push('}');
    item
}

/// Many events in one text, whose ids are written anew for each use.
#[derive(Debug, Clone)]
pub(crate) struct Sheet {
    text: Vec<u8>,
    first: usize,
    step: usize,
    count: usize,
}

impl Sheet {
    fn new(head: &str, event: &str, id_at: usize, count: usize, tail: &str) -> Self {
        let text = format!("{head}{}{tail}", vec![event; count].join(","));
        Self { text: text.into(), first: head.len() + id_at, step: event.len() + 1, count }
    }

    /// A body to publish `count` events with.
    #[must_use]
    pub(crate) fn publish(count: usize) -> Self {
        Self::new("[", &published(), HEAD.len(), count, "]")
    }

    /// A body to publish one event with.
    #[must_use]
    pub(crate) fn publish_one() -> Self {
        Self::new("", &published(), HEAD.len(), 1, "")
    }

    /// A producer's page.
    #[must_use]
    pub(crate) fn page(count: usize) -> Self {
        Self::new(r#"{"items":["#, &listed(), ITEM_HEAD.len(), count, "]}")
    }

    /// With the next ids in it.
    pub(crate) fn fill(&mut self, ids: &mut Ids) -> &[u8] {
        for event in 0..self.count {
            let at = self.first + event * self.step;
            ids.write(&mut self.text[at..at + ID_CHARS]);
        }
        &self.text
    }

    /// As [`Sheet::fill`]; the last eight digits of each id count from `first` on.
    pub(crate) fn number(&mut self, ids: &mut Ids, first: u64) -> &[u8] {
        self.fill(ids);
        for (event, number) in (0..self.count).zip(first..) {
            let end = self.first + event * self.step + ID_CHARS;
            self.text[end - 8..end].copy_from_slice(format!("{number:08x}").as_bytes());
        }
        &self.text
    }
}

/// A row of the log, as a raw SQLite transaction writes it.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// The attributes, as Milkrun keeps them, with their id.
    pub attributes: String,
    id_at: usize,
    /// The data.
    pub data: Bytes,
}

impl Row {
    /// The same bytes as a published event's.
    #[must_use]
    pub(crate) fn new() -> Self {
        let zeros = "0".repeat(ID_CHARS);
        let attributes = format!(r#"{ITEM_HEAD}{zeros}","source":"/bench","type":"bench.line"}}"#);
        let envelope = published().len() - published().find(r#""data":"#).unwrap_or(0) - 8;
        Self { attributes, id_at: ITEM_HEAD.len(), data: data(envelope).into() }
    }

    /// With the next id in its attributes.
    pub(crate) fn renew(&mut self, ids: &mut Ids) {
        self.attributes.replace_range(self.id_at..self.id_at + ID_CHARS, &ids.text());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn events_have_their_size_and_ids_of_their_own() {
        let mut sheet = Sheet::publish(50);
        let mut ids = Ids::fresh();
        let mut seen = HashSet::new();
        for _ in 0..2 {
            let events: Vec<serde_json::Value> =
                serde_json::from_slice(sheet.fill(&mut ids)).unwrap();
            for event in events {
                assert!(seen.insert(event["id"].as_str().unwrap().to_owned()));
                assert_eq!(event.to_string().len(), EVENT_BYTES);
            }
        }
        assert_eq!(seen.len(), 100);
        assert!(serde_json::from_slice::<serde_json::Value>(Sheet::page(3).fill(&mut ids)).is_ok());
        assert!(
            serde_json::from_slice::<serde_json::Value>(Sheet::publish_one().fill(&mut ids))
                .is_ok()
        );
        let row = Row::new();
        assert_eq!(row.data.len(), published().split_once(r#""data":"#).unwrap().1.len() - 1);
    }
}
