//! Topics, subscriptions, positions and replay jobs: what may be done to them, and what it changes.

use std::collections::BTreeSet;

use super::known::Known;
use crate::{
    event::{Micros, Name, Topic, TopicPattern, Version},
    store::{
        EpochStart, NewJob, NewSubscription, Origin, StartFrom, StoreError, Subscription,
        SubscriptionStatus, SubscriptionSteer, TopicState,
    },
};

/// Replay jobs of one subscription that run at once.
const REPLAYS_MAX: usize = 10;

/// The topics that are meant, by row number; one that is named plainly must be there.
pub(crate) fn meant(known: &Known, patterns: &[TopicPattern]) -> Result<BTreeSet<i64>, StoreError> {
    let mut meant = BTreeSet::new();
    for pattern in patterns {
        if let Some(topic) = pattern.topic() {
            meant.insert(known.topic(&topic)?.state.id);
        } else {
            let names = known.names.iter().filter(|(topic, _)| pattern.matches(topic));
            meant.extend(names.map(|(_, id)| *id));
        }
    }
    Ok(meant)
}

/// Whether so many positions more find room beside those that are held.
///
/// # Errors
/// `Full` when they do not.
pub(crate) fn room(held: usize, wanted: usize, most: usize) -> Result<(), StoreError> {
    if wanted == 0 || held + wanted <= most {
        return Ok(());
    }
    Err(StoreError::Full(format!(
        "subscriptions have {held} positions already, one for each topic of each, and {wanted} more \
         are asked for: raise `limits.positions_max: {most}` (about 7 KB of memory each), name fewer \
         topics, or delete subscriptions"
    )))
}

/// Whether a subscription of a name that is taken may be put: by the file, over one of the file.
pub(crate) fn may_renew(known: &Subscription, new: &NewSubscription) -> Result<(), StoreError> {
    match (new.origin, known.origin) {
        (Origin::Api, _) => {
            Err(StoreError::Exists { what: "subscription", name: known.name.to_string() })
        }
        (Origin::File, Origin::Api) => Err(StoreError::Conflict(format!(
            "subscription `{}` was made through the API; delete it there or take another name",
            known.name
        ))),
        (Origin::File, Origin::File) => Ok(()),
    }
}

/// What a subscription that the file names again changes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Renewal {
    /// Another URL: what was learnt of the endpoint is of no use.
    pub(crate) forgets_endpoint: bool,
    /// Live positions, with their topics, that it is no longer in.
    pub(crate) leaves: Vec<(i64, i64)>,
}

/// Whether putting a subscription over a known one, whose positions follow its topics, changes nothing.
pub(crate) fn is_as_known(known: &Subscription, new: &NewSubscription) -> bool {
    known.status != SubscriptionStatus::Removed
        && known.topics == new.topics
        && known.settings == new.settings
}

/// What changes for a subscription that holds live positions (row number, topic); `None`: nothing.
/// Every start puts every subscription: what is as it was is not written, and costs no sync.
pub(crate) fn renewal(
    known: &Subscription,
    held: &[(i64, i64)],
    new: &NewSubscription,
    topics: &BTreeSet<i64>,
) -> Option<Renewal> {
    let leaves: Vec<_> =
        held.iter().copied().filter(|(_, topic)| !topics.contains(topic)).collect();
    let is_same = is_as_known(known, new) && held.len() == topics.len() && leaves.is_empty();
    let forgets_endpoint = known.settings.url != new.settings.url;
    (!is_same).then_some(Renewal { forgets_endpoint, leaves })
}

/// Whether an operator, the file or the endpoint may do that; `false`: there is nothing to do.
pub(crate) fn may_steer(
    known: &Subscription,
    steer: &SubscriptionSteer,
) -> Result<bool, StoreError> {
    match steer {
        SubscriptionSteer::Pause | SubscriptionSteer::Resume
            if known.status == SubscriptionStatus::Removed =>
        {
            Err(has_left("subscription", &known.name))
        }
        // Another has the name by now, or somebody was faster.
        SubscriptionSteer::Disable { id, .. } => {
            Ok(*id == known.id && known.status == SubscriptionStatus::Active)
        }
        _ => Ok(true),
    }
}

/// The error for one that left the file.
pub(super) fn has_left(what: &str, name: &Name) -> StoreError {
    StoreError::Conflict(format!(
        "{what} `{name}` has left the configuration; it finds its place again when it is back"
    ))
}

/// Where a new position begins.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// Behind this version.
    After(Version),
    /// Behind the last version recorded before this moment, which the log has to be asked for.
    Since(Micros),
}

/// Where a new position in a topic begins.
///
/// # Errors
/// `Conflict` when that is ahead of the head.
pub(crate) fn beginning(topic: &TopicState, from: StartFrom) -> Result<Beginning, StoreError> {
    match from {
        StartFrom::Latest => Ok(Beginning::After(topic.head)),
        StartFrom::Earliest => Ok(Beginning::After(topic.oldest.previous())),
        StartFrom::After(version) if version <= topic.head => Ok(Beginning::After(version)),
        StartFrom::After(version) => Err(StoreError::Conflict(format!(
            "version {version} is ahead of the head {} of topic `{}`",
            topic.head, topic.topic
        ))),
        StartFrom::Since(moment) => Ok(Beginning::Since(moment)),
    }
}

/// Whether the positions of a subscription in topics of these heads may move to behind `to`. With
/// `only`, the topic that was asked for.
pub(crate) fn may_rewind(
    name: &Name,
    only: Option<&Topic>,
    heads: &[Version],
    to: Version,
) -> Result<(), StoreError> {
    if let (true, Some(topic)) = (heads.is_empty(), only) {
        return Err(StoreError::Conflict(format!(
            "subscription `{name}` is not in topic `{topic}`"
        )));
    }
    match heads.iter().find(|head| to > **head) {
        Some(head) => {
            Err(StoreError::Conflict(format!("version {to} is ahead of the head {head}")))
        }
        None => Ok(()),
    }
}

/// Whether a replay may start beside so many that run.
pub(crate) fn may_replay(
    name: &Name,
    is_in_topic: bool,
    topic: &TopicState,
    job: &NewJob,
    running: usize,
) -> Result<(), StoreError> {
    if !is_in_topic {
        return Err(StoreError::Conflict(format!(
            "subscription `{name}` is not in topic `{}`",
            job.topic
        )));
    }
    if job.from > job.to || job.to > topic.head {
        return Err(StoreError::Conflict(format!(
            "there is nothing to replay from {} to {}: the head is {}",
            job.from, job.to, topic.head
        )));
    }
    if job.from < topic.oldest {
        return Err(StoreError::Trimmed { oldest: topic.oldest });
    }
    if running >= REPLAYS_MAX {
        return Err(StoreError::Full(format!(
            "{REPLAYS_MAX} replays of subscription `{name}` run already"
        )));
    }
    Ok(())
}

/// A topic with one more epoch. One that begins at the same version has named none yet, and is
/// replaced.
pub(crate) fn with_epoch(topic: &TopicState, start: &EpochStart) -> TopicState {
    let kept = topic.epochs.iter().filter(|known| known.first < start.first).cloned();
    let epochs = kept.chain([start.clone()]).collect();
    TopicState { epochs, ..topic.clone() }
}

/// Which of dead letters, oldest first, fit as retries into so much room. One whose key stands
/// still (`true`) is an exception already, and needs none.
pub(crate) fn that_fit(letters: &[(i64, bool)], mut room: u64) -> Vec<i64> {
    let mut fit = Vec::with_capacity(letters.len());
    for (id, stands_still) in letters {
        if *stands_still {
            fit.push(*id);
        } else if room > 0 {
            room -= 1;
            fit.push(*id);
        }
    }
    fit
}

/// One below the lowest version that is open or excepted; the reach when there is none.
pub(crate) fn floor(
    reach: Version,
    open: &[Version],
    lowest_exception: Option<Version>,
) -> Version {
    open.iter().copied().chain(lowest_exception).min().map_or(reach, Version::previous)
}

#[cfg(test)]
mod tests;
