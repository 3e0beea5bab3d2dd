//! `metrics`: how much is shown, and where besides the API.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

use super::{error::Problems, listen::address};
use crate::telemetry::PerSubscription;

/// How much `/metrics` shows, and where besides the API.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsFile {
    /// Which subscriptions have metrics of their own.
    pub per_subscription: PerSubscription,
    /// Where `/metrics` is also served, in clear and without a key: `ADDRESS:PORT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", regex(pattern = r"^([0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]+$"))]
    pub listen: Option<Spanned<String>>,
}

/// How much is shown, and where besides the API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MetricsShown {
    /// Which subscriptions have metrics of their own.
    pub per_subscription: PerSubscription,
    /// Where they are served besides the API.
    pub listen: Option<SocketAddr>,
}

impl MetricsFile {
    pub(super) fn build(&self, problems: &mut Problems<'_>) -> MetricsShown {
        let listen = self.listen.as_ref();
        MetricsShown {
            per_subscription: self.per_subscription,
            listen: listen.and_then(|listen| address("metrics.listen", listen, problems)),
        }
    }
}
