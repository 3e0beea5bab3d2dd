//! Whether the cluster lost nothing although a node was killed.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    super::{checks::Check, consumer::Received},
    board::{Piece, line},
};

/// What was seen from outside the nodes.
pub(super) struct Evidence<'a> {
    /// Every order of the producer, the oldest first.
    pub(super) emitted: &'a [String],
    /// Every request that the consumer got.
    pub(super) received: &'a [Received],
    /// The log from version 1, as a node that lives gave it.
    pub(super) log: &'a [Value],
    /// The node that was killed.
    pub(super) killed: &'a str,
    /// What it held and nobody has taken over.
    pub(super) abandoned: &'a [Piece],
}

impl Evidence<'_> {
    /// Every promise, checked.
    pub(super) fn checks(&self) -> Vec<Check> {
        let (orders, killed) = (self.emitted.len(), self.killed);
        [
            (format!("the other nodes do all that {killed} did"), self.taken_over()),
            (
                format!("{orders} orders are in the log, each once, as versions 1 to {orders}"),
                self.logged(),
            ),
            ("each of them reached the consumer at least once, signed".to_owned(), self.reached()),
        ]
        .map(|(promise, kept)| Check { promise, broken: kept.err() })
        .into()
    }

    /// Orders that came more than once, and how often.
    pub(super) fn duplicates(&self) -> Vec<(&str, usize)> {
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for one in self.received {
            *times.entry(&one.id).or_default() += 1;
        }
        times.into_iter().filter(|(_, times)| *times > 1).collect()
    }

    fn taken_over(&self) -> Result<(), String> {
        if self.abandoned.is_empty() {
            return Ok(());
        }
        Err(format!("nobody has {}", line(self.abandoned)))
    }

    fn logged(&self) -> Result<(), String> {
        let versions = self.log.iter().map(|event| event["version"].as_u64().unwrap_or_default());
        if !versions.clone().eq(1..=self.emitted.len() as u64) {
            return Err(format!("the versions are {:?}", versions.collect::<Vec<_>>()));
        }
        let ids = self.log.iter().map(|event| event["id"].as_str().unwrap_or_default());
        let mut both = ids.zip(self.emitted).zip(1..);
        match both.find(|((id, emitted), _)| id != emitted) {
            None => Ok(()),
            Some(((id, emitted), version)) => {
                Err(format!("version {version} is {id} and not {emitted}"))
            }
        }
    }

    fn reached(&self) -> Result<(), String> {
        if let Some(one) = self.received.iter().find(|one| !one.signed) {
            return Err(format!("the signature of version {} was wrong", one.version));
        }
        let came = |id: &&String| self.received.iter().any(|one| one.id == **id);
        let missing: Vec<_> = self.emitted.iter().filter(|id| !came(id)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("missing are {missing:?}")) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn received(version: u64, signed: bool) -> Received {
        let id = format!("order-{version}");
        Received { version, id, attempt: 1, status: 204, signed, data: Value::Null }
    }

    fn broken(received: &[Received], log: &[Value], abandoned: &[Piece]) -> Vec<usize> {
        let emitted = [1, 2, 3].map(|number| format!("order-{number}"));
        let evidence = Evidence { emitted: &emitted, received, log, killed: "node-1", abandoned };
        let checks = evidence.checks();
        let all = checks.iter().enumerate();
        all.filter(|(_, check)| check.broken.is_some()).map(|(index, _)| index).collect()
    }

    /// Each promise is broken by what breaks it, and a duplicate breaks none.
    #[test]
    fn what_is_lost_or_twice_in_the_log_is_seen() {
        let came = [received(1, true), received(2, true), received(2, true), received(3, true)];
        let event = |version: u64| json!({ "version": version, "id": format!("order-{version}") });
        let log = [event(1), event(2), event(3)];
        assert_eq!(broken(&came, &log, &[]), [0; 0]);
        assert_eq!(broken(&came, &log, &[Piece::source()]), [0]);
        assert_eq!(broken(&came, &log[..2], &[]), [1], "lost");
        assert_eq!(broken(&came, &[event(1), event(2), event(3), event(3)], &[]), [1], "twice");
        let other = [event(1), json!({ "version": 2, "id": "order-1" }), event(3)];
        assert_eq!(broken(&came, &other, &[]), [1], "under another version");
        assert_eq!(broken(&came[..3], &log, &[]), [2], "never sent");
        let forged = [&came[..3], &[received(3, false)]].concat();
        assert_eq!(broken(&forged, &log, &[]), [2], "not signed");
        let emitted = [String::new()];
        let evidence =
            Evidence { emitted: &emitted, received: &came, log: &log, killed: "", abandoned: &[] };
        assert_eq!(evidence.duplicates(), [("order-2", 2)]);
    }
}
