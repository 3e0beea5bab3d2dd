//! What retention took from somebody, summed: it goes in pieces, several a second, and is logged once a
//! minute.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    event::{Micros, Name, Topic, Version},
    store::{Expired, Trimmed},
};

/// How often losses are logged.
const TOLD_EVERY: Duration = Duration::from_mins(1);
/// Subscriptions that are named at a time; the others are counted.
const NAMED_MAX: usize = 20;

/// What went since it was last logged.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// By subscription and topic: how many owed events, and the last of them.
    owed: BTreeMap<(Name, Topic), (u64, Version)>,
    dead_letters: u64,
    told: Option<Micros>,
}

/// Lines to log.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    /// Of owed events, which are dead letters of a kind.
    pub(super) owed: Vec<String>,
    /// Of dead letters that went.
    pub(super) dead_letters: Option<String>,
}

impl Losses {
    /// Counts what went with one piece.
    pub(super) fn add(&mut self, trimmed: &Trimmed) {
        self.dead_letters += trimmed.dead_letters;
        for Expired { subscription, topic, to, count } in &trimmed.expired {
            let owed = self.owed.entry((subscription.clone(), topic.clone())).or_default();
            *owed = (owed.0 + count, (*to).max(owed.1));
        }
    }

    /// The lines to log at `now`, by the steady reading: at once after a quiet minute, else when the
    /// minute is over.
    pub(super) fn lines(&mut self, now: Micros) -> Lines {
        let waits = self.told.is_some_and(|told| now.since(told) < TOLD_EVERY);
        if waits || (self.owed.is_empty() && self.dead_letters == 0) {
            return Lines::default();
        }
        self.told = Some(now);
        let by_name = std::mem::take(&mut self.owed);
        let others = by_name.len().saturating_sub(NAMED_MAX);
        let named = by_name.iter().take(NAMED_MAX).map(|((subscription, topic), (count, to))| {
            format!(
                "retention removed {count} events of topic `{topic}`, up to version {to}, that subscription `{subscription}` was owed"
            )
        });
        let mut owed: Vec<String> = named.collect();
        if others > 0 {
            owed.push(format!("retention removed owed events of {others} more subscriptions"));
        }
        let count = std::mem::take(&mut self.dead_letters);
        let dead_letters =
            (count > 0).then(|| format!("{count} dead letters went, the oldest first"));
        Lines { owed, dead_letters }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_of_a_minute_are_one_line_for_each_subscription() {
        let mut losses = Losses::default();
        let at = |second| Micros(0).plus(Duration::from_secs(second));
        let count = |lines: &Lines| lines.owed.len() + usize::from(lines.dead_letters.is_some());
        let mut lines = 0;
        for piece in 0..600 {
            let expired = ["a", "b"].map(|name| Expired {
                subscription: name.parse().unwrap(),
                topic: "orders".parse().unwrap(),
                to: Version(piece),
                count: 1,
            });
            losses.add(&Trimmed { expired: expired.into(), dead_letters: 2, ..Trimmed::default() });
            lines += count(&losses.lines(at(piece / 5)));
        }
        assert_eq!(lines, 2 * 3, "at once, and after a minute");
        let last = losses.lines(at(200));
        assert_eq!(count(&last), 3, "{last:?}");
        let first = &last.owed[0];
        assert!(first.contains("299 events") && first.contains("version 599"), "{last:?}");
        assert_eq!(losses.lines(at(300)), Lines::default());
        for number in 0..50 {
            let expired = vec![Expired {
                subscription: format!("s{number}").parse().unwrap(),
                topic: "orders".parse().unwrap(),
                to: Version(1),
                count: 1,
            }];
            losses.add(&Trimmed { expired, ..Trimmed::default() });
        }
        assert_eq!(count(&losses.lines(at(400))), NAMED_MAX + 1);
    }
}
