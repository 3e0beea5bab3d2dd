//! Who asks, and whether that key is good for it.
//!
//! Every route stands in the table of [`needs`]; one that does not is answered to nobody. The key of
//! a request is looked up by its SHA-256 among those of the store and of the configuration file.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    extract::{MatchedPath, RawPathParams, Request, State, rejection::RawPathParamsRejection},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, Method, StatusCode, header};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use self::caller::Caller;
pub(super) use self::check::beyond;
use self::needs::Need;
use super::{Access, ApiState, access, dry_run::NothingChanged, problem::Problem};
use crate::{
    clock::Clock,
    event::Micros,
    key::{AccessKey, KeyHash, KeyId, KeyText, Scope},
    notices::{Action, Notice},
    store::{Store, StoreError},
};

mod caller;
mod check;
pub(super) mod needs;

/// How long a key that another node revoked may be good here while nothing tells of it.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The longest path that is told.
const PATH_CHARS_MAX: usize = 300;
/// What was not used of a key's rate in this time may be used at once.
const BURST_US: i64 = 1_000_000;

/// Keys that only the configuration file changes.
pub type FileKeys = watch::Receiver<Arc<Vec<AccessKey>>>;

/// The keys that are good at present; cheap to clone.
#[derive(Clone)]
pub struct Gate {
    store: Arc<dyn Store>,
    clock: Clock,
    of_file: FileKeys,
    present: Arc<RwLock<ByHash>>,
    /// Of keys with a rate: when the next request is due, by the steady reading.
    next: Arc<Mutex<HashMap<KeyId, Micros>>>,
    /// What is open by a key ends when its token is cancelled.
    ends: Arc<Mutex<HashMap<KeyHash, CancellationToken>>>,
    /// Cancels all of them.
    stop: CancellationToken,
}

type ByHash = HashMap<KeyHash, Arc<AccessKey>>;

impl Gate {
    /// A gate that knows no key before [`Gate::refresh`].
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Clock, of_file: FileKeys) -> Self {
        Self {
            store,
            clock,
            of_file,
            present: Arc::default(),
            next: Arc::default(),
            ends: Arc::default(),
            stop: CancellationToken::new(),
        }
    }

    /// The same gate, whose keys are good for nothing that is open after `stop`.
    pub(super) fn until(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    /// Takes in the keys as they are now.
    ///
    /// # Errors
    /// The store cannot be read; then the keys are those that were known.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let stored = self.store.keys().await?;
        let of_file = self.of_file.borrow().clone();
        let all = of_file.iter().cloned().chain(stored);
        let by_hash: ByHash = all.map(|key| (key.hash, Arc::new(key))).collect();
        self.next.lock().retain(|id, _| by_hash.values().any(|key| key.id == *id));
        let before = std::mem::replace(&mut *self.present.write(), by_hash);
        self.end_what_is_open(&before);
        Ok(())
    }

    /// Ends what is open by keys that are gone, have expired, or are good for something else now.
    fn end_what_is_open(&self, before: &ByHash) {
        let (now, present) = (self.clock.believed(), self.present.read());
        self.ends.lock().retain(|hash, end| {
            let key = present.get(hash).filter(|key| !key.has_expired(now));
            let is_good = key.is_some_and(|key| before.get(hash) == Some(key));
            if !is_good {
                end.cancel();
            }
            is_good
        });
    }

    /// Is cancelled when the key is good for nothing any more, at the latest a few seconds after it
    /// expires.
    pub(super) fn end_of(&self, key: &AccessKey) -> CancellationToken {
        let is_known = self.present.read().contains_key(&key.hash);
        let end =
            self.ends.lock().entry(key.hash).or_insert_with(|| self.stop.child_token()).clone();
        if !is_known {
            end.cancel();
        }
        end
    }

    /// Takes in every change of the keys, until `stop`.
    pub async fn follow(self, stop: CancellationToken) {
        let (mut changes, mut of_file) = (self.store.changes(), self.of_file.clone());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Ok(()) = changes.changed() => {}
                Ok(()) = of_file.changed() => {}
                () = self.clock.pause(LOOK_EVERY) => {}
            }
            if let Err(error) = self.refresh().await {
                tracing::warn!(
                    event = "api.keys_unread", %error,
                    "the keys cannot be read; those that were known are good"
                );
            }
        }
    }

    /// Whether there is any key.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        !self.present.read().is_empty()
    }

    /// All keys by id: those of the file and those of the store.
    pub(super) fn keys(&self) -> Vec<Arc<AccessKey>> {
        let mut all: Vec<_> = self.present.read().values().cloned().collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// Who sent a request with these headers.
    fn caller(&self, access: Access, headers: &HeaderMap) -> Result<Caller, Problem> {
        match bearer(headers)? {
            Some(text) => self.holder(&text),
            None if access == Access::Keyed || self.has_keys() => Ok(Caller::Nobody),
            None => Ok(Caller::Anybody),
        }
    }

    fn holder(&self, text: &KeyText) -> Result<Caller, Problem> {
        self.holder_of(&text.hash())
    }

    /// Who uses pages of the relay's own: the holder of the key of a session, or whoever there is
    /// without one.
    ///
    /// # Errors
    /// The key is good for nothing any more, or is used too often.
    pub(crate) fn visitor(&self, access: Access, key: Option<&KeyHash>) -> Result<Caller, Problem> {
        match key {
            Some(hash) => self.holder_of(hash),
            None => self.caller(access, &HeaderMap::new()),
        }
    }

    /// The key of this text, if it is good.
    ///
    /// # Errors
    /// As [`Gate::visitor`].
    pub(crate) fn hash_of(&self, text: &KeyText) -> Result<KeyHash, Problem> {
        let hash = text.hash();
        self.holder_of(&hash).map(|_| hash)
    }

    fn holder_of(&self, hash: &KeyHash) -> Result<Caller, Problem> {
        let known = self.present.read().get(hash).cloned();
        let key = known.ok_or_else(|| {
            let detail = "the key is none of this relay's, or it was revoked";
            Problem::new(StatusCode::UNAUTHORIZED, "key_unknown", detail)
        })?;
        if key.has_expired(self.clock.believed()) {
            let detail =
                format!("key `{}` has expired; `milkrun keys create` makes another", key.id);
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "key_expired", detail));
        }
        self.spend(&key)?;
        Ok(Caller::Holder(key))
    }

    /// Takes one request from the key's rate: the generic cell rate algorithm (ITU-T I.371).
    fn spend(&self, key: &AccessKey) -> Result<(), Problem> {
        let Some(rate) = key.grant.rate else { return Ok(()) };
        #[expect(clippy::cast_possible_truncation, reason = "an hour in microseconds fits")]
        let each_us = (1_000_000.0 / rate.per_second()) as i64;
        let now = self.clock.steady();
        let mut next = self.next.lock();
        let next = next.entry(key.id.clone()).or_insert(now);
        let due = (*next).max(now);
        let ahead_us = due.0 - now.0 - (BURST_US - each_us).max(0);
        if ahead_us > 0 {
            let seconds = ahead_us.cast_unsigned().div_ceil(1_000_000);
            let detail = format!("key `{}` is good for {rate} requests on each node", key.id);
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail);
            return Err(problem.retry_after(seconds));
        }
        *next = Micros(due.0 + each_us);
        Ok(())
    }
}

/// The key that came with a request: `Authorization: Bearer mk_…` (RFC 6750, section 2.1). What is
/// said to other programs, as `Basic`, is none.
fn bearer(headers: &HeaderMap) -> Result<Option<KeyText>, Problem> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let Some((scheme, text)) = text.split_once(' ') else { return Ok(None) };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Ok(None);
    }
    text.trim().parse().map(Some).map_err(|error: crate::key::KeyError| {
        Problem::new(StatusCode::UNAUTHORIZED, "key_unknown", format!("`Authorization`: {error}"))
    })
}

/// Lets a request in whose key is good for it, and whose type no form has. Runs where a route has the
/// method, so that what does not exist is told as such.
pub(super) async fn admit(
    State(api): State<ApiState>,
    matched: MatchedPath,
    params: Result<RawPathParams, RawPathParamsRejection>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let need = needs::of(request.method(), matched.as_str()).ok_or_else(|| {
        tracing::error!(
            event = "api.route_undeclared",
            route = matched.as_str(),
            "nobody has said who may use this route"
        );
        Problem::internal()
    })?;
    let caller = match need {
        Need::Nothing => Caller::Nobody,
        // Only the relay itself puts one beside a request.
        _ => match request.extensions().get::<Caller>() {
            Some(caller) => caller.clone(),
            None => api.gate.caller(api.access, request.headers())?,
        },
    };
    let params =
        params.map_err(|_| Problem::malformed("in the path: expected percent-encoded UTF-8"))?;
    let param = |name: &str| params.iter().find(|(key, _)| *key == name).map(|(_, value)| value);
    check::check(&api, &caller, need, param).await?;
    access::check_type(request.method(), request.headers())?;
    let change = change(need, &request, &caller);
    request.extensions_mut().insert(caller);
    let answer = next.run(request).await;
    let is_done =
        answer.status().is_success() && answer.extensions().get::<NothingChanged>().is_none();
    if let Some(change) = change.filter(|_| is_done) {
        tracing::info!(
            event = "operator.action",
            key = change.key.as_ref().map(tracing::field::display),
            method = change.method,
            path = change.path,
            "somebody changed something through the API"
        );
        api.notices.tell(Notice::Action(change));
    }
    Ok(answer)
}

/// Whether `caller` may call this route of the API with these segments of the path.
pub(crate) async fn may(
    api: &ApiState,
    caller: &Caller,
    (method, route): (&Method, &str),
    params: &[(&str, &str)],
) -> bool {
    let Some(need) = needs::of(method, route) else { return false };
    let param = |name: &str| params.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    check::check(api, caller, need, param).await.is_ok()
}

/// What is told of a request when it is done; `None`: it changes nothing but events.
fn change(need: Need, request: &Request, caller: &Caller) -> Option<Action> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if reads || matches!(need, Need::Topic(Scope::Publish)) {
        return None;
    }
    let key = match caller {
        Caller::Holder(key) => Some(&**key),
        Caller::Anybody | Caller::Nobody => None,
    };
    Some(Action {
        key: key.map(|key| key.id.clone()),
        owner: key.map(|key| key.grant.owner.clone()),
        method: request.method().to_string(),
        path: request.uri().path().chars().take(PATH_CHARS_MAX).collect(),
    })
}

#[cfg(test)]
mod tests;
