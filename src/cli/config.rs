//! `milkrun config`: the schema of the file, or the file as it was understood.

use std::path::Path;

use super::{Failure, environment, output::print};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// The JSON Schema of the file.
    Schema,
    /// The file with all defaults filled in; secrets stay hidden.
    Show,
}

pub(crate) fn run(action: &Action, file: &Path) -> Result<(), Failure> {
    let text = match action {
        Action::Schema => serde_json::to_string_pretty(&crate::config::schema())
            .map_err(|error| Failure::new(error.to_string()))?,
        Action::Show => crate::config::show(file, environment)?.trim_end().to_owned(),
    };
    Ok(print(&text)?)
}
