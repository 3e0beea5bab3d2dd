//! Keys: listed, made and revoked. A key is shown once, to whoever makes it.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
    routing::{self, MethodRouter},
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Access, ApiState,
    body::{JsonBody, Nothing, Path},
    list,
    problem::Problem,
    query::Query,
};
use crate::{
    event::{Micros, Name, TopicPattern},
    key::{self, AccessKey, Grant, KeyError, KeyId, KeyText, Scope},
    settings::Rate,
    store::Origin,
};

/// A key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyBody {
    /// Its public part: 1 to 40 of a-z, 0-9 and `-`. Default: at random.
    id: Option<KeyId>,
    /// Whose it is: a person, a team or a program.
    owner: Name,
    /// What it is good for.
    #[schema(min_items = 1)]
    scopes: BTreeSet<Scope>,
    /// In which topics: names and patterns. Default `["*"]`, which is all but those of the relay.
    #[schema(min_items = 1, max_items = 100)]
    topics: Option<Vec<TopicPattern>>,
    /// From when on it is good for nothing, RFC 3339. Default: never.
    #[schema(format = DateTime)]
    expires: Option<String>,
    /// The most requests in a time on each node, as `100/s`. Default: as many as are sent.
    rate: Option<Rate>,
}

/// A key as it may be shown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyView {
    id: String,
    owner: String,
    scopes: BTreeSet<Scope>,
    topics: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<String>,
    /// From when on it is good for nothing; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    /// Whether that time has come.
    expired: bool,
    /// When it was made; absent of one in the configuration file.
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    /// `file` or `api`.
    origin: Origin,
    /// The whole key, only in the answer that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

/// Keys by id.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeyList {
    keys: Vec<KeyView>,
}

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<ApiState>)> {
    vec![
        ("/v1/keys", routing::get(list_keys).post(create)),
        ("/v1/keys/{id}", routing::delete(revoke)),
    ]
}

/// All keys by id, those of the configuration file among them.
#[utoipa::path(get, path = "/v1/keys", tag = "keys",
    params(("limit" = Option<usize>, Query), ("after" = Option<String>, Query, description = "An id")),
    responses((status = 200, body = KeyList)))]
pub(super) async fn list_keys(
    State(api): State<ApiState>,
    query: Query,
) -> Result<Response, Problem> {
    query.allow(&["limit", "after"])?;
    let (page, next) = list::by_name(api.gate.keys(), &query, |key| key.id.as_str())?;
    let now = api.clock.believed();
    let keys = page.iter().map(|key| KeyView::new(key, now)).collect();
    Ok(list::answer("/v1/keys", &query, next.as_deref(), KeyList { keys }))
}

/// Makes a key, which is shown once. The first one has to have the scope `admin`: from then on
/// nobody is let in without a key.
#[utoipa::path(post, path = "/v1/keys", tag = "keys", request_body = KeyBody,
    responses((status = 201, body = KeyView), (status = 409, description = "`exists`"),
        (status = 429, description = "`full`: there are as many keys as may be"),
        (status = 422, description = "`invalid`: `field` says where")))]
pub(super) async fn create(
    State(api): State<ApiState>,
    query: Query,
    JsonBody(body): JsonBody<KeyBody>,
) -> Result<Response, Problem> {
    query.allow(&[])?;
    let now = api.clock.now();
    let expires = body.expires.as_deref().map(|text| expiry(text, now)).transpose()?;
    let known = api.gate.keys();
    let grant = Grant {
        owner: body.owner,
        scopes: body.scopes,
        topics: body.topics.unwrap_or_else(Grant::all_topics),
        rate: body.rate,
    };
    key::check_first(known.iter().map(|key| &**key), &grant, now)
        .map_err(|error| refused(&error))?;
    let (key, text) =
        AccessKey::fresh(body.id, grant, expires, now).map_err(|error| refused(&error))?;
    if known.iter().any(|known| known.id == key.id) {
        let detail = format!("there is a key `{}` already", key.id);
        return Err(Problem::new(StatusCode::CONFLICT, "exists", detail));
    }
    api.store.put_key(&key).await?;
    api.gate.refresh().await?;
    let view = KeyView::new(&key, now).with_text(&text);
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

/// Revokes a key: from the answer on it is good for nothing here, and within seconds on every node.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "keys", params(("id" = String, Path)),
    request_body = Nothing,
    responses((status = 204, description = "It is revoked"), (status = 404, description = "No such key"),
        (status = 409, description = "`read_only`: it stands in the configuration file; `conflict`: the last one with the scope `admin`")))]
pub(super) async fn revoke(
    State(api): State<ApiState>,
    Path(id): Path<KeyId>,
    query: Query,
    _: JsonBody<Nothing>,
) -> Result<StatusCode, Problem> {
    query.allow(&[])?;
    let known = api.gate.keys();
    if known.iter().any(|key| key.id == id && key.created.is_none()) {
        let detail = format!("key `{id}` stands in the configuration file; remove it there");
        return Err(Problem::new(StatusCode::CONFLICT, "read_only", detail));
    }
    let now = api.clock.believed();
    let rest: Vec<&Arc<AccessKey>> = known.iter().filter(|key| key.id != id).collect();
    let may_be_none = api.access != Access::Keyed && rest.is_empty();
    let was_admin = known.iter().any(|key| key.id == id && key.is_good_admin(now));
    if was_admin && !may_be_none && !rest.iter().any(|key| key.is_good_admin(now)) {
        let detail =
            format!("key `{id}` is the last one with the scope `admin`: make another first");
        return Err(Problem::conflict(detail));
    }
    api.store.remove_key(&id).await?;
    api.gate.refresh().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn expiry(text: &str, now: Micros) -> Result<Micros, Problem> {
    let moment = text.parse::<Micros>().ok().filter(|moment| *moment > now);
    moment.ok_or_else(|| {
        let detail = "`expires`: expected a time to come in RFC 3339, as 2027-01-01T00:00:00Z";
        Problem::field("expires", detail)
    })
}

fn refused(error: &KeyError) -> Problem {
    if let KeyError::Grant { field, .. } = error {
        return Problem::field(field, error.to_string());
    }
    tracing::error!(event = "api.key_failed", %error, "no key can be made");
    Problem::internal()
}

impl KeyView {
    /// A key without its text.
    pub(crate) fn new(key: &AccessKey, now: Micros) -> Self {
        Self {
            id: key.id.to_string(),
            owner: key.grant.owner.to_string(),
            scopes: key.grant.scopes.clone(),
            topics: key.grant.topics.iter().map(ToString::to_string).collect(),
            rate: key.grant.rate.map(|rate| rate.to_string()),
            expires: key.expires.map(|expires| expires.to_string()),
            expired: key.has_expired(now),
            created: key.created.map(|created| created.to_string()),
            origin: if key.created.is_some() { Origin::Api } else { Origin::File },
            key: None,
        }
    }

    /// Shows the whole key, to whoever made it.
    pub(crate) fn with_text(self, text: &KeyText) -> Self {
        Self { key: Some(text.reveal().to_owned()), ..self }
    }
}
