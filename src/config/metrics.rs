//! `metrics`: how much is shown, and where besides the API.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

use super::{error::Problems, listen};
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
    pub(super) fn build(
        &self,
        api: Option<SocketAddr>,
        problems: &mut Problems<'_>,
    ) -> MetricsShown {
        let given = self.listen.as_ref();
        let listen = given.and_then(|given| listen::address("metrics.listen", given, problems));
        if let (Some(given), Some(own), Some(api)) = (given, listen, api)
            && listen::clash(own, api)
        {
            let message = format!(
                "`metrics.listen: {own}`: the API listens at {api}: expected another port, or none, \
                 for the API has /metrics too"
            );
            problems.add(given.referenced, message);
        }
        MetricsShown { per_subscription: self.per_subscription, listen }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_second_listener_needs_a_port_of_its_own() {
        let problem = |yaml: &str| {
            crate::config::parse(yaml, "m.yaml", |_| None).map_err(|error| error.to_string())
        };
        let same = "listen: 127.0.0.1:8080\nmetrics: { listen: \"127.0.0.1:8080\" }\n";
        let told = problem(same).unwrap_err();
        assert!(told.contains("`metrics.listen: 127.0.0.1:8080`"), "{told}");
        assert!(problem(&same.replace("8080\" }", "9090\" }")).is_ok());
    }
}
