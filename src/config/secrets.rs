//! `secrets`: the master key, under which secrets are kept in the store.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

use super::{
    error::Problems,
    secret::{Env, SecretRef, resolve},
};
use crate::seal::{MasterKey, Seal};

/// The most keys besides the master key.
const OTHER_KEYS_MAX: usize = 16;

/// Under which key what subscriptions are set to, their secrets among it, is kept in the store.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SecretsFile {
    /// Seals what subscriptions are set to: 32 random bytes in base64, as `milkrun secrets new-key`
    /// prints them. Without one it is kept in clear. Whoever loses the key loses those secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<SecretRef>")]
    pub master_key: Option<Spanned<SecretRef>>,
    /// Keys that open what they sealed, and seal nothing: the former ones, and one that is to be next.
    #[schemars(with = "Vec<SecretRef>", length(max = 16))]
    pub other_keys: Vec<Spanned<SecretRef>>,
}

impl SecretsFile {
    pub(super) fn build(&self, env: Env<'_>, problems: &mut Problems<'_>) -> Seal {
        if let Some(one) = self.other_keys.get(OTHER_KEYS_MAX) {
            problems.add(one.referenced, "`secrets.other_keys`: expected at most 16");
        }
        let mut read = |place: &str, reference: &Spanned<SecretRef>| {
            let text = resolve(reference, env, problems);
            let key = text.parse::<MasterKey>();
            if let Err(expected) = &key
                && !text.is_empty()
            {
                problems.add(reference.referenced, format!("`secrets.{place}`: {expected}"));
            }
            key.ok()
        };
        let master = self.master_key.as_ref().and_then(|one| read("master_key", one));
        let others = self.other_keys.iter().filter_map(|one| read("other_keys", one)).collect();
        Seal::new(master, others)
    }
}
