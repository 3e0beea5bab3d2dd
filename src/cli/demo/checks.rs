//! Whether everything that the demo showed was as promised.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::consumer::{BUSY_AT, POISON, Received};

/// What was seen from outside the relay.
pub(super) struct Evidence<'a> {
    /// How many orders the shop had.
    pub(super) orders: usize,
    /// Every request that the consumer got.
    pub(super) received: &'a [Received],
    /// The log from version 1, as the API gave it.
    pub(super) replay: &'a [Value],
    /// The dead letters, as the API gave them.
    pub(super) dead: &'a [Value],
}

/// What was promised, and whether it was kept.
pub(super) struct Check {
    pub(super) promise: String,
    /// How it was broken.
    pub(super) broken: Option<String>,
}

impl Evidence<'_> {
    /// Every promise, checked.
    pub(super) fn checks(&self) -> Vec<Check> {
        let orders = self.orders;
        [
            (format!("{orders} orders are in the log once, as versions 1 to {orders}"), self.log()),
            (
                format!("{} of them were delivered, signed", orders.saturating_sub(1)),
                self.delivered(),
            ),
            (format!("{BUSY_AT} was refused once and then delivered"), self.retried()),
            (format!("{POISON} is the only dead letter, after 3 attempts"), self.died()),
            ("the replay from version 1 has what was delivered".to_owned(), self.replayed()),
        ]
        .map(|(promise, kept)| Check { promise, broken: kept.err() })
        .into()
    }

    fn log(&self) -> Result<(), String> {
        let versions: Vec<u64> =
            self.replay.iter().filter_map(|event| event["version"].as_u64()).collect();
        let expected: Vec<u64> = (1..=self.orders as u64).collect();
        if versions != expected {
            return Err(format!("the versions are {versions:?}"));
        }
        let ids: BTreeSet<_> =
            self.replay.iter().filter_map(|event| event["id"].as_str()).collect();
        if ids.len() == self.orders { Ok(()) } else { Err(format!("{} different ids", ids.len())) }
    }

    fn taken(&self) -> BTreeMap<u64, &Received> {
        let good = self.received.iter().filter(|one| one.status < 300);
        good.map(|one| (one.version, one)).collect()
    }

    fn delivered(&self) -> Result<(), String> {
        if let Some(one) = self.received.iter().find(|one| !one.signed) {
            return Err(format!("the signature of version {} was wrong", one.version));
        }
        let taken = self.taken();
        let missing = self.replay.iter().filter(|event| event["id"] != POISON);
        let missing: Vec<u64> = missing
            .filter_map(|event| event["version"].as_u64())
            .filter(|version| !taken.contains_key(version))
            .collect();
        if missing.is_empty() && taken.len() + 1 == self.orders {
            Ok(())
        } else {
            Err(format!("{} were delivered; missing are {missing:?}", taken.len()))
        }
    }

    fn answers(&self, id: &str) -> Vec<(u32, u16)> {
        let of = self.received.iter().filter(|one| one.id == id);
        of.map(|one| (one.attempt, one.status)).collect()
    }

    fn retried(&self) -> Result<(), String> {
        match self.answers(BUSY_AT).as_slice() {
            [(1, 500), (2, 200..=299)] => Ok(()),
            other => Err(format!("attempts and answers were {other:?}")),
        }
    }

    fn died(&self) -> Result<(), String> {
        let tries = self.answers(POISON);
        let [letter] = self.dead else {
            return Err(format!("there are {} dead letters", self.dead.len()));
        };
        let id = letter.pointer("/event/id").and_then(Value::as_str);
        if id == Some(POISON) && tries.len() == 3 {
            Ok(())
        } else {
            Err(format!("the dead letter is {id:?}, attempts and answers were {tries:?}"))
        }
    }

    fn replayed(&self) -> Result<(), String> {
        let taken = self.taken();
        for event in self.replay {
            let version = event["version"].as_u64().unwrap_or_default();
            match taken.get(&version) {
                Some(one) if event["id"] == *one.id && event["data"] == one.data => {}
                None if event["id"] == POISON => {}
                _ => return Err(format!("version {version} differs from what was delivered")),
            }
        }
        if self.replay.len() == self.orders { Ok(()) } else { Err("it is not complete".into()) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn received(version: u64, id: &str, attempt: u32, status: u16) -> Received {
        let data = json!({ "id": id });
        Received { version, id: id.into(), attempt, status, signed: true, data }
    }

    fn story() -> (Vec<Received>, Vec<Value>, Vec<Value>) {
        let received = vec![
            received(1, "order-001", 1, 204),
            received(2, BUSY_AT, 1, 500),
            received(2, BUSY_AT, 2, 204),
            received(3, POISON, 1, 500),
            received(3, POISON, 2, 500),
            received(3, POISON, 3, 500),
        ];
        let event = |(version, id)| json!({ "version": version, "id": id, "data": { "id": id } });
        let replay = [(1, "order-001"), (2, BUSY_AT), (3, POISON)].map(event).to_vec();
        (received, replay, vec![json!({ "event": { "id": POISON } })])
    }

    fn broken(received: &[Received], replay: &[Value], dead: &[Value]) -> Vec<usize> {
        let checks = Evidence { orders: 3, received, replay, dead }.checks();
        let all = checks.iter().enumerate();
        all.filter(|(_, check)| check.broken.is_some()).map(|(index, _)| index).collect()
    }

    /// Each promise is broken by what breaks it.
    #[test]
    fn broken_promises_are_seen() {
        let (received, replay, dead) = story();
        assert_eq!(broken(&received, &replay, &dead), [0; 0]);
        let twice = [&replay[..], &replay[2..]].concat();
        assert_eq!(broken(&received, &twice, &dead), [0, 4]);
        assert_eq!(broken(&received[1..], &replay, &dead), [1, 4]);
        let mut forged = received.clone();
        forged[0].signed = false;
        assert_eq!(broken(&forged, &replay, &dead), [1]);
        let without_retry = [&received[..1], &received[2..]].concat();
        assert_eq!(broken(&without_retry, &replay, &dead), [2]);
        assert_eq!(broken(&received, &replay, &[]), [3]);
        let mut changed = replay.clone();
        changed[0]["data"] = json!({});
        assert_eq!(broken(&received, &changed, &dead), [4]);
    }
}
