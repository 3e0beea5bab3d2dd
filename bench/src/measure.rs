//! What is measured, and what is claimed of it.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

/// One run of one thing.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Run {
    /// What was done so many times.
    pub events: u64,
    /// How long it took.
    pub seconds: f64,
    /// CPU of the process that did it, over all its threads.
    pub cpu_seconds: f64,
}

impl Run {
    /// Events a second.
    #[must_use]
    pub(crate) fn rate(&self) -> f64 {
        real(self.events) / self.seconds
    }

    /// Microseconds of CPU an event.
    #[must_use]
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu_seconds * 1e6 / real(self.events)
    }
}

/// The runs of one thing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Series {
    /// What it is.
    pub name: String,
    /// Each of them.
    pub runs: Vec<Run>,
}

impl Series {
    /// Without a run yet.
    #[must_use]
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), runs: Vec::new() }
    }

    /// Median, least and most of the rates.
    #[must_use]
    pub(crate) fn rates(&self) -> Spread {
        Spread::of(self.runs.iter().map(Run::rate))
    }

    /// Median, least and most of the CPU an event.
    #[must_use]
    pub(crate) fn cpu_us(&self) -> Spread {
        Spread::of(self.runs.iter().map(Run::cpu_us))
    }

    /// Its rates as shares of another's, run by run.
    #[must_use]
    pub(crate) fn share_of(&self, other: &Self) -> Spread {
        Spread::of(self.runs.iter().zip(&other.runs).map(|(one, two)| one.rate() / two.rate()))
    }

    /// Its CPU an event as a multiple of another's, run by run.
    #[must_use]
    pub(crate) fn cpu_share_of(&self, other: &Self) -> Spread {
        Spread::of(self.runs.iter().zip(&other.runs).map(|(one, two)| one.cpu_us() / two.cpu_us()))
    }
}

/// Several measurements of one quantity.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Spread {
    /// The middle one.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// Zero of none.
    #[must_use]
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let (Some(&least), Some(&most)) = (values.first(), values.last()) else {
            return Self::default();
        };
        let median = f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2]);
        Self { median, least, most }
    }

    /// Of a single one.
    #[must_use]
    pub(crate) const fn one(value: f64) -> Self {
        Self { median: value, least: value, most: value }
    }
}

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// Or more.
    AtLeast(f64),
    /// Or less.
    AtMost(f64),
    /// Only told.
    Told,
}

/// One figure, and what it should be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// What it is, with its unit.
    pub what: String,
    /// What it is here.
    pub is: Spread,
    /// What it should be.
    pub target: Target,
    /// Beyond this it is a regression. Only what compares two things of the same run can tell of
    /// one on whatever machine.
    pub bound: Option<f64>,
}

impl Claim {
    /// A share of a limit that was measured in the same run.
    #[must_use]
    pub(crate) fn ratio(what: &str, is: Spread, target: Target, bound: f64) -> Self {
        Self { what: what.to_owned(), is, target, bound: Some(bound) }
    }

    /// A figure of this machine.
    #[must_use]
    pub(crate) fn figure(what: &str, is: Spread, target: Target) -> Self {
        Self { what: what.to_owned(), is, target, bound: None }
    }

    /// Whether the median is within the target.
    #[must_use]
    pub(crate) fn holds(&self) -> bool {
        match self.target {
            Target::AtLeast(least) => self.is.median >= least,
            Target::AtMost(most) => self.is.median <= most,
            Target::Told => true,
        }
    }

    /// Whether the median is so far from the target that something must have been broken.
    #[must_use]
    pub(crate) fn is_regression(&self) -> bool {
        let Some(bound) = self.bound else { return false };
        match self.target {
            Target::AtLeast(_) => self.is.median < bound,
            Target::AtMost(_) => self.is.median > bound,
            Target::Told => false,
        }
    }
}

/// What a scenario came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Its name.
    pub scenario: String,
    /// What was done, with which parameters.
    pub parameters: String,
    /// What was measured.
    pub series: Vec<Series>,
    /// What follows.
    pub claims: Vec<Claim>,
}

/// Time, and the CPU of one process.
#[derive(Debug)]
pub(crate) struct Watch {
    pid: u32,
    began: Instant,
    cpu_before: f64,
}

impl Watch {
    /// Begins.
    ///
    /// # Errors
    /// There is no such process.
    pub(crate) fn start(pid: u32) -> Result<Self> {
        Ok(Self { pid, cpu_before: cpu_seconds(pid)?, began: Instant::now() })
    }

    /// Ends; so many events were done.
    ///
    /// # Errors
    /// The process is gone.
    pub(crate) fn stop(self, events: u64) -> Result<Run> {
        let seconds = self.began.elapsed().as_secs_f64();
        let cpu_seconds = cpu_seconds(self.pid)? - self.cpu_before;
        Ok(Run { events, seconds, cpu_seconds })
    }
}

/// Waits until a count is exactly `wanted`, looking `every` so often.
///
/// # Errors
/// It did not rise for 30 seconds, or is more.
pub(crate) async fn reached(
    wanted: u64,
    every: Duration,
    count: impl AsyncFn() -> Result<u64>,
) -> Result<()> {
    let (mut before, mut since) = (0, Instant::now());
    loop {
        let now = count().await?;
        ensure!(now <= wanted, "{now} events came in the place of {wanted}");
        if now == wanted {
            return Ok(());
        }
        if now > before {
            (before, since) = (now, Instant::now());
        }
        ensure!(since.elapsed() < Duration::from_secs(30), "after {now} of {wanted} none came");
        tokio::time::sleep(every).await;
    }
}

/// CPU that a process has used, user and system, all threads.
///
/// # Errors
/// There is no such process.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    Ok(seconds(stat(pid)?.1))
}

/// CPU that a process and its children have used, those that ended among them.
///
/// # Errors
/// There is no such process.
pub(crate) fn family_cpu_seconds(pid: u32) -> Result<f64> {
    let mut ticks = stat(pid)?.1 + stat(pid)?.2;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(other) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that ended since is among what its parent has waited for.
        if let Ok((parent, own, _)) = stat(other)
            && parent == pid
        {
            ticks += own;
        }
    }
    Ok(seconds(ticks))
}

fn seconds(ticks: u64) -> f64 {
    real(ticks) / real(rustix::param::clock_ticks_per_second())
}

/// The parent of a process, its own ticks and those of children that have ended (proc(5),
/// `/proc/pid/stat`).
fn stat(pid: u32) -> Result<(u32, u64, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("no such process")?;
    // The name of the program is in brackets and may hold anything.
    let (_, fields) = stat.rsplit_once(") ").context("an unknown form of /proc/pid/stat")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<u64>();
    Ok((fields[1].parse()?, ticks(11)? + ticks(12)?, ticks(13)? + ticks(14)?))
}

/// Memory that a process has resident.
///
/// # Errors
/// There is no such process.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("no such process")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kib << 10)
}

/// A count as a number to divide by.
#[expect(clippy::cast_precision_loss, reason = "nothing is counted to 2^52")]
#[must_use]
pub(crate) fn real(count: impl TryInto<u64>) -> f64 {
    count.try_into().unwrap_or(u64::MAX) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_its_middle() {
        let spread = Spread::of([3.0, 1.0, 2.0].into_iter());
        assert_eq!((spread.least, spread.median, spread.most), (1.0, 2.0, 3.0));
        let even = Spread::of([4.0, 1.0].into_iter());
        assert_eq!((even.least, even.median, even.most), (1.0, 2.5, 4.0));
    }

    #[test]
    fn a_regression_is_worse_than_a_miss() {
        let least = |is| Claim::ratio("x", Spread::one(is), Target::AtLeast(0.6), 0.3);
        assert!(!least(0.4).holds() && !least(0.4).is_regression() && least(0.2).is_regression());
        let most = |is| Claim::ratio("x", Spread::one(is), Target::AtMost(1.5), 3.0);
        assert!(!most(2.0).holds() && !most(2.0).is_regression() && most(4.0).is_regression());
    }

    #[test]
    fn this_process_uses_time_and_memory() {
        let own = std::process::id();
        assert!(cpu_seconds(own).unwrap() >= 0.0);
        assert!(resident_bytes(own).unwrap() > 1 << 20);
    }
}
