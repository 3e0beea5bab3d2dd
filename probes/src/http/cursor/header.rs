//! `cursor: header`: the next walk starts at a response header of the walk's first page.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CursorKind, Learning, Mark};
use crate::{
    Listed,
    http::{carrier::Carriers, excerpt::lossy},
    schema::at_most_one,
};

/// Parameters of `header`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = at_most_one(&["query", "header", "body"]))]
#[serde(deny_unknown_fields)]
pub struct HeaderCursor {
    /// The response header, such as `ETag`.
    pub name: String,
    /// The query parameter that takes its value as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The request header that takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The field of the JSON body that takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

impl CursorKind for HeaderCursor {
    fn carriers(&self) -> Option<Carriers<'_>> {
        Some([&self.query, &self.header, &self.body])
    }

    fn covers_only_seen(&self, _: Listed) -> bool {
        // The value stands for the list as it was at the first page.
        false
    }

    fn page(&self, learning: &Learning<'_>, mark: &mut Mark) {
        if mark.pages > 0 {
            return;
        }
        mark.value = learning.body.headers.get(&self.name).map(lossy);
        if mark.value.is_none() {
            mark.warn(format!("the answer has no header `{}`: the cursor stays", self.name));
        }
    }
}
