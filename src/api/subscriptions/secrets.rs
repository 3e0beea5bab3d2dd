//! Rotating signing secrets: the new one signs at once, the old ones for a while yet.

use std::time::Duration;

use axum::{Json, extract::State};
use probes::period::Period;
use serde::Deserialize;
use sinks::sign::Secret;
use utoipa::ToSchema;

use super::{
    owned, request, update,
    view::{self, SubscriptionView},
    webhook::{SecretKind, new_secret},
};
use crate::{
    api::{
        ApiState,
        body::{JsonBody, Path},
        problem::Problem,
        query::Query,
    },
    event::{Micros, Name},
    settings::{Retiring, SubscriptionSettings, days, forms::PeriodText},
};

const OVERLAP: Period = Period(Duration::from_hours(24));
const OVERLAP_MAX: Period = Period(days(30));

/// A new signing secret.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateBody {
    /// The new secret, `whsec_` or `whsk_` and base64; one of the newest one's kind is made when
    /// none is given.
    secret: Option<String>,
    /// How long the old secrets go on signing, at most `30d`; `0s` drops them at once. Default
    /// `24h`.
    #[schema(value_type = Option<PeriodText>)]
    overlap: Option<Period>,
}

/// Puts a new signing secret in the place of all others, which sign for a while yet. The new one
/// is shown once.
#[utoipa::path(post, path = "/v1/subscriptions/{name}/secrets/rotate", tag = "subscriptions",
    params(("name" = String, Path)), request_body = RotateBody,
    responses((status = 200, body = SubscriptionView),
        (status = 409, description = "`read_only`: it is set in the configuration file")))]
pub(crate) async fn rotate(
    State(api): State<ApiState>,
    Path(name): Path<Name>,
    query: Query,
    JsonBody(body): JsonBody<RotateBody>,
) -> Result<Json<SubscriptionView>, Problem> {
    query.allow(&[])?;
    let overlap = body.overlap.unwrap_or(OVERLAP);
    if overlap > OVERLAP_MAX {
        let detail = format!("`overlap`: expected at most `{OVERLAP_MAX}`");
        return Err(Problem::field("overlap", detail));
    }
    let settings = owned(&api, &name).await?.settings;
    let secret = match body.secret {
        Some(secret) => given(secret)?,
        None if settings
            .secrets
            .first()
            .is_some_and(|newest| newest.starts_with(Secret::PRIVATE_PREFIX)) =>
        {
            new_secret(SecretKind::Ed25519)?
        }
        None => new_secret(SecretKind::Shared)?,
    };
    let now = api.clock.now();
    let (until, believed) = (now.plus(overlap.0), api.clock.believed());
    let changed = update(&api, &name, |settings| {
        retire(settings, &secret, until, believed);
        request::check(settings, &api.outgoing.vet_url)
    });
    let changed = changed.await?;
    Ok(Json(view::whole(&api, changed).await?.with_secret(Some(secret))))
}

/// Puts `secret` in the place of all others, which sign until `until`.
fn retire(settings: &mut SubscriptionSettings, secret: &str, until: Micros, now: Micros) {
    let replaced = settings.secrets.drain(..).map(|secret| Retiring { secret, until });
    let mut retiring: Vec<Retiring> = replaced.collect();
    // Those that retire already do not outlive the ones that followed them.
    retiring.extend(
        settings.retiring.drain(..).map(|old| Retiring { until: old.until.min(until), ..old }),
    );
    retiring.retain(|old| old.until > now && old.secret != secret);
    settings.secrets = vec![secret.to_owned()];
    settings.retiring = retiring;
}

fn given(secret: String) -> Result<String, Problem> {
    match secret.parse::<Secret>() {
        Ok(_) => Ok(secret),
        Err(error) => Err(Problem::field("secret", format!("`secret`: {error}"))),
    }
}
