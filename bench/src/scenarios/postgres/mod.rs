//! What is measured on PostgreSQL beside limits that are on PostgreSQL too.

use std::sync::Arc;

use anyhow::Result;

use super::{Bench, Scenario};
use crate::{measure::Report, postgres::Server};

mod append;
mod idle;
mod push;
mod replay;

/// Measures one scenario on databases of `server`.
pub(super) async fn run(bench: &Bench, server: &Arc<Server>, scenario: Scenario) -> Result<Report> {
    match scenario {
        Scenario::Append => append::run(bench, server).await,
        Scenario::Replay => replay::run(bench).await,
        Scenario::Push => push::run(bench, server).await,
        Scenario::Idle => idle::run(bench, server).await,
        other => bench.on_either(other).await,
    }
}
