//! What subscriptions are set to, as every backend keeps it: JSON, sealed under the master key.

use crate::{
    seal::{Seal, SealError},
    settings::SubscriptionSettings,
    store::StoreError,
};

/// What was found of kept settings, and written as they are to be kept now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Subscriptions whose settings were written anew.
    pub changed: u64,
    /// Those whose settings were as they are to be.
    pub unchanged: u64,
}

/// The text that is kept for the subscription of this name.
pub(super) fn text(
    seal: &Seal,
    name: &str,
    settings: &SubscriptionSettings,
) -> Result<String, StoreError> {
    let text = serde_json::to_string(settings).expect("settings are plain data");
    seal.seal(name, text).map_err(|error| refused(name, &error))
}

/// What a kept text says.
pub(super) fn settings(
    seal: &Seal,
    name: &str,
    kept: &str,
) -> Result<SubscriptionSettings, StoreError> {
    let text = seal.open(name, kept).map_err(|error| refused(name, &error))?;
    serde_json::from_str(&text).map_err(|error| unreadable(format!("column `settings`: {error}")))
}

/// What takes the place of a kept text, when that is not as it would be kept now.
pub(super) fn renewed(seal: &Seal, name: &str, kept: &str) -> Result<Option<String>, StoreError> {
    if seal.is_current(kept) {
        return Ok(None);
    }
    let text = seal.open(name, kept).map_err(|error| refused(name, &error))?;
    seal.seal(name, text.into_owned()).map(Some).map_err(|error| refused(name, &error))
}

fn refused(name: &str, error: &SealError) -> StoreError {
    let problem = format!("the settings of subscription `{name}` are {error}");
    match error {
        SealError::Missing { .. } => StoreError::Refused(problem),
        SealError::NoChance => StoreError::Refused(error.to_string()),
        SealError::Damaged => unreadable(problem),
    }
}

fn unreadable(problem: String) -> StoreError {
    StoreError::Unreadable { table: "subscriptions", problem }
}
