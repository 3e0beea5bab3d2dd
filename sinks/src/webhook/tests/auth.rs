//! Who the relay says it is, and tokens.

use std::sync::{
    Mutex,
    atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst},
};

use super::*;
use crate::auth::Client;

const NOW: i64 = 1_700_000_000;

#[test]
fn bearer_and_basic_are_sent_and_marked_as_secret() {
    let basic = Auth::Basic { username: "Aladdin".into(), password: "open sesame".into() };
    for (auth, expected) in [
        (Auth::Bearer("t0k".into()), "Bearer t0k"),
        // The example of RFC 7617.
        (basic, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
    ] {
        assert!(!format!("{auth:?}").contains("t0k"));
        let target = Arc::new(Target { auth: Some(auth), ..target() });
        let drawn = nowhere().draw(Parcel { target, ..parcel() }).unwrap();
        let value = &drawn.headers()["authorization"];
        assert_eq!(value, expected);
        assert!(value.is_sensitive());
        assert!(!format!("{drawn:?}").contains(expected));
    }
    let target = Arc::new(Target { auth: Some(Auth::Bearer("a\r\nb: c".into())), ..target() });
    assert!(nowhere().draw(Parcel { target, ..parcel() }).is_err());
}

/// An authorization server and an endpoint behind one network.
#[derive(Default)]
struct World {
    /// Tokens given so far; the n-th is `token-n`.
    given: AtomicUsize,
    expires_in: AtomicI64,
    /// What the server answers in the place of a token.
    refusal: Mutex<Option<(u16, &'static str)>>,
    /// What the endpoint got as `Authorization`.
    seen: Mutex<Vec<String>>,
    /// Tokens the endpoint refuses.
    refused: Mutex<Vec<String>>,
}

impl World {
    fn network(self: &Arc<Self>) -> Network {
        let world = self.clone();
        BoxCloneSyncService::new(service_fn(move |request: Request<Bytes>| {
            let world = world.clone();
            async move {
                // Everybody who waits for a token gets to wait.
                tokio::task::yield_now().await;
                let is_token = request.uri().path() == "/token";
                Ok(if is_token { world.token(&request) } else { world.hook(&request) })
            }
        }))
    }

    fn token(&self, request: &Request<Bytes>) -> Reply {
        assert_eq!(request.method(), "POST");
        // `cl:ient` and `s3 cret`, encoded as a form before they are a pair.
        assert_eq!(request.headers()["authorization"], "Basic Y2wlM0FpZW50OnMzK2NyZXQ=");
        assert_eq!(request.headers()["content-type"], "application/x-www-form-urlencoded");
        assert_eq!(request.body(), "grant_type=client_credentials&scope=a+b");
        if let Some((status, body)) = *self.refusal.lock().unwrap() {
            return reply(status, body);
        }
        let number = self.given.fetch_add(1, SeqCst) + 1;
        let life = match self.expires_in.load(SeqCst) {
            0 => String::new(),
            seconds => format!(r#","expires_in":{seconds}"#),
        };
        reply(200, format!(r#"{{"access_token":"token-{number}","token_type":"Bearer"{life}}}"#))
    }

    fn hook(&self, request: &Request<Bytes>) -> Reply {
        let value = request.headers()["authorization"].to_str().unwrap().to_owned();
        assert!(request.headers()["authorization"].is_sensitive());
        let refused = self.refused.lock().unwrap().contains(&value);
        self.seen.lock().unwrap().push(value);
        reply(if refused { 401 } else { 204 }, "")
    }

    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

fn asked(timestamp: i64) -> Parcel {
    let client = Client {
        token_url: "http://login.example.com/token".parse().unwrap(),
        id: "cl:ient".into(),
        secret: "s3 cret".into(),
        scope: Some("a b".into()),
    };
    let auth = Some(Auth::OAuth2(Arc::new(client)));
    Parcel { target: Arc::new(Target { auth, ..target() }), timestamp, ..parcel() }
}

async fn status(webhook: &Webhook, at: i64) -> u16 {
    match webhook.push(asked(at)).await {
        Outcome::Answered(answer) => answer.status,
        Outcome::Silent { kind, message } => panic!("{kind:?}: {message}"),
    }
}

#[tokio::test]
async fn a_token_is_kept_until_shortly_before_it_expires() {
    let world = Arc::new(World::default());
    world.expires_in.store(600, SeqCst);
    let webhook = Webhook::new(world.network(), "9.9");
    for at in [0, 1, 569, 570, 571] {
        assert_eq!(status(&webhook, NOW + at).await, 204);
    }
    let (one, two) = ("Bearer token-1", "Bearer token-2");
    assert_eq!(world.seen(), [one, one, one, two, two]);
    // One without an end lasts.
    world.expires_in.store(0, SeqCst);
    let webhook = Webhook::new(world.network(), "9.9");
    for at in [0, 1_000_000] {
        assert_eq!(status(&webhook, NOW + at).await, 204);
    }
    assert_eq!(world.seen(), ["Bearer token-3"; 2]);
}

#[tokio::test]
async fn many_who_want_a_token_share_one_request() {
    let world = Arc::new(World::default());
    let webhook = Webhook::new(world.network(), "9.9");
    let all: Vec<_> = (0..50).map(|_| status(&webhook, NOW)).collect();
    assert_eq!(futures_util::future::join_all(all).await, [204; 50]);
    assert_eq!(world.given.load(SeqCst), 1);
    // A refusal that all of them see is one new token as well.
    world.refused.lock().unwrap().push("Bearer token-1".into());
    let all: Vec<_> = (0..50).map(|_| status(&webhook, NOW)).collect();
    assert_eq!(futures_util::future::join_all(all).await, [204; 50]);
    assert_eq!(world.given.load(SeqCst), 2);
}

#[tokio::test]
async fn a_refused_token_is_got_anew_once() {
    let world = Arc::new(World::default());
    let refused: Vec<_> = (1..9).map(|number| format!("Bearer token-{number}")).collect();
    world.refused.lock().unwrap().extend(refused);
    let webhook = Webhook::new(world.network(), "9.9");
    assert_eq!(status(&webhook, NOW).await, 401);
    assert_eq!(world.seen(), ["Bearer token-1", "Bearer token-2"]);
}

#[tokio::test]
async fn no_token_is_a_silence_that_tells_no_secret() {
    for (status, body, expected) in [
        (401, r#"{"error":"invalid_client"}"#, "the token endpoint answered 401 (invalid_client)"),
        (400, r#"{"error":"s3 cret"}"#, "the token endpoint answered 400"),
        (500, "s3 cret", "the token endpoint answered 500"),
        (302, "", "the token endpoint answered 302"),
        (200, "<html>s3 cret", "the token endpoint's answer holds no token"),
        (
            200,
            r#"{"access_token":"s3 cret","token_type":"mac"}"#,
            "the token endpoint gave a token that is no bearer token",
        ),
        (200, r#"{"access_token":"s3\ncret"}"#, "the token fits into no header"),
    ] {
        let world = Arc::new(World::default());
        *world.refusal.lock().unwrap() = Some((status, body));
        let outcome = Webhook::new(world.network(), "9.9").push(asked(NOW)).await;
        let message = expected.to_owned();
        assert_eq!(outcome, Outcome::Silent { kind: SilentKind::Token, message });
        assert!(world.seen().is_empty());
    }
    for (error, kind) in [
        (ErrorKind::PermissionDenied, SilentKind::Forbidden),
        (ErrorKind::NetworkDown, SilentKind::Proxy),
        (ErrorKind::ConnectionRefused, SilentKind::Token),
        (ErrorKind::InvalidData, SilentKind::Token),
    ] {
        let broken = network(move |_| Err(error.into()));
        let outcome = Webhook::new(broken, "9.9").push(asked(NOW)).await;
        assert!(matches!(&outcome, Outcome::Silent { kind: k, .. } if *k == kind), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_token_endpoint_that_hangs_is_within_the_same_deadline() {
    let hangs = BoxCloneSyncService::new(service_fn(|_| std::future::pending()));
    let outcome = Webhook::new(hangs, "9.9").push(asked(NOW)).await;
    assert!(matches!(outcome, Outcome::Silent { kind: SilentKind::Timeout, .. }), "{outcome:?}");
}
