//! `pages: next_url`: the next page's URL is in the body or in a header.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Carried, PageKind, Turning};
use crate::http::body::Token as Found;

/// Parameters of `next_url`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NextUrl {
    /// Where it is; a name with dots is written as a JSON pointer, `/@odata.nextLink`. An object
    /// with `href` is a URL too.
    pub path: String,
    /// Other origins that it may lead to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
    /// Whether path and query of the URL are asked at the source's own scheme and authority.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rebase: bool,
}

impl PageKind for NextUrl {
    fn next(&self, turning: &Turning<'_>) -> Carried {
        match turning.body.token(&self.path) {
            Found::None => Carried::End("no_token"),
            Found::Value(link) if super::token::ends(&link) => {
                Carried::Ended(super::token::ended(&self.path, &link))
            }
            Found::Value(link) => Carried::Link(link),
            Found::Broken(problem) => Carried::Broken(problem),
        }
    }

    fn in_body(&self) -> bool {
        !self.path.starts_with("headers.")
    }

    fn origins(&self) -> &[String] {
        &self.origins
    }

    fn rebase(&self) -> bool {
        self.rebase
    }
}
