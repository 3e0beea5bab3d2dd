//! `pages: token`: a page gives a token for the next.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Carried, PageKind, Turning};
use crate::http::{body::Token as Found, carrier::Carriers};
use crate::schema::at_most_one;

/// Parameters of `token`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = at_most_one(&["query", "header", "body"]))]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Where it is.
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
    /// Query parameters that take further values of the page, by name: where each is. `MediaWiki`
    /// wants its `continue` back beside the token.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub also: BTreeMap<String, String>,
}

impl PageKind for Token {
    fn carriers(&self) -> Option<Carriers<'_>> {
        Some([&self.query, &self.header, &self.body])
    }

    fn next(&self, turning: &Turning<'_>) -> Carried {
        let token = match turning.body.token(&self.path) {
            Found::None => return Carried::End("no_token"),
            Found::Value(token) if ends(&token) => {
                return Carried::Ended(ended(&self.path, &token));
            }
            Found::Value(token) => token,
            Found::Broken(problem) => return Carried::Broken(problem),
        };
        let mut also = Vec::new();
        for (name, path) in &self.also {
            match turning.body.token(path) {
                Found::None => {}
                Found::Value(value) => also.push((name.clone(), value)),
                Found::Broken(problem) => return Carried::Broken(format!("also: {problem}")),
            }
        }
        Carried::Value(token, also)
    }

    fn in_body(&self) -> bool {
        !self.path.starts_with("headers.")
    }
}

/// Whether a token is one of those that end lists at many producers, and begin them anew when they
/// are sent back.
pub(in crate::http) fn ends(token: &str) -> bool {
    matches!(token, "0" | "-1" | "null" | "None" | "nil" | "undefined")
}

/// What is said of such an end.
pub(super) fn ended(path: &str, token: &str) -> String {
    format!(
        "pages: `{path}` is `{token}`, which was taken for the end of the list: say so with \
         `stop: {{ flag: {{ path: {path}, is: … }} }}`"
    )
}
