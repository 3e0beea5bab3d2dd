//! `cursor: link_url`: the next walk starts at the link that the last page gave.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CursorKind, Learning, Mark, Step};
use crate::{
    Listed,
    http::{body::Body, walk::Carried},
};

/// Parameters of `link_url`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LinkUrl {
    /// The relation of the link.
    pub rel: String,
}

impl Default for LinkUrl {
    fn default() -> Self {
        Self { rel: "next".into() }
    }
}

impl CursorKind for LinkUrl {
    fn is_url(&self) -> bool {
        true
    }

    fn covers_only_seen(&self, listed: Listed) -> bool {
        listed != Listed::NewestFirst
    }

    fn page(&self, learning: &Learning<'_>, mark: &mut Mark) {
        // A last page without a link is asked again: what comes after it will have one.
        mark.value = match learning.step {
            Some(Step::Url(next)) => Some(next.clone()),
            _ => (learning.link)(&learning.url.to_string()).ok(),
        };
    }

    fn next(&self, body: &Body<'_>) -> Carried {
        body.link(&self.rel)
    }
}
