//! `cursor: last_id`: the next walk starts after an item's id.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CursorKind, Listing, Mark};
use crate::{
    Listed,
    extract::Path,
    http::{carrier::Carriers, rules::Of},
    schema::at_most_one,
};

/// Parameters of `last_id`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = at_most_one(&["query", "header", "body"]))]
#[serde(deny_unknown_fields)]
pub struct LastId {
    /// The query parameter that takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The request header that takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The field of the JSON body that takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Of which item of the walk; by default the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Of>,
    /// Where it is in the item; by default the first path of `id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

impl CursorKind for LastId {
    fn carriers(&self) -> Option<Carriers<'_>> {
        Some([&self.query, &self.header, &self.body])
    }

    fn covers_only_seen(&self, listed: Listed) -> bool {
        listed == Listed::OldestFirst
    }

    fn item(&self, item: &Listing<'_>, mark: &mut Mark) {
        let newest = match item.listed {
            Listed::NewestFirst => Of::First,
            Listed::OldestFirst | Listed::Unordered => Of::Last,
        };
        let wanted = match self.of.unwrap_or(newest) {
            Of::First => mark.pages == 0 && (item.first || mark.value.is_none()),
            Of::Last => true,
        };
        let path = self.path.as_deref().map(Path::new);
        if wanted && let Some(id) = (item.raw_id)(path.as_ref(), item.fields) {
            mark.value = Some(id);
        }
    }
}
