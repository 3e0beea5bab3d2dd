//! `pages: link_header`: the next page is where a `Link` header (RFC 8288) leads.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Carried, PageKind, Turning};

/// Parameters of `link_header`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LinkHeader {
    /// The relation of the link.
    pub rel: String,
    /// Other origins that links may lead to, as `https://api2.example.com`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
    /// Whether path and query of a link are asked at the source's own scheme and authority, for
    /// producers behind a proxy that do not know their public address.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rebase: bool,
}

impl Default for LinkHeader {
    fn default() -> Self {
        Self { rel: "next".into(), origins: Vec::new(), rebase: false }
    }
}

impl PageKind for LinkHeader {
    fn next(&self, turning: &Turning<'_>) -> Carried {
        turning.body.link(&self.rel)
    }

    fn origins(&self) -> &[String] {
        &self.origins
    }

    fn rebase(&self) -> bool {
        self.rebase
    }
}
