//! `milkrun attention`: what somebody has to look at, and the command that helps.

use super::{
    Failure, Options,
    output::{self, Column, Output},
};

const COLUMNS: [Column; 6] = [
    ("SEVERITY", "/severity"),
    ("SINCE", "/since"),
    ("CODE", "/code"),
    ("SUBJECT", "/subject/name"),
    ("WHAT", "/sentence"),
    ("REMEDY", "/remedy"),
];

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let answer =
        options.client()?.get(&["v1", "attention"], &[("limit", "1000".to_owned())]).await?;
    let lines = answer["attention"].as_array().map_or(0, Vec::len);
    if lines == 0 && options.output == Output::Table {
        output::say("milkrun: nothing needs attention");
        return Ok(());
    }
    options.output.list(&answer, "attention", &COLUMNS)?;
    if answer["total"].as_u64().is_some_and(|total| total > lines as u64) {
        output::say(&format!("milkrun: the first {lines} of {}", answer["total"]));
    }
    Ok(())
}
