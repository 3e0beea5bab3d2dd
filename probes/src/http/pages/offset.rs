//! `pages: offset`: items are counted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Carried, PageKind, Step, Turning};
use crate::http::carrier::Carriers;

/// Parameters of `offset`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
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
    /// The largest offset that the producer takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<u64>,
}

impl PageKind for Offset {
    fn carriers(&self) -> Option<Carriers<'_>> {
        Some([&self.query, &self.header, &self.body])
    }

    fn default_query(&self) -> Option<&'static str> {
        Some("offset")
    }

    fn first(&self) -> Option<Step> {
        Some(Step::counted(0))
    }

    fn next(&self, turning: &Turning<'_>) -> Carried {
        let offset = turning.mark.items + turning.items.len() as u64;
        match self.ceiling {
            Some(ceiling) if offset > ceiling => Carried::End("ceiling"),
            _ => Carried::Value(offset.to_string(), Vec::new()),
        }
    }

    fn counts(&self) -> bool {
        true
    }
}
