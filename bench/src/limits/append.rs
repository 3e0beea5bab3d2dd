//! The rows of a publish, the dedupe row included, through raw SQLite transactions.

use anyhow::Result;

use super::file::{Log, renew, rows};
use crate::{
    event::Ids,
    measure::{Run, Watch},
    relay::place,
};

pub(super) fn run(events: u64, batch: u64) -> Result<Run> {
    let dir = place()?;
    let mut log = Log::create(&dir.path().join("limit.db"))?;
    let (mut rows, mut ids) = (rows(batch), Ids::fresh());
    let watch = Watch::start(std::process::id())?;
    for _ in 0..events / batch {
        renew(&mut rows, &mut ids);
        log.append(rows.iter().map(|row| (row.attributes.as_str(), &row.data[..])))?;
    }
    watch.stop(events / batch * batch)
}
