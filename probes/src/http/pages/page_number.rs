//! `pages: page_number`: pages are counted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Carried, PageKind, Step, Turning};
use crate::http::carrier::Carriers;
use crate::schema::at_most_one;

/// Parameters of `page_number`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = at_most_one(&["query", "header", "body"]))]
#[serde(deny_unknown_fields, default)]
pub struct PageNumber {
    /// The query parameter that takes it; `page` unless another carrier is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The request header that takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The field of the JSON body that takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The number of the first page.
    pub from: u64,
}

impl Default for PageNumber {
    fn default() -> Self {
        Self { query: None, header: None, body: None, from: 1 }
    }
}

impl PageKind for PageNumber {
    fn carriers(&self) -> Option<Carriers<'_>> {
        Some([&self.query, &self.header, &self.body])
    }

    fn default_query(&self) -> Option<&'static str> {
        Some("page")
    }

    fn first(&self) -> Option<Step> {
        Some(Step::counted(self.from))
    }

    fn next(&self, turning: &Turning<'_>) -> Carried {
        let page = self.from + u64::from(turning.mark.pages) + 1;
        Carried::Value(page.to_string(), Vec::new())
    }

    fn counts(&self) -> bool {
        true
    }
}
