//! `pages: item_id`: the next page begins after an item of this one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Carried, PageKind, Turning};
use crate::{
    extract::{Fields, Path},
    http::{carrier::Carriers, rules::Of},
    schema::at_most_one,
};

/// Parameters of `item_id`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = at_most_one(&["query", "header", "body"]))]
#[serde(deny_unknown_fields)]
pub struct ItemId {
    /// The query parameter that takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The request header that takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The field of the JSON body that takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Of which item of the page.
    #[serde(default)]
    pub of: Of,
    /// Where it is in the item; by default the first path of `id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

impl PageKind for ItemId {
    fn carriers(&self) -> Option<Carriers<'_>> {
        Some([&self.query, &self.header, &self.body])
    }

    fn next(&self, turning: &Turning<'_>) -> Carried {
        let item = match self.of {
            Of::First => turning.items.first(),
            Of::Last => turning.items.last(),
        };
        let Some(item) = item else { return Carried::End("no_item") };
        let path = self.path.as_deref().map(Path::new);
        let fields = Fields::of(item);
        match (turning.raw_id)(path.as_ref(), &fields) {
            Some(id) => Carried::Value(id, Vec::new()),
            None => Carried::Broken(format!(
                "pages: the {} item has no id to ask the next page by; it has {}",
                match self.of {
                    Of::First => "first",
                    Of::Last => "last",
                },
                fields.names()
            )),
        }
    }
}
