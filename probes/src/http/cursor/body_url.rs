//! `cursor: body_url`: the next walk starts at a URL that the last page gave, as `OData`'s
//! `@odata.deltaLink` (`OData` 4.01, section 11.3) or Microsoft Graph's delta queries.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CursorKind, Learning, Mark, given};
use crate::Listed;

/// Parameters of `body_url`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BodyUrl {
    /// Where it is in the page; a name with dots is written as a JSON pointer,
    /// `/@odata.deltaLink`.
    pub path: String,
    /// Whether path and query of the URL are asked at the source's own scheme and authority.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rebase: bool,
    /// Other origins that the URL may lead to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
}

impl CursorKind for BodyUrl {
    fn is_url(&self) -> bool {
        true
    }

    fn covers_only_seen(&self, listed: Listed) -> bool {
        listed != Listed::NewestFirst
    }

    fn origins(&self) -> &[String] {
        &self.origins
    }

    fn rebase(&self) -> bool {
        self.rebase
    }

    fn place(&self) -> Option<&str> {
        Some(&self.path)
    }

    fn page(&self, learning: &Learning<'_>, mark: &mut Mark) {
        let Some(link) = given(&self.path, learning, mark) else { return };
        match (learning.link)(&link) {
            Ok(url) => mark.value = Some(url),
            Err(problem) => mark.block("foreign_link", format!("cursor: {problem}")),
        }
    }
}
