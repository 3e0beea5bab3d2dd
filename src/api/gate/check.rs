//! Whether a caller's key is good for what a route needs.

use http::StatusCode;

use super::{caller::Caller, needs::Need};
use crate::{
    api::{ApiState, problem::Problem},
    event::{Name, Topic, TopicPattern},
    key::{Grant, Scope},
    store::StoreError,
};

/// Refuses a caller whose key is not good for `need`; `param` gives the segments of the path.
pub(super) async fn check<'a>(
    api: &ApiState,
    caller: &Caller,
    need: Need,
    param: impl Fn(&str) -> Option<&'a str>,
) -> Result<(), Problem> {
    if need == Need::Nothing || caller.is_admin() {
        return Ok(());
    }
    // What is no name is refused by the handler, as everybody is told.
    let name = |param: Option<&str>| param.and_then(|text| text.parse::<Name>().ok());
    match need {
        Need::Nothing => Ok(()),
        Need::Key => caller.grant().ok_or_else(missing).map(drop),
        Need::Some(scope) => has(caller, scope).map(drop),
        Need::Topic(scope) => {
            let topic = name(param("topic"));
            match in_topic(caller, scope, topic.as_ref()) {
                Err(_) if scope == Scope::Read && is_public(api, topic.as_ref()).await? => Ok(()),
                checked => checked,
            }
        }
        Need::Source => {
            has(caller, Scope::Read)?;
            let Some(name) = name(param("name")) else { return Ok(()) };
            let topic = api.store.source(&name).await?.topic;
            in_topic(caller, Scope::Read, Some(&topic))
        }
        Need::Subscription => {
            has(caller, Scope::Subscribe)?;
            let Some(name) = name(param("name")) else { return Ok(()) };
            let subscription = api.store.subscription(&name).await?;
            if caller.owns(&subscription) {
                return Ok(());
            }
            // As if it were not there: whose it is is nobody else's concern.
            Err(StoreError::not_found("subscription", name.as_str()).into())
        }
        Need::Everything => {
            let grant = has(caller, Scope::Read)?;
            if grant.covers_all(&TopicPattern::any()) {
                return Ok(());
            }
            let detail =
                "this answer is of all topics: it needs a key whose `topics` are `[\"*\"]`";
            Err(forbidden(Scope::Read, detail.to_owned()))
        }
        Need::Admin => has(caller, Scope::Admin).map(drop),
    }
}

/// The caller's grant, which has this scope.
fn has(caller: &Caller, scope: Scope) -> Result<&Grant, Problem> {
    let grant = caller.grant().ok_or_else(missing)?;
    if grant.has(scope) {
        return Ok(grant);
    }
    Err(forbidden(scope, format!("this needs a key with the scope `{scope}`")))
}

fn in_topic(caller: &Caller, scope: Scope, topic: Option<&Topic>) -> Result<(), Problem> {
    let grant = has(caller, scope)?;
    match topic {
        Some(topic) if !grant.covers(topic) => Err(beyond(scope, topic.as_str())),
        _ => Ok(()),
    }
}

/// The refusal of a topic, or of a pattern, that is not among those of the key.
pub(in crate::api) fn beyond(scope: Scope, topic: &str) -> Problem {
    forbidden(scope, format!("the key is not good in topic `{topic}`"))
}

async fn is_public(api: &ApiState, topic: Option<&Topic>) -> Result<bool, Problem> {
    let Some(topic) = topic else { return Ok(false) };
    match api.store.topic(topic).await {
        Ok(state) => Ok(state.settings.public),
        Err(StoreError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn missing() -> Problem {
    let detail =
        "this needs a key: send `Authorization: Bearer mk_…`; `milkrun keys create` makes one";
    Problem::new(StatusCode::UNAUTHORIZED, "key_missing", detail)
}

fn forbidden(scope: Scope, detail: String) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "forbidden", detail).with("scope", scope.to_string())
}
