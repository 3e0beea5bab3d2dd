//! What is kept, as it is asked for.

use std::time::Duration;

use super::{COARSE_SLOTS, FINE_SLOTS, FINE_US, Kept, Labels, MINUTE_LOOKS, Recorder};
use crate::{
    event::Micros,
    telemetry::list::{Described, Kind},
};

/// From when on, and in which steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// The first slot, and the one behind the last, in slots of the ring.
    from: i64,
    to: i64,
    /// How many slots of the ring make one value.
    each: i64,
    is_fine: bool,
}

impl Window {
    /// The window from `since` to now. Without a step it is 10 s within the last hour, else a minute.
    ///
    /// # Errors
    /// What is wrong with the step.
    pub(crate) fn of(since: Micros, step: Option<Duration>, now: Micros) -> Result<Self, String> {
        let fine_from = now.0.div_euclid(FINE_US) - i64::try_from(FINE_SLOTS).unwrap_or(i64::MAX);
        let is_recent = since.0.div_euclid(FINE_US) >= fine_from;
        let step = step.map_or(if is_recent { 10 } else { 60 }, |step| step.as_secs());
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        if !(10..=3_600).contains(&step) || step % 10 != 0 {
            return Err("expected `10s`, or a multiple of it up to `1h`".to_owned());
        }
        if !is_recent && step % 60 != 0 {
            let told =
                "what is older than an hour is kept by the minute: expected a multiple of `1m`";
            return Err(told.to_owned());
        }
        let is_fine = is_recent && step % 60 != 0;
        let (slot_us, slots, each) = if is_fine {
            (FINE_US, FINE_SLOTS, step / 10)
        } else {
            (FINE_US * MINUTE_LOOKS, COARSE_SLOTS, step / 60)
        };
        // The slot of now has not ended where it is a minute.
        let to = now.0.div_euclid(slot_us) + i64::from(is_fine);
        let oldest = to - i64::try_from(slots).unwrap_or(i64::MAX);
        let from = since.0.div_euclid(slot_us).clamp(oldest, to);
        Ok(Self { from: from.div_euclid(each) * each, to, each, is_fine })
    }

    /// Seconds from one value to the next.
    pub(crate) fn step_seconds(self) -> i64 {
        self.each * if self.is_fine { 10 } else { 60 }
    }

    /// Where the first value begins.
    pub(crate) fn begins(self) -> Micros {
        let slot_us = if self.is_fine { FINE_US } else { FINE_US * MINUTE_LOOKS };
        Micros(self.from.saturating_mul(slot_us))
    }

    /// How many values a series has.
    pub(crate) fn length(self) -> usize {
        let slots = self.to - self.from;
        usize::try_from(slots.div_euclid(self.each) + i64::from(slots % self.each != 0))
            .unwrap_or(0)
    }

    /// The values of a series; the mean of several, of quantiles the highest.
    fn values(self, kept: &Kept, is_quantile: bool) -> Vec<Option<f32>> {
        let ring = if self.is_fine { &kept.fine } else { &kept.coarse };
        let starts = (self.from..self.to).step_by(usize::try_from(self.each).unwrap_or(1));
        let value = |start: i64| {
            let end = (start + self.each).min(self.to);
            let known: Vec<f32> = (start..end).filter_map(|slot| ring.get(slot)).collect();
            if is_quantile {
                return known.into_iter().reduce(f32::max);
            }
            let count = u16::try_from(known.len()).ok().filter(|count| *count > 0)?;
            Some(known.iter().sum::<f32>() / f32::from(count))
        };
        starts.map(value).collect()
    }
}

/// Which series.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Of this metric.
    pub(crate) metric: &'static Described,
    /// With these labels, and any others.
    pub(crate) labels: Labels,
    /// At most so many.
    pub(crate) limit: usize,
}

/// One series.
#[derive(Debug, PartialEq)]
pub(crate) struct Shown {
    /// By the labels' names.
    pub(crate) labels: Labels,
    /// From the beginning of the window on; `None`: not known.
    pub(crate) values: Vec<Option<f32>>,
}

impl Recorder {
    /// The series that are wanted and may be seen, by their labels, and how many more there are.
    pub(crate) fn shown(
        &self,
        wanted: &Wanted,
        window: Window,
        may: impl Fn(&Labels) -> bool,
    ) -> (Vec<Shown>, usize) {
        let name = wanted.metric.name;
        let all = self.kept.range((name, Vec::new())..).take_while(|((of, _), _)| *of == name);
        let mut found = all.filter(|((_, labels), _)| {
            wanted.labels.iter().all(|label| labels.contains(label)) && may(labels)
        });
        let is_quantile = wanted.metric.kind == Kind::Histogram;
        let shown = found.by_ref().take(wanted.limit).map(|((_, labels), kept)| Shown {
            labels: labels.clone(),
            values: window.values(kept, is_quantile),
        });
        let shown: Vec<_> = shown.collect();
        (shown, found.count())
    }
}
