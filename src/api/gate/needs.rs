//! Every route: what it is called, and what it asks of a key. `docs/access.md` shows the same table to
//! people.

use http::Method;

use crate::key::Scope;

/// What a key must be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum Need {
    /// No key.
    Nothing,
    /// Any key; the answer has only what it is good for.
    Key,
    /// This scope; the answer has only what the key is good for.
    Some(Scope),
    /// This scope in the topic `{topic}`; reading a public one needs no key.
    Topic(Scope),
    /// The scope `read` in the topic of the source `{name}`.
    Source,
    /// The scope `subscribe`, for the subscription `{name}` of the key's owner.
    Subscription,
    /// The scope `read` in every topic: the answer is of all of them together.
    Everything,
    /// The scope `admin`.
    Admin,
}

use Need::{Admin, Everything, Key, Nothing, Some as Any, Source, Subscription, Topic};
use Scope::{Publish, Read, Subscribe};

const GET: Method = Method::GET;
const PUT: Method = Method::PUT;
const POST: Method = Method::POST;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

/// Every route of the API with its `operationId`, by which generated clients name their calls: it never
/// changes.
#[rustfmt::skip]
pub(in crate::api) const NEEDS: [(Method, &str, &str, Need); 55] = [
    (GET, "/healthz", "get_health", Nothing),
    (GET, "/readyz", "get_readiness", Nothing),
    (GET, "/metrics", "get_metrics", Everything),
    (GET, "/v1/attention", "get_attention", Any(Read)),
    (GET, "/v1/cluster", "get_cluster", Everything),
    (GET, "/v1/find", "find", Any(Read)),
    (GET, "/v1/series", "get_series", Key),
    (POST, "/v1/trials", "try_filter", Any(Read)),
    (POST, "/v1/reload", "reload_file", Admin),
    (GET, "/v1/keys", "list_keys", Admin),
    (POST, "/v1/keys", "create_key", Admin),
    (DELETE, "/v1/keys/{id}", "revoke_key", Admin),
    (GET, "/v1/topics", "list_topics", Any(Read)),
    (GET, "/v1/topics/{topic}", "get_topic", Topic(Read)),
    (PUT, "/v1/topics/{topic}", "put_topic", Admin),
    (DELETE, "/v1/topics/{topic}", "delete_topic", Admin),
    (POST, "/v1/topics/{topic}/new-epoch", "begin_epoch", Admin),
    (GET, "/v1/topics/{topic}/gaps", "list_gaps", Topic(Read)),
    (GET, "/v1/topics/{topic}/events", "read_events", Topic(Read)),
    (POST, "/v1/topics/{topic}/events", "publish_events", Topic(Publish)),
    (GET, "/v1/topics/{topic}/events/{version}", "get_event", Topic(Read)),
    (GET, "/v1/topics/{topic}/events/{version}/trace", "trace_event", Topic(Read)),
    (GET, "/v1/topics/{topic}/pending", "list_pending", Topic(Publish)),
    (GET, "/v1/topics/{topic}/pending/{id}", "get_pending", Topic(Publish)),
    (PATCH, "/v1/topics/{topic}/pending/{id}", "change_pending", Topic(Publish)),
    (DELETE, "/v1/topics/{topic}/pending/{id}", "cancel_pending", Topic(Publish)),
    (POST, "/v1/topics/{topic}/pending/{id}/commit", "commit_pending", Topic(Publish)),
    (GET, "/v1/sources", "list_sources", Any(Read)),
    (GET, "/v1/sources/{name}", "get_source", Source),
    (GET, "/v1/sources/{name}/rejected", "list_rejected", Source),
    (POST, "/v1/sources/{name}/poll", "poll_source", Admin),
    (POST, "/v1/sources/{name}/pause", "pause_source", Admin),
    (POST, "/v1/sources/{name}/resume", "resume_source", Admin),
    (POST, "/v1/sources/{name}/cursor", "set_source_cursor", Admin),
    (GET, "/v1/subscriptions", "list_subscriptions", Any(Subscribe)),
    (POST, "/v1/subscriptions", "create_subscription", Any(Subscribe)),
    (GET, "/v1/subscriptions/{name}", "get_subscription", Subscription),
    (PATCH, "/v1/subscriptions/{name}", "change_subscription", Subscription),
    (DELETE, "/v1/subscriptions/{name}", "delete_subscription", Subscription),
    (POST, "/v1/subscriptions/{name}/pause", "pause_subscription", Subscription),
    (POST, "/v1/subscriptions/{name}/resume", "resume_subscription", Subscription),
    (POST, "/v1/subscriptions/{name}/rewind", "rewind_subscription", Subscription),
    (POST, "/v1/subscriptions/{name}/test", "test_subscription", Subscription),
    (GET, "/v1/subscriptions/{name}/waiting", "list_waiting", Subscription),
    (POST, "/v1/subscriptions/{name}/secrets/rotate", "rotate_secret", Subscription),
    (GET, "/v1/subscriptions/{name}/replays", "list_replays", Subscription),
    (POST, "/v1/subscriptions/{name}/replays", "start_replay", Subscription),
    (GET, "/v1/subscriptions/{name}/replays/{id}", "get_replay", Subscription),
    (DELETE, "/v1/subscriptions/{name}/replays/{id}", "cancel_replay", Subscription),
    (GET, "/v1/attempts", "list_all_attempts", Any(Subscribe)),
    (GET, "/v1/dead-letters", "list_all_dead_letters", Any(Subscribe)),
    (GET, "/v1/subscriptions/{name}/attempts", "list_attempts", Subscription),
    (GET, "/v1/subscriptions/{name}/dead-letters", "list_dead_letters", Subscription),
    (DELETE, "/v1/subscriptions/{name}/dead-letters", "delete_dead_letters", Subscription),
    (POST, "/v1/subscriptions/{name}/dead-letters/redrive", "redrive_dead_letters", Subscription),
];

/// What an operation of the document is called, and what it asks of a key.
pub(in crate::api) fn named(method: &Method, path: &str) -> Option<(&'static str, Need)> {
    let found = NEEDS.iter().find(|(has, route, ..)| has == method && *route == path);
    found.map(|(.., name, need)| (*name, *need))
}

/// What a request of this method to this route asks for; `None`: there is no such route.
pub(in crate::api) fn of(method: &Method, route: &str) -> Option<Need> {
    // A HEAD is answered as a GET without its body (RFC 9110, section 9.3.2).
    let method = if method == Method::HEAD { &Method::GET } else { method };
    NEEDS.iter().find(|(has, path, ..)| has == method && *path == route).map(|(.., need)| *need)
}
