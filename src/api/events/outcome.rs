//! How a settled event ended at a subscription, where no attempt tells it: by the settings of now.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    api::{ApiState, attempts::AttemptView},
    event::{Event, Micros, Topic},
    settings::SubscriptionSettings,
    sift::{self, Sift},
    store::{ATTEMPTS_KEPT, DeadReason, LastAnswer, StoreError},
};

/// Where an event stands at one subscription.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StateView {
    pub(super) subscription: String,
    /// The replay job, when it is not live delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) replay: Option<i64>,
    /// `waiting`, `in_flight`, `retry`, `parked`, `stopped`, `dead`, `settled`, or
    /// `before_start`: the subscription began behind it.
    pub(super) state: &'static str,
    /// Of one that is settled: `delivered`, `filtered` or `expired`; or `unknown`, when it was sent
    /// at most once and no answer is known. Absent when neither attempts nor settings tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) due: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attempts: Option<u32>,
    /// Why it is dead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<DeadReason>,
    /// How the last attempt ended: `{status, error}`.
    #[schema(value_type = Option<std::collections::BTreeMap<String, serde_json::Value>>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<LastAnswer>,
}

/// Fills in the outcomes that the attempts at hand do not tell.
///
/// # Errors
/// As the store has them.
pub(super) async fn fill_in(
    api: &ApiState,
    topic: &Topic,
    event: &Event,
    states: &mut [StateView],
    attempts: &[AttemptView],
) -> Result<(), StoreError> {
    let untold = |view: &StateView| {
        let name = Some(view.subscription.as_str());
        view.state == "settled"
            && view.outcome.is_none()
            && !attempts.iter().any(|attempt| attempt.subscription.as_deref() == name)
    };
    if !states.iter().any(untold) {
        return Ok(());
    }
    let all = api.directory.look().await?;
    let now = api.clock.now();
    for view in states.iter_mut().filter(|view| untold(view)) {
        let known = view.subscription.parse().ok().and_then(|name| all.named(&name));
        view.outcome = known.and_then(|known| outcome(&known.settings, event, topic, now));
    }
    Ok(())
}

/// How an event without an attempt ended.
fn outcome(
    settings: &SubscriptionSettings,
    event: &Event,
    topic: &Topic,
    now: Micros,
) -> Option<String> {
    if Sift::new(settings).wants(event, topic) == Ok(false) {
        return Some("filtered".to_owned());
    }
    // Attempts that are too old are forgotten: that there is none tells nothing then.
    if event.recorded < now.minus(ATTEMPTS_KEPT) {
        return None;
    }
    if sift::is_expired(event, now) {
        return Some("expired".to_owned());
    }
    settings.is_at_most_once().then(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::{Data, Epoch, Version};

    #[test]
    fn what_no_attempt_tells_is_told_by_the_settings() {
        let now: Micros = "2026-01-31T12:00:00Z".parse().unwrap();
        let topic: Topic = "orders".parse().unwrap();
        let event = |recorded: &str, more: &str| Event {
            version: Version(1),
            epoch: Epoch(1),
            recorded: recorded.parse().unwrap(),
            attributes: format!(r#"{{"id":"1","source":"/s","type":"t"{more}}}"#).into(),
            data: Data::None,
        };
        let (fresh, old) = ("2026-01-31T11:00:00Z", "2026-01-01T11:00:00Z");
        let past = r#","expirytime":"2026-01-31T11:30:00Z""#;
        let plain = SubscriptionSettings::new("https://example.com".into(), vec![]);
        let filter = Some(json!({ "exact": { "type": "other" } }));
        let picky = SubscriptionSettings { filter, ..plain.clone() };
        let mut once = plain.clone();
        once.retry.max_attempts = Some(1);
        let told = |settings: &SubscriptionSettings, event: &Event| {
            outcome(settings, event, &topic, now).unwrap_or_default()
        };
        assert_eq!(told(&picky, &event(old, "")), "filtered");
        assert_eq!(told(&plain, &event(fresh, past)), "expired");
        assert_eq!(told(&plain, &event(old, past)), "");
        assert_eq!(told(&once, &event(fresh, "")), "unknown");
        assert_eq!(told(&once, &event(old, "")), "");
        assert_eq!(told(&plain, &event(fresh, "")), "");
    }
}
