//! `cursor: body_token`: the next walk starts at a token of the last page.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CursorKind, Learning, Mark, given};
use crate::{Listed, http::carrier::Carriers, schema::at_most_one};

/// Parameters of `body_token`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = at_most_one(&["query", "header", "body"]))]
#[serde(deny_unknown_fields)]
pub struct BodyToken {
    /// Where it is in the page.
    pub path: String,
    /// The query parameter that takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The request header that takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The field of the JSON body that takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

impl CursorKind for BodyToken {
    fn carriers(&self) -> Option<Carriers<'_>> {
        Some([&self.query, &self.header, &self.body])
    }

    fn covers_only_seen(&self, listed: Listed) -> bool {
        listed != Listed::NewestFirst
    }

    fn place(&self) -> Option<&str> {
        Some(&self.path)
    }

    fn page(&self, learning: &Learning<'_>, mark: &mut Mark) {
        if let Some(token) = given(&self.path, learning, mark) {
            mark.value = Some(token);
        }
    }
}
