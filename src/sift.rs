//! What a subscription makes of an event before it is sent: is it wanted, what is it ordered with,
//! how urgent is it, and has its time passed.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use crate::{
    event::{Event, Micros, PRIORITY_MAX, Topic},
    expr::Filter,
    settings::{Order, SubscriptionSettings},
};

/// The lane of an event that is ordered with nothing.
pub const FREE: u64 = 0;
/// The one lane of a strict order.
pub const STRICT: u64 = u64::MAX;

/// What a subscription makes of an event before it is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sifted {
    /// It is wanted.
    Wanted {
        /// What it is ordered with.
        lane: u64,
        /// 0 to 9; higher ones may overtake.
        priority: u8,
    },
    /// It is not wanted, or has expired.
    Skipped,
    /// The filter failed on it: the reason.
    Broken(String),
}

/// The sieve of one subscription.
#[derive(Debug, Clone)]
pub struct Sift {
    order: Order,
    filter: Option<Filter>,
    /// Why the filter cannot be used; every event is broken then.
    wrong: Option<String>,
}

impl Sift {
    /// Reads a subscription's settings.
    #[must_use]
    pub fn new(settings: &SubscriptionSettings) -> Self {
        let filter = settings.filter.as_ref().map(Filter::parse).transpose();
        let (filter, wrong) = match filter {
            Ok(filter) => (filter, None),
            Err(error) => (None, Some(format!("`filter`: {error}"))),
        };
        Self { order: settings.order, filter, wrong }
    }

    /// Whether every event is wanted.
    #[must_use]
    pub const fn wants_all(&self) -> bool {
        self.filter.is_none() && self.wrong.is_none()
    }

    /// What becomes of an event that is read at `now`.
    #[must_use]
    pub fn sift(&self, event: &Event, topic: &Topic, now: Micros) -> Sifted {
        match self.wants(event, topic) {
            Ok(true) if !is_expired(event, now) => {
                Sifted::Wanted { lane: self.lane(event), priority: self.priority(event) }
            }
            Ok(_) => Sifted::Skipped,
            Err(reason) => Sifted::Broken(reason),
        }
    }

    /// Whether an event is wanted.
    ///
    /// # Errors
    /// When the filter fails on it; says how.
    pub fn wants(&self, event: &Event, topic: &Topic) -> Result<bool, String> {
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        let Some(filter) = &self.filter else { return Ok(true) };
        filter.matches(event, topic).map_err(|error| format!("`filter`: {error}"))
    }

    /// What an event is ordered with.
    #[must_use]
    pub fn lane(&self, event: &Event) -> u64 {
        match self.order {
            Order::None => FREE,
            Order::Strict => STRICT,
            Order::Key => event.attributes.key().map_or(FREE, |key| lane_of(&key)),
        }
    }

    fn priority(&self, event: &Event) -> u8 {
        if self.order != Order::None {
            return 0;
        }
        let priority = event.attributes.get("priority").and_then(|text| text.parse().ok());
        priority.unwrap_or(0).min(PRIORITY_MAX)
    }
}

/// Whether an event's `expirytime` has passed.
#[must_use]
pub fn is_expired(event: &Event, now: Micros) -> bool {
    let expiry = event.attributes.get("expirytime").and_then(|text| text.parse::<Micros>().ok());
    expiry.is_some_and(|expiry| expiry <= now)
}

/// A key as a number that is kept with exceptions; two keys of one number are ordered with each
/// other, which harms nobody.
fn lane_of(key: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(key.as_bytes());
    hasher.finish().clamp(FREE + 1, STRICT - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Data, Epoch, Version};

    fn event(attributes: &str) -> Event {
        Event {
            version: Version(1),
            epoch: Epoch(1),
            recorded: Micros(0),
            attributes: attributes.into(),
            data: Data::None,
        }
    }

    fn sift(order: Order, attributes: &str) -> Sifted {
        let mut settings = SubscriptionSettings::new("http://h".into(), vec![]);
        settings.order = order;
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        Sift::new(&settings).sift(&event(attributes), &"t".parse().unwrap(), now)
    }

    #[test]
    fn keys_are_lanes_and_only_under_their_order() {
        let lane = |order, attributes| match sift(order, attributes) {
            Sifted::Wanted { lane, .. } => lane,
            other => panic!("{other:?}"),
        };
        let (one, two) = (r#"{"id":"1","partitionkey":"a"}"#, r#"{"id":"2","subject":"a"}"#);
        assert_eq!(lane(Order::Key, one), lane(Order::Key, two));
        assert_ne!(lane(Order::Key, one), lane(Order::Key, r#"{"id":"3","subject":"b"}"#));
        assert_eq!(lane(Order::Key, r#"{"id":"4"}"#), FREE);
        assert_eq!(lane(Order::None, one), FREE);
        assert_eq!(lane(Order::Strict, one), STRICT);
    }

    #[test]
    fn priorities_are_of_0_to_9_and_expired_events_are_skipped() {
        for (attributes, expected) in [
            (r#"{"id":"1","priority":7}"#, 7),
            (r#"{"id":"1","priority":"3"}"#, 3),
            (r#"{"id":"1","priority":300}"#, 0),
            (r#"{"id":"1","priority":99}"#, 9),
            (r#"{"id":"\"priority\":5"}"#, 0),
        ] {
            let wanted = Sifted::Wanted { lane: FREE, priority: expected };
            assert_eq!(sift(Order::None, attributes), wanted, "{attributes}");
        }
        let at = |time: &str| sift(Order::None, &format!(r#"{{"id":"1","expirytime":"{time}"}}"#));
        assert_eq!(at("2026-01-01T00:00:00Z"), Sifted::Skipped);
        assert!(matches!(at("2026-01-01T00:00:00.000001Z"), Sifted::Wanted { .. }));
        assert!(matches!(at("soon"), Sifted::Wanted { .. }));
    }
}
