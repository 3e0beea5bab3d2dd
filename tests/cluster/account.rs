//! What became of everything, as a history to check.

use std::time::Duration;

use super::{
    load::id,
    rig::{Rig, is_ordered},
};
use crate::history::{
    Delivery, Fault, Figures, History, Rules, Subscription, Topic, check, entries,
};

/// How long after its end a process's last requests may still be read.
const READING: Duration = Duration::from_millis(200);

/// Without a bound on what is sent again after a fault, nor on how soon things go on.
pub(crate) const RULES: Rules = Rules { reading: READING, unsaved_max: None, recovery_max: None };

/// What was emitted, what is in the log and what consumers got.
pub(crate) async fn history(rig: &Rig, had: &[u64], faults: &[Fault]) -> History {
    let (api, mut history) = (rig.any(), History::default());
    for (source, had) in had.iter().enumerate() {
        let emitted = vec![(1..=*had).map(|n| id(source, n)).collect()];
        let log = entries(&api.log(&format!("t{source}")).await);
        let topic = Topic { emitted, log, ..Topic::default() };
        history.topics.insert(format!("t{source}"), topic);
    }
    let got = rig.endpoints.got();
    for subscription in 0..rig.load.subscriptions {
        let topic = rig.load.topic_of(subscription);
        let got = got.get(&subscription).into_iter().flatten();
        let delivery = |got: &super::load::Got| Delivery {
            version: got.version,
            started: got.started,
            finished: got.finished,
            accepted: true,
        };
        let subscribed = Subscription {
            topic: format!("t{topic}"),
            in_order: is_ordered(subscription),
            busy: topic < rig.load.busy,
            deliveries: got.map(delivery).collect(),
        };
        history.subscriptions.insert(format!("b{subscription}"), subscribed);
    }
    history.faults = faults.to_vec();
    history
}

/// Panics on anything lost, twice in the log, renumbered, inverted, or sent twice without a fault.
pub(crate) async fn account(rig: &Rig, had: &[u64], faults: &[Fault]) -> Figures {
    check(&history(rig, had, faults).await, &RULES).clean()
}
