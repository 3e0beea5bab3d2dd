//! `webhook` as a subscriber sends it: where to push, and how.

use std::collections::BTreeMap;

use base64::Engine as _;
use probes::period::Period;
use serde::Deserialize;
use sinks::sign::Secret;
use utoipa::ToSchema;

use super::change::Change;
use crate::{
    api::{body::REFERENCES, problem::Problem},
    settings::{Auth, SubscriptionSettings, Tls, forms::PeriodText},
};

/// Where to push, and how.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookBody {
    /// The address; required for a new subscription.
    url: Option<String>,
    /// The signing secret, `whsec_` or `whsk_` and base64; one is made when none is given.
    secret: Option<String>,
    /// Signing secrets, newest first; each signs. Those that retire are dropped.
    secrets: Option<Vec<String>>,
    /// Which kind of secret is made for a new subscription. Default `shared`.
    secret_kind: Option<SecretKind>,
    /// Extra headers of every request.
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    headers: Change<BTreeMap<String, String>>,
    /// One deadline over the whole exchange. Default `15s`.
    #[serde(default)]
    #[schema(value_type = Option<PeriodText>)]
    timeout: Change<Period>,
    /// How the relay says who it is, besides its signature.
    #[serde(default)]
    #[schema(value_type = Option<AuthBody>)]
    auth: Change<AuthBody>,
    /// Certificates of its own; the whole set is replaced.
    #[serde(default)]
    #[schema(value_type = Option<TlsBody>)]
    tls: Change<TlsBody>,
    /// Whether the endpoint is asked for its consent first (CloudEvents webhook handshake).
    /// Default false.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    handshake: Change<bool>,
    /// Whether names of headers begin with capitals, as in `Content-Type`; in HTTP/1.1. Default
    /// false.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    title_case_headers: Change<bool>,
    /// The `user-agent` of every request. Default `milkrun/VERSION`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    user_agent: Change<String>,
    /// The `content-type` of every body. Default: the one of its format.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    content_type: Change<String>,
}

/// Which kind of signing secret.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SecretKind {
    /// `whsec_…`, shared with the receiver: HMAC-SHA256, `v1`.
    #[default]
    Shared,
    /// `whsk_…`, whose public key the receiver has: ed25519, `v1a`.
    Ed25519,
}

/// How the relay says who it is.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthBody {
    /// `Authorization: Bearer …`
    Bearer(String),
    /// `Authorization: Basic …`
    Basic(BasicBody),
    /// A token got with client credentials (RFC 6749, 4.4).
    #[serde(rename = "oauth2")]
    OAuth2(OAuth2Body),
}

/// A user and a password.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicBody {
    /// Without a colon.
    username: String,
    /// Any text.
    password: String,
}

/// A client of an authorization server.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OAuth2Body {
    /// Where tokens are got; guarded as the endpoint is.
    token_url: String,
    /// The client.
    client_id: String,
    /// Its secret.
    client_secret: String,
    /// What is asked for, separated by spaces.
    scope: Option<String>,
}

/// Certificates as PEM texts.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsBody {
    /// The client's certificate chain, the leaf first.
    certificate: Option<String>,
    /// The client's private key; goes with `certificate`.
    key: Option<String>,
    /// Authorities that are trusted in the place of the system's.
    ca: Option<String>,
}

impl WebhookBody {
    pub(super) const fn has_no_url(&self) -> bool {
        self.url.is_none()
    }

    pub(super) const fn has_secret_kind(&self) -> bool {
        self.secret_kind.is_some()
    }

    /// A secret for a subscription that brings none.
    pub(super) fn make_secret(&self) -> Result<Option<String>, Problem> {
        match (self.secret.is_some() || self.secrets.is_some(), self.secret_kind) {
            (false, kind) => new_secret(kind.unwrap_or_default()).map(Some),
            (true, None) => Ok(None),
            (true, Some(_)) => {
                let detail =
                    "`webhook.secret_kind` is for a secret that is made: give no secret with it";
                Err(Problem::field("webhook.secret_kind", detail))
            }
        }
    }

    /// Changes `settings` as asked.
    pub(super) fn put(
        self,
        settings: &mut SubscriptionSettings,
        usual: &SubscriptionSettings,
    ) -> Result<(), Problem> {
        if let Some(url) = self.url {
            settings.url = url;
            settings.shown_url = None;
        }
        let secrets = match (self.secret, self.secrets) {
            (Some(_), Some(_)) => {
                let detail = "`webhook.secret` and `webhook.secrets` cannot both be given";
                return Err(Problem::field("webhook.secret", detail));
            }
            (Some(secret), None) => Some(vec![secret]),
            (None, secrets) => secrets,
        };
        if let Some(secrets) = secrets {
            if secrets.is_empty() {
                let most = SubscriptionSettings::SECRETS_MAX;
                let detail = format!("`webhook.secrets`: expected 1 to {most} secrets");
                return Err(Problem::field("webhook.secrets", detail));
            }
            settings.secrets = secrets;
            settings.retiring.clear();
        }
        if let Change::Set(headers) = &self.headers {
            // Read as a header it would be sent to the receiver, which nobody means.
            if headers.len() == 1 && headers.keys().all(|name| name == "env" || name == "file") {
                let detail = format!("`webhook.headers`: {REFERENCES}");
                return Err(Problem::field("webhook.headers", detail));
            }
        }
        let lower = |(name, value): (String, String)| (name.to_ascii_lowercase(), value);
        self.headers
            .map(|headers| headers.into_iter().map(lower).collect())
            .apply(&mut settings.headers, Vec::new());
        self.timeout.map(Into::into).apply(&mut settings.timeout, usual.timeout);
        self.auth.map(Auth::from).apply_some(&mut settings.auth);
        self.tls.map(Tls::from).apply(&mut settings.tls, Tls::default());
        self.handshake.apply(&mut settings.handshake, usual.handshake);
        self.title_case_headers.apply(&mut settings.title_case_headers, usual.title_case_headers);
        self.user_agent.apply_some(&mut settings.user_agent);
        self.content_type.apply_some(&mut settings.content_type);
        Ok(())
    }
}

impl From<AuthBody> for Auth {
    fn from(body: AuthBody) -> Self {
        match body {
            AuthBody::Bearer(token) => Self::Bearer(token),
            AuthBody::Basic(BasicBody { username, password }) => Self::Basic { username, password },
            AuthBody::OAuth2(OAuth2Body { token_url, client_id, client_secret, scope }) => {
                Self::OAuth2 { token_url, client_id, client_secret, scope }
            }
        }
    }
}

impl From<TlsBody> for Tls {
    fn from(TlsBody { certificate, key, ca }: TlsBody) -> Self {
        Self { certificate, key, ca }
    }
}

/// A signing secret of 32 random bytes.
pub(super) fn new_secret(kind: SecretKind) -> Result<String, Problem> {
    let mut bytes = [0_u8; 32];
    #[expect(clippy::disallowed_methods, reason = "a secret is asked of the system")]
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(event = "api.secret_failed", %error, "the system gives no random bytes");
        Problem::internal()
    })?;
    let prefix = match kind {
        SecretKind::Shared => Secret::PREFIX,
        SecretKind::Ed25519 => Secret::PRIVATE_PREFIX,
    };
    Ok(format!("{prefix}{}", base64::prelude::BASE64_STANDARD.encode(bytes)))
}
