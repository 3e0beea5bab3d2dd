//! What each route asks of a key. `docs/access.md` shows the same table to people.

use http::Method;

use crate::key::Scope;

/// What a key must be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum Need {
    /// No key.
    Nothing,
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

use Need::{Admin, Everything, Nothing, Some as Any, Source, Subscription, Topic};
use Scope::{Publish, Read, Subscribe};

const GET: Method = Method::GET;
const PUT: Method = Method::PUT;
const POST: Method = Method::POST;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

/// Every route of the API.
#[rustfmt::skip]
pub(in crate::api) const NEEDS: [(Method, &str, Need); 48] = [
    (GET, "/healthz", Nothing),
    (GET, "/readyz", Nothing),
    (GET, "/metrics", Everything),
    (GET, "/v1/cluster", Everything),
    (POST, "/v1/reload", Admin),
    (GET, "/v1/keys", Admin),
    (POST, "/v1/keys", Admin),
    (DELETE, "/v1/keys/{id}", Admin),
    (GET, "/v1/topics", Any(Read)),
    (GET, "/v1/topics/{topic}", Topic(Read)),
    (PUT, "/v1/topics/{topic}", Admin),
    (DELETE, "/v1/topics/{topic}", Admin),
    (POST, "/v1/topics/{topic}/new-epoch", Admin),
    (GET, "/v1/topics/{topic}/gaps", Topic(Read)),
    (GET, "/v1/topics/{topic}/events", Topic(Read)),
    (POST, "/v1/topics/{topic}/events", Topic(Publish)),
    (GET, "/v1/topics/{topic}/events/{version}", Topic(Read)),
    (GET, "/v1/topics/{topic}/events/{version}/trace", Topic(Read)),
    (GET, "/v1/topics/{topic}/pending", Topic(Publish)),
    (GET, "/v1/topics/{topic}/pending/{id}", Topic(Publish)),
    (PATCH, "/v1/topics/{topic}/pending/{id}", Topic(Publish)),
    (DELETE, "/v1/topics/{topic}/pending/{id}", Topic(Publish)),
    (POST, "/v1/topics/{topic}/pending/{id}/commit", Topic(Publish)),
    (GET, "/v1/sources", Any(Read)),
    (GET, "/v1/sources/{name}", Source),
    (GET, "/v1/sources/{name}/rejected", Source),
    (POST, "/v1/sources/{name}/poll", Admin),
    (POST, "/v1/sources/{name}/pause", Admin),
    (POST, "/v1/sources/{name}/resume", Admin),
    (POST, "/v1/sources/{name}/cursor", Admin),
    (GET, "/v1/subscriptions", Any(Subscribe)),
    (POST, "/v1/subscriptions", Any(Subscribe)),
    (GET, "/v1/subscriptions/{name}", Subscription),
    (PATCH, "/v1/subscriptions/{name}", Subscription),
    (DELETE, "/v1/subscriptions/{name}", Subscription),
    (POST, "/v1/subscriptions/{name}/pause", Subscription),
    (POST, "/v1/subscriptions/{name}/resume", Subscription),
    (POST, "/v1/subscriptions/{name}/rewind", Subscription),
    (POST, "/v1/subscriptions/{name}/test", Subscription),
    (POST, "/v1/subscriptions/{name}/secrets/rotate", Subscription),
    (GET, "/v1/subscriptions/{name}/replays", Subscription),
    (POST, "/v1/subscriptions/{name}/replays", Subscription),
    (GET, "/v1/subscriptions/{name}/replays/{id}", Subscription),
    (DELETE, "/v1/subscriptions/{name}/replays/{id}", Subscription),
    (GET, "/v1/subscriptions/{name}/attempts", Subscription),
    (GET, "/v1/subscriptions/{name}/dead-letters", Subscription),
    (DELETE, "/v1/subscriptions/{name}/dead-letters", Subscription),
    (POST, "/v1/subscriptions/{name}/dead-letters/redrive", Subscription),
];

/// What a request of this method to this route asks for; `None`: there is no such route.
pub(in crate::api) fn of(method: &Method, route: &str) -> Option<Need> {
    // A HEAD is answered as a GET without its body (RFC 9110, section 9.3.2).
    let method = if method == Method::HEAD { &Method::GET } else { method };
    NEEDS.iter().find(|(has, path, _)| has == method && *path == route).map(|(.., need)| *need)
}
