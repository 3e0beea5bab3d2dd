//! What is measured: one file per scenario, each run beside its limit in the same run.

use anyhow::Result;
use clap::ValueEnum;

use crate::{measure::Report, relay::Milkrun};

mod append;
mod backlog;
mod both;
mod fan_out;
mod growth;
mod idle;
mod latency;
mod memory;
mod postgres;
mod probe;
mod push;
mod replay;
mod single;

/// A scenario's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Publishing in batches of 1,000.
    Append,
    /// 64 clients, one event a request.
    AppendSingle,
    /// A producer with 1,000 events a page.
    Probe,
    /// Reading from the first event on.
    Replay,
    /// A backlog to one consumer, one POST an event.
    Push,
    /// A backlog to one consumer, 50 events a POST.
    PushBatch,
    /// Probing and pushing at once.
    Both,
    /// One topic, 100 subscriptions.
    FanOut,
    /// From the producer's commit to the POST.
    Latency,
    /// Very many subscriptions and sources with nothing to do.
    Idle,
    /// Ten million events stored.
    Backlog,
    /// Whether the cost of an event grows with what is stored.
    Growth,
    /// What one of each kind takes in memory.
    Memory,
}

impl Scenario {
    /// What is measured when nothing is named.
    #[must_use]
    pub(crate) fn of_a_whole_run(on_postgres: bool) -> Vec<Self> {
        if on_postgres {
            return vec![Self::Append, Self::AppendSingle, Self::Replay, Self::Push, Self::Idle];
        }
        let all = Self::value_variants().iter().copied();
        all.filter(|scenario| *scenario != Self::Memory).collect()
    }
}

/// How it is measured.
#[derive(Debug, Clone)]
pub(crate) struct Bench {
    /// The relay.
    pub milkrun: Milkrun,
    /// In a few seconds each.
    pub quick: bool,
    /// As large as one has the patience for.
    pub large: bool,
    /// Runs of each thing.
    pub repeats: usize,
}

impl Bench {
    /// `full`, or the second of the two in the quick form.
    #[must_use]
    pub(crate) const fn size(&self, full: u64, quick: u64) -> u64 {
        if self.quick { quick } else { full }
    }

    /// Measures one scenario.
    ///
    /// # Errors
    /// Something did not work; nothing was measured then.
    pub(crate) async fn run(&self, scenario: Scenario) -> Result<Report> {
        if let Some(server) = &self.milkrun.postgres {
            let report = postgres::run(self, server, scenario).await?;
            return Ok(Report { scenario: format!("{} on PostgreSQL", report.scenario), ..report });
        }
        self.on_either(scenario).await
    }

    /// What is measured alike on a file and on a database.
    async fn on_either(&self, scenario: Scenario) -> Result<Report> {
        match scenario {
            Scenario::Append => append::run(self).await,
            Scenario::AppendSingle => single::run(self).await,
            Scenario::Probe => probe::run(self).await,
            Scenario::Replay => replay::run(self).await,
            Scenario::Push => push::run(self, 1).await,
            Scenario::PushBatch => push::run(self, push::BATCH).await,
            Scenario::Both => both::run(self).await,
            Scenario::FanOut => fan_out::run(self).await,
            Scenario::Latency => latency::run(self).await,
            Scenario::Idle => idle::run(self).await,
            Scenario::Backlog => backlog::run(self).await,
            Scenario::Growth => growth::run(self).await,
            Scenario::Memory => memory::run(self).await,
        }
    }
}
