//! `store` and `cluster`: where everything is kept, and what this node is to the others there.

use std::{fmt, path::Path};

use probes::period::Period;
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_saphyr::{Location, Spanned};

use super::{
    Cluster,
    error::Problems,
    secret::{Env, Value, resolve_value},
    table::unplaced,
};
use crate::store::{Address, Durability};

/// What addresses of databases begin with.
const DATABASES: [&str; 2] = ["postgres://", "postgresql://"];
const EXPECTED: &str = "expected `sqlite:` and the path of a file, as sqlite:data/milkrun.db, or the \
    URL of a database, as postgres://milkrun@db.example/milkrun";

/// Where everything is kept: the address alone, or with what must be true of it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum StoreFile {
    /// The address: `sqlite:PATH`, relative to where the configuration is, or `postgres://USER@HOST,HOST:PORT/DATABASE`.
    Plain(
        #[schemars(regex(pattern = "^(sqlite:/*[^/~]|postgres(ql)?://)"))]
        String,
    ),
    /// With what must be true of it.
    Settings(StoreSettings),
}

/// An address, and what must be true of what is kept there.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreSettings {
    /// As the plain form; with a password it is best a reference, `{ env: NAME }` or `{ file: PATH }`.
    #[schemars(with = "Value")]
    pub url: Spanned<Value>,
    /// What must be true of an event that was acknowledged. `replicated` refuses a database whose
    /// commits do not wait for a second machine.
    #[serde(default)]
    pub durability: Durability,
}

impl<'de> Deserialize<'de> for StoreFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = StoreFile;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address, or { url, durability }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<StoreFile, E> {
                Ok(StoreFile::Plain(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<StoreFile, A::Error> {
                StoreSettings::deserialize(MapAccessDeserializer::new(map)).map(StoreFile::Settings)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl StoreFile {
    /// The address, and what must be true of what is kept there.
    pub(super) fn build(
        &self,
        at: Location,
        env: Env<'_>,
        problems: &mut Problems<'_>,
    ) -> Option<(Address, Durability)> {
        let (url, at, durability) = match self {
            Self::Plain(url) => (url.clone(), at, Durability::default()),
            Self::Settings(settings) => {
                let (url, _) = resolve_value(&settings.url, env, problems);
                (url, settings.url.referenced, settings.durability)
            }
        };
        let path = url.strip_prefix("sqlite:").map(|path| path.trim_start_matches('/'));
        let database = DATABASES.iter().find_map(|scheme| url.strip_prefix(scheme));
        let problem = if path.is_some_and(|path| path.starts_with('~')) {
            "`~` is not expanded here; write the whole path, as sqlite:/home/me/milkrun.db"
        } else if path.is_some() && durability == Durability::Replicated {
            "a file is on one machine: `durability: replicated` wants a database"
        } else if path.or(database).is_some_and(|rest| !rest.is_empty()) {
            return match rooted(Address::new(url), env.folder) {
                Ok(address) => Some((address, durability)),
                Err(problem) => {
                    problems.add(at, problem);
                    None
                }
            };
        } else if url.is_empty() && matches!(self, Self::Settings(_)) {
            // Why a reference leads nowhere is told already.
            return None;
        } else {
            EXPECTED
        };
        problems.add(at, format!("`store`: {problem}"));
        None
    }
}

/// The address with the path of its file from the folder of the configuration on.
///
/// Earlier releases began at the working directory. Where one has left a store, a new one would begin in
/// another place and everything be pushed again: that is refused.
fn rooted(address: Address, folder: &Path) -> Result<Address, String> {
    let Some(former) = address.path().filter(|path| path.is_relative()) else {
        return Ok(address);
    };
    let path = folder.join(former);
    let is_same = std::path::absolute(&path).ok() == std::path::absolute(former).ok();
    if !is_same && former.is_file() && !path.exists() {
        let whole = std::path::absolute(former).unwrap_or_else(|_| former.to_owned());
        return Err(format!(
            "`store`: a relative path begins where the configuration is, so this is `{}`, where there is \
             no store; there is one at `{}`, where earlier releases looked: write \
             sqlite:{}, or move it with everything beside it",
            path.display(),
            former.display(),
            whole.display()
        ));
    }
    Ok(Address::new(format!("sqlite:{}", path.display())))
}

/// What this node is to the others on the same database.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterFile {
    /// What this node is called; no other process on the database may have the name. By default the
    /// machine's name and the port of `listen`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(min = 1, max = 100))]
    pub node: Option<Spanned<String>>,
    /// How long a node holds its work after it last said that it lives; the same on every node.
    #[schemars(with = "Period")]
    pub term: Spanned<Period>,
}

impl Default for ClusterFile {
    fn default() -> Self {
        let Cluster { term, .. } = Cluster::default();
        Self { node: None, term: unplaced(Period(term)) }
    }
}

impl ClusterFile {
    pub(super) fn build(&self, problems: &mut Problems<'_>) -> Cluster {
        let term = self.term.value.0;
        if !(Cluster::TERM_MIN..=Cluster::TERM_MAX).contains(&term) {
            problems.add(self.term.referenced, "`cluster.term`: expected 2s to 5m");
        }
        let node = self.node.as_ref().map(|node| {
            let is_name = (1..=100).contains(&node.value.len())
                && !node.value.chars().any(|c| c.is_control() || c.is_whitespace());
            if !is_name {
                let message = "`cluster.node`: expected 1 to 100 characters without blanks";
                problems.add(node.referenced, message);
            }
            node.value.clone()
        });
        Cluster { node, term }
    }
}
