//! A subscription as it is shown: never its secrets, nor the values of its headers.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use probes::period::Period;
use serde::Serialize;
use serde_json::Value;
use sinks::sign::Secret;
use utoipa::ToSchema;

use super::moves::MoveView;
use crate::{
    api::{
        ApiState,
        attempts::{self, AttemptView},
        problem::Problem,
    },
    event::Topic,
    health::{Health, HealthView},
    settings::{
        Auth, Format, OnDead, Order, Rate, SubscriptionSettings, forms::PeriodText, written,
    },
    store::{
        AttemptQuery, Origin, PositionSummary, Share, StoreError, Subscription, SubscriptionStatus,
        TopicState,
    },
    telemetry::Metrics,
};

/// How many of the last answers are shown.
const LAST_ANSWERS: usize = 10;

/// A subscription as it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SubscriptionView {
    pub(crate) name: String,
    /// `file` or `api`: only those of the API can be changed here.
    pub(crate) origin: Origin,
    /// Whose it is; null: only admins see and change it.
    pub(crate) owner: Option<String>,
    /// `active`, `paused`, `disabled` or `removed`.
    pub(crate) status: SubscriptionStatus,
    /// Why it is disabled.
    pub(crate) reason: Option<String>,
    pub(crate) topics: Vec<String>,
    pub(crate) positions: Vec<PositionView>,
    /// Events that it still has to get, over all topics.
    pub(crate) owed: u64,
    /// The same as `owed`, by its former name.
    pub(crate) lag: u64,
    /// How long the oldest event that could be sent now has waited; 0 when there is none.
    pub(crate) oldest_seconds: u64,
    /// Dead letters that are kept, over all topics.
    pub(crate) dead_letters: u64,
    /// Events that its filter passed over, or whose time had passed, since the node that answers
    /// began to serve it; null when another node serves it, or `metrics.per_subscription` is not `all`.
    pub(crate) filtered: Option<u64>,
    /// Whether a position has as many exceptions as it may, and so waits for them.
    pub(crate) exceptions_full: bool,
    /// Keys that stand still, over all topics.
    pub(crate) stopped_keys: u64,
    /// How the endpoint is doing: `open`, `holding` or `reopening`; null while nothing is known.
    pub(crate) health: Option<HealthView>,
    pub(crate) webhook: WebhookView,
    /// Which events are sent; null: all.
    pub(crate) filter: Option<Value>,
    /// What is sent in the place of the event; null: the event.
    pub(crate) transform: Option<Value>,
    pub(crate) format: Format,
    /// Null: one event in a request.
    pub(crate) batch: Option<written::Batch>,
    pub(crate) gzip: bool,
    pub(crate) order: Order,
    pub(crate) on_dead: OnDead,
    pub(crate) read_ahead: usize,
    #[schema(value_type = PeriodText)]
    pub(crate) priority_max_wait: Period,
    /// The most events started in a time; null: as fast as they are taken.
    pub(crate) rate: Option<Rate>,
    pub(crate) concurrency: usize,
    pub(crate) retry: written::Retry,
    pub(crate) hold: written::Hold,
    pub(crate) max_exceptions: usize,
    pub(crate) created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) removed_at: Option<String>,
    /// The secret that was made, shown once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<String>,
    /// The last attempts, newest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_answers: Option<Vec<AttemptView>>,
    /// That nothing was done, because `dry_run=true` was asked for.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) dry_run: bool,
    /// What would have been done then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) moves: Option<Vec<MoveView>>,
}

/// Where a subscription stands in a topic.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PositionView {
    pub(crate) topic: String,
    /// Every version up to it has been looked at.
    pub(crate) reach: u64,
    /// Every version up to it is settled.
    pub(crate) floor: u64,
    /// The reach as a cursor; null when the topic is gone.
    pub(crate) cursor: Option<String>,
    /// Events that it still has to get: those above the reach, of which a filter may pass over
    /// some, and those below it that are in flight, tried again or parked.
    pub(crate) owed: u64,
    /// The same as `owed`, by its former name.
    pub(crate) lag: u64,
    /// Versions below the reach that are not settled.
    pub(crate) exceptions: u64,
    /// Whether these are as many as may be: nothing new is tried before some are settled.
    pub(crate) exceptions_full: bool,
    /// Keys that stand still until somebody redrives or deletes their dead letter.
    pub(crate) stopped_keys: u64,
    pub(crate) dead_letters: u64,
    /// Deliveries that succeeded, ever.
    pub(crate) delivered: u64,
}

/// Where a subscription is pushed to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookView {
    pub(crate) url: String,
    /// How many secrets sign.
    pub(crate) secrets: usize,
    /// What verifies the signatures of private keys, as `whpk_…`, newest first, those that
    /// retire last.
    pub(crate) public_keys: Vec<String>,
    /// Until when each secret that was replaced still signs.
    pub(crate) retiring: Vec<String>,
    /// Names of the extra headers, with their values hidden.
    pub(crate) headers: BTreeMap<String, &'static str>,
    #[schema(value_type = PeriodText)]
    pub(crate) timeout: Period,
    /// `bearer`, `basic` or `oauth2`; null: none.
    pub(crate) auth: Option<&'static str>,
    /// Which certificates are its own.
    pub(crate) tls: TlsView,
    pub(crate) handshake: bool,
    pub(crate) title_case_headers: bool,
    /// Null: `milkrun/VERSION`.
    pub(crate) user_agent: Option<String>,
    /// Null: the one of the format.
    pub(crate) content_type: Option<String>,
}

/// Which certificates a subscription has.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TlsView {
    pub(crate) certificate: bool,
    pub(crate) key: bool,
    pub(crate) ca: bool,
}

/// All subscriptions, by name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SubscriptionList {
    pub(crate) subscriptions: Vec<SubscriptionView>,
}

/// What subscriptions are seen against.
pub(super) struct Heads {
    /// The topics by name, for lags and cursors.
    topics: HashMap<Topic, Arc<TopicState>>,
    /// How long each subscription's oldest event that is due has waited, by row number.
    oldest: HashMap<i64, Duration>,
    metrics: Arc<Metrics>,
}

/// The topics as they stand, and how long the subscriptions of `share` have waited.
pub(super) async fn heads(api: &ApiState, share: &Share) -> Result<Heads, StoreError> {
    let now = api.clock.now();
    let topics = api.store.topics().await?;
    let standings = api.store.standings(share).await?;
    Ok(Heads {
        topics: topics.into_iter().map(|state| (state.topic.clone(), state)).collect(),
        oldest: standings.iter().map(|standing| (standing.id, standing.waited(now))).collect(),
        metrics: api.metrics.clone(),
    })
}

/// What one subscription is seen against.
pub(super) async fn heads_of(
    api: &ApiState,
    subscription: &Subscription,
) -> Result<Heads, StoreError> {
    heads(api, &Share::These([subscription.id].into())).await
}

impl SubscriptionView {
    /// A subscription without its last answers.
    pub(super) fn new(subscription: Subscription, heads: &Heads) -> Self {
        let settings = &subscription.settings;
        let positions: Vec<PositionView> = subscription
            .live()
            .map(|position| view(position, settings.max_exceptions, heads))
            .collect();
        let health = subscription.health.as_deref();
        let health = health.map(|text| Health::read(Some(text)).view());
        Self {
            name: subscription.name.to_string(),
            origin: subscription.origin,
            owner: settings.owner.as_ref().map(ToString::to_string),
            status: subscription.status,
            reason: subscription.reason,
            topics: subscription.topics.iter().map(ToString::to_string).collect(),
            owed: owed(&positions),
            lag: owed(&positions),
            exceptions_full: positions.iter().any(|position| position.exceptions_full),
            stopped_keys: positions.iter().map(|position| position.stopped_keys).sum(),
            oldest_seconds: heads.oldest.get(&subscription.id).map_or(0, Duration::as_secs),
            dead_letters: positions.iter().map(|position| position.dead_letters).sum(),
            filtered: heads.metrics.filtered_by(subscription.name.as_str()),
            positions,
            health,
            webhook: WebhookView::new(settings),
            filter: settings.filter.clone(),
            transform: settings.transform.clone(),
            format: settings.format,
            batch: settings.batch.map(Into::into),
            gzip: settings.gzip,
            order: settings.order,
            on_dead: settings.on_dead,
            read_ahead: settings.priority.read_ahead,
            priority_max_wait: Period(settings.priority.max_wait),
            rate: settings.rate,
            concurrency: settings.concurrency,
            retry: written::Retry::from(&settings.retry),
            hold: settings.hold.clone().into(),
            max_exceptions: settings.max_exceptions,
            created: subscription.created.to_string(),
            removed_at: subscription.removed_at.map(|at| at.to_string()),
            secret: None,
            last_answers: None,
            dry_run: false,
            moves: None,
        }
    }

    /// Shows what would be done.
    pub(super) fn with_moves(self, moves: Vec<MoveView>) -> Self {
        Self { dry_run: true, moves: Some(moves), ..self }
    }

    /// Shows the secret that was made.
    pub(super) fn with_secret(self, secret: Option<String>) -> Self {
        Self { secret, ..self }
    }
}

impl WebhookView {
    fn new(settings: &SubscriptionSettings) -> Self {
        let tls = &settings.tls;
        Self {
            url: settings.url_shown().to_owned(),
            secrets: settings.secrets.len(),
            public_keys: settings
                .secrets
                .iter()
                .chain(settings.retiring.iter().map(|retiring| &retiring.secret))
                .filter_map(|secret| secret.parse::<Secret>().ok()?.public())
                .collect(),
            retiring: settings.retiring.iter().map(|one| one.until.to_string()).collect(),
            headers: settings.headers.iter().map(|(name, _)| (name.clone(), "***")).collect(),
            timeout: Period(settings.timeout),
            auth: settings.auth.as_ref().map(|auth| match auth {
                Auth::Bearer(_) => "bearer",
                Auth::Basic { .. } => "basic",
                Auth::OAuth2 { .. } => "oauth2",
            }),
            tls: TlsView {
                certificate: tls.certificate.is_some(),
                key: tls.key.is_some(),
                ca: tls.ca.is_some(),
            },
            handshake: settings.handshake,
            title_case_headers: settings.title_case_headers,
            user_agent: settings.user_agent.clone(),
            content_type: settings.content_type.clone(),
        }
    }
}

/// One subscription with its last answers.
pub(super) async fn whole(
    api: &ApiState,
    subscription: Subscription,
) -> Result<SubscriptionView, Problem> {
    let wanted = AttemptQuery {
        subscription: Some(subscription.id),
        limit: LAST_ANSWERS,
        ..AttemptQuery::default()
    };
    // What was done is shown without them as well: a rotated secret is shown only once.
    let answers = attempts::find(api, wanted, Some(&subscription.name)).await;
    let heads = heads_of(api, &subscription).await?;
    let view = SubscriptionView::new(subscription, &heads);
    Ok(SubscriptionView { last_answers: answers.ok().map(|found| found.attempts), ..view })
}

fn owed(positions: &[PositionView]) -> u64 {
    positions.iter().map(|position| position.owed).sum()
}

fn view(position: &PositionSummary, max_exceptions: usize, heads: &Heads) -> PositionView {
    let state = heads.topics.get(&position.topic);
    let owed = position.owed(state.map(|state| &**state));
    PositionView {
        topic: position.topic.to_string(),
        reach: position.reach.0,
        floor: position.floor.0,
        cursor: state.map(|state| state.cursor(position.reach).to_string()),
        owed,
        lag: owed,
        exceptions: position.exceptions,
        exceptions_full: position.exceptions >= max_exceptions as u64,
        stopped_keys: position.stopped_keys,
        dead_letters: position.dead_letters,
        delivered: position.delivered,
    }
}
