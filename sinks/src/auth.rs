//! How the relay says who it is, towards an endpoint; tokens among it.

use std::{convert::Infallible, fmt, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded;

use crate::{
    Identity, Network, Outcome, SilentKind,
    answer::{self, READ_MAX_BYTES},
    recent::Recent,
};

/// The most tokens that are kept.
const TOKENS_MAX: usize = 1_024;
/// A token is not used in the last seconds of its life, which it might not live to see.
const MARGIN_SECONDS: i64 = 30;

/// How the relay says who it is.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Auth {
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer(String),
    /// `Authorization: Basic …` (RFC 7617).
    Basic {
        /// Without a colon.
        username: String,
        /// Any text.
        password: String,
    },
    /// A token got with client credentials (RFC 6749, 4.4).
    OAuth2(Arc<Client>),
}

/// A client of an authorization server.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Client {
    /// Where tokens are got.
    pub token_url: http::Uri,
    /// The client.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// What is asked for, separated by spaces.
    pub scope: Option<String>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bearer(_) => "Bearer(…)",
            Self::Basic { .. } => "Basic(…)",
            Self::OAuth2(_) => "OAuth2(…)",
        })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client(…)")
    }
}

impl Auth {
    /// The value of `Authorization`, unless a token has to be got for it.
    pub(crate) fn header(&self) -> Result<Option<HeaderValue>, header::InvalidHeaderValue> {
        match self {
            Self::Bearer(token) => bearer(token).map(Some),
            Self::Basic { username, password } => basic(username, password).map(Some),
            Self::OAuth2(_) => Ok(None),
        }
    }
}

fn bearer(token: &str) -> Result<HeaderValue, header::InvalidHeaderValue> {
    secret(&format!("Bearer {token}"))
}

fn basic(username: &str, password: &str) -> Result<HeaderValue, header::InvalidHeaderValue> {
    let pair = BASE64_STANDARD.encode(format!("{username}:{password}"));
    secret(&format!("Basic {pair}"))
}

fn secret(text: &str) -> Result<HeaderValue, header::InvalidHeaderValue> {
    let mut value = HeaderValue::try_from(text)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Who wants a token, and when, in seconds since 1970.
pub(crate) struct Bearer<'a> {
    pub(crate) client: &'a Arc<Client>,
    /// The certificates that the authorization server is shown as well.
    pub(crate) identity: Option<&'a Arc<Identity>>,
    pub(crate) now: i64,
}

/// Tokens of clients, got when they are wanted; one request at a time for each.
#[derive(Debug, Clone)]
pub(crate) struct Tokens(Recent<Key, Slot>);

/// The client, and the certificates it shows.
type Key = (Arc<Client>, Option<Arc<Identity>>);
type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

#[derive(Debug)]
struct Token {
    header: HeaderValue,
    /// Not used from this moment on, in seconds since 1970.
    until: i64,
}

impl Tokens {
    pub(crate) fn new() -> Self {
        Self(Recent::new(TOKENS_MAX))
    }

    /// The value of `Authorization` for a client; another one than `refused`.
    pub(crate) async fn get(
        &self,
        network: &Network,
        bearer: &Bearer<'_>,
        refused: Option<&HeaderValue>,
    ) -> Result<HeaderValue, Outcome> {
        let Bearer { client, identity, now } = *bearer;
        let key = (client.clone(), identity.cloned());
        let new = || Ok::<_, Infallible>(Slot::default());
        let Ok(slot) = self.0.get(&key, new);
        let mut slot = slot.lock().await;
        if let Some(token) = &*slot
            && now < token.until
            && refused != Some(&token.header)
        {
            return Ok(token.header.clone());
        }
        *slot = None;
        let token = fetch(network.clone(), client, now).await?;
        let header = token.header.clone();
        *slot = Some(token);
        Ok(header)
    }
}

async fn fetch(network: Network, client: &Client, now: i64) -> Result<Token, Outcome> {
    let request = request(client).map_err(|_| failed("the client cannot be put in a request"))?;
    let (head, body) = match answer::ask(network, request, READ_MAX_BYTES).await {
        Ok(reply) => reply,
        Err(error) => {
            return Err(match answer::kind_of(error.kind()) {
                kind @ (SilentKind::Forbidden | SilentKind::Proxy | SilentKind::Machine) => {
                    Outcome::Silent { kind, message: format!("for a token: {error}") }
                }
                kind => failed(&format!("the token endpoint: {}: {error}", kind.as_str())),
            });
        }
    };
    if head.status != StatusCode::OK {
        return Err(failed(&refusal(head.status, &body)));
    }
    token(&body, now).map_err(failed)
}

/// RFC 6749, 4.4.2, the client known by its password (2.3.1).
fn request(client: &Client) -> Result<Request<Bytes>, http::Error> {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if let Some(scope) = &client.scope {
        form.append_pair("scope", scope);
    }
    Request::post(&client.token_url)
        .header(header::AUTHORIZATION, basic(&encoded(&client.id), &encoded(&client.secret))?)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json")
        .body(Bytes::from(form.finish()))
}

/// What RFC 6749, 5.1 answers; others' additions are left aside.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    token_type: Option<String>,
    expires_in: Option<Value>,
}

fn token(body: &[u8], now: i64) -> Result<Token, &'static str> {
    let granted: Granted =
        serde_json::from_slice(body).map_err(|_| "the token endpoint's answer holds no token")?;
    if granted.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err("the token endpoint gave a token that is no bearer token");
    }
    let header = bearer(&granted.access_token).map_err(|_| "the token fits into no header")?;
    // Some servers write the number as a text; one that says nothing is held to be right until
    // the token is refused.
    let lives = match &granted.expires_in {
        Some(Value::String(text)) => text.parse().ok(),
        Some(other) => other.as_i64(),
        None => None,
    };
    let until = lives.map_or(i64::MAX, |lives: i64| {
        let lives = lives.max(0);
        now.saturating_add(lives - MARGIN_SECONDS.min(lives / 4))
    });
    Ok(Token { header, until })
}

/// Names the error only if it is one of RFC 6749, 5.2: what else a server says may hold secrets.
fn refusal(status: StatusCode, body: &[u8]) -> String {
    const CODES: [&str; 6] = [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    ];
    #[derive(Deserialize)]
    struct Refused {
        error: String,
    }
    let said = serde_json::from_slice::<Refused>(body).ok();
    let code = said.and_then(|said| CODES.into_iter().find(|code| *code == said.error));
    let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
    format!("the token endpoint answered {}{code}", status.as_u16())
}

fn failed(message: &str) -> Outcome {
    Outcome::Silent { kind: SilentKind::Token, message: message.to_owned() }
}
