//! `keys`: who may use the API, by the hash of each key.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

use super::{error::Problems, forms, names};
use crate::{
    event::TopicPattern,
    key::{AccessKey, Grant, Scope},
    settings::Rate,
};

/// One key. The key itself is not in the file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// Its public part, the one between `mk_` and the next `_`.
    #[schemars(with = "String", regex(pattern = "^[a-z0-9-]{1,40}$"))]
    pub id: Spanned<String>,
    /// The SHA-256 of the whole key, as `milkrun keys create --for-file` prints it.
    #[schemars(with = "String", regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: Spanned<String>,
    /// Whose it is: a person, a team or a program. With the scope `subscribe` its holder sees and
    /// changes the subscriptions of this owner.
    #[schemars(schema_with = "forms::name")]
    pub owner: Spanned<String>,
    /// What it is good for.
    #[schemars(with = "BTreeSet<Scope>", length(min = 1))]
    pub scopes: Spanned<BTreeSet<Scope>>,
    /// In which topics: names, and patterns as `billing.*`; by default all but those of the relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<String>>", length(min = 1, max = 100))]
    pub topics: Option<Vec<Spanned<String>>>,
    /// From when on it is good for nothing (RFC 3339); by default never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub expires: Option<Spanned<String>>,
    /// The most requests in a time on each node, as `100/s`; by default as many as are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", regex(pattern = "^0*([1-9][0-9]{0,5}|1000000)/[smh]$"))]
    pub rate: Option<Spanned<Rate>>,
}

/// The keys in the order of the file.
pub(crate) fn build(keys: &[KeyFile], problems: &mut Problems<'_>) -> Vec<AccessKey> {
    names::unique(keys.iter().map(|key| &key.id), "key", problems);
    keys.iter().filter_map(|key| key.build(problems)).collect()
}

impl KeyFile {
    fn build(&self, problems: &mut Problems<'_>) -> Option<AccessKey> {
        let id = parsed(&self.id, "id", problems);
        let hash = parsed(&self.sha256, "sha256", problems);
        let owner = names::own(&self.owner, "owner", problems);
        let expires = match &self.expires {
            Some(expires) => Some(parsed(expires, "expires", problems)?),
            None => None,
        };
        let topics: Vec<TopicPattern> = match &self.topics {
            Some(topics) => {
                topics.iter().filter_map(|topic| parsed(topic, "topics", problems)).collect()
            }
            None => Grant::all_topics(),
        };
        let grant = Grant {
            owner: owner?,
            scopes: self.scopes.value.clone(),
            topics,
            rate: self.rate.as_ref().map(|rate| rate.value),
        };
        if let Err(error) = grant.check() {
            problems.add(self.scopes.referenced, format!("key `{}`: {error}", self.id.value));
        }
        Some(AccessKey { id: id?, hash: hash?, grant, expires, created: None })
    }
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    text: &Spanned<String>,
    field: &str,
    problems: &mut Problems<'_>,
) -> Option<T> {
    let parsed = text.value.parse();
    parsed.map_err(|error| problems.add(text.referenced, format!("`{field}`: {error}"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyText;

    fn parse(key: &str) -> Result<Vec<AccessKey>, String> {
        let text = format!("keys: [{key}]\n");
        let parsed = crate::config::parse(&text, "m.yaml", |_| None);
        parsed.map(|config| config.keys).map_err(|error| error.to_string())
    }

    #[test]
    fn a_key_stands_in_the_file_by_its_hash() {
        let text: KeyText = format!("mk_a_{}", "0".repeat(64)).parse().unwrap();
        let hash = text.hash();
        let keys = parse(&format!(
            "{{ id: a, sha256: \"{hash}\", owner: billing, scopes: [read, subscribe], \
             topics: [orders, \"billing.*\"], expires: 2027-01-01T00:00:00Z, rate: 100/s }}"
        ));
        let key = &keys.unwrap()[0];
        assert_eq!((key.hash, key.created), (hash, None));
        assert_eq!(key.expires.unwrap().to_string(), "2027-01-01T00:00:00.000000Z");
        assert!(key.grant.has(Scope::Subscribe) && !key.grant.has(Scope::Publish));
        assert!(key.grant.covers(&"billing.eu".parse().unwrap()));
    }

    #[test]
    fn what_is_wrong_with_a_key_is_named() {
        let hash = "0".repeat(64);
        for (key, told) in [
            ("{ id: A, sha256: HASH, owner: o, scopes: [read] }", "no id of a key"),
            ("{ id: a, sha256: abc, owner: o, scopes: [read] }", "`sha256`: expected the SHA-256"),
            ("{ id: a, sha256: HASH, owner: O, scopes: [read] }", "not a name"),
            ("{ id: a, sha256: HASH, owner: o, scopes: [] }", "`scopes`: expected one or more"),
            ("{ id: a, sha256: HASH, owner: o, scopes: [root] }", "root"),
            ("{ id: a, sha256: HASH, owner: o, scopes: [read], topics: [] }", "`topics`"),
            ("{ id: a, sha256: HASH, owner: o, scopes: [read], topics: [A] }", "`topics`"),
            ("{ id: a, sha256: HASH, owner: o, scopes: [admin], topics: [a] }", "every topic"),
            ("{ id: a, sha256: HASH, owner: o, scopes: [read], expires: soon }", "`expires`"),
            (
                "{ id: a, sha256: HASH, owner: o, scopes: [read] }, { id: a, sha256: HASH, owner: o, scopes: [read] }",
                "there is a key `a` already",
            ),
        ] {
            let refused = parse(&key.replace("HASH", &format!("\"{hash}\""))).unwrap_err();
            assert!(refused.contains(told), "{key}: {refused}");
        }
    }
}
