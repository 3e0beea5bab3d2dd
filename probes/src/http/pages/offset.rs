//! `pages: offset`: items are counted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Carried, PageKind, Step, Turning};
use crate::http::carrier::Carriers;
use crate::schema::at_most_one;

/// Parameters of `offset`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = at_most_one(&["query", "header", "body"]))]
#[serde(deny_unknown_fields, default)]
pub struct Offset {
    /// The query parameter that takes it; `offset` unless another carrier is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The request header that takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The field of the JSON body that takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The offset of the first item: 0, or 1 where items are counted from one, as `startIndex` of
    /// SCIM.
    #[serde(skip_serializing_if = "is_zero")]
    pub from: u64,
    /// The largest offset that the producer takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
const fn is_zero(from: &u64) -> bool {
    *from == 0
}

impl PageKind for Offset {
    fn carriers(&self) -> Option<Carriers<'_>> {
        Some([&self.query, &self.header, &self.body])
    }

    fn default_query(&self) -> Option<&'static str> {
        Some("offset")
    }

    fn first(&self) -> Option<Step> {
        Some(Step::counted(self.from))
    }

    fn next(&self, turning: &Turning<'_>) -> Carried {
        let items = turning.mark.items + turning.items.len() as u64;
        let offset = self.from.saturating_add(items);
        match self.ceiling {
            Some(ceiling) if offset > ceiling => Carried::End("ceiling"),
            _ => Carried::Value(offset.to_string(), Vec::new()),
        }
    }

    fn counts(&self) -> bool {
        true
    }
}
