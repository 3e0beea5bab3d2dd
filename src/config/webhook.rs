//! `webhook`: where a subscription is pushed to, how it is signed, and how the relay says who it is.

use probes::{
    period::{Period, Positive},
    schema::at_most_one,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_saphyr::{Location, Spanned};

use super::{
    error::Problems,
    secret::{Env, SecretRef, Value, resolve, resolve_value},
    table::{Table, unplaced},
    variables,
};
use crate::settings::{Auth, SubscriptionSettings, Tls};

/// An HTTP endpoint.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = at_most_one(&["secret", "secrets"]))]
pub struct WebhookFile {
    /// `http` or `https`.
    #[schemars(with = "String")]
    pub url: Spanned<String>,
    /// The signing secret, `whsec_…` or `whsk_…` (ed25519); or `secrets`. Without one nothing is
    /// signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<SecretRef>")]
    pub secret: Option<Spanned<SecretRef>>,
    /// Several signing secrets, the newest first: each signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<SecretRef>>")]
    pub secrets: Option<Vec<Spanned<SecretRef>>>,
    /// Extra headers of every request.
    #[serde(default)]
    #[schemars(with = "Table<Value>")]
    pub headers: Table<Spanned<Value>>,
    /// One deadline over connecting, sending and the whole answer.
    #[serde(default = "timeout")]
    #[schemars(with = "Positive")]
    pub timeout: Spanned<Period>,
    /// How the relay says who it is, besides its signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<AuthFile>")]
    pub auth: Option<Spanned<AuthFile>>,
    /// Certificates of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<TlsFile>")]
    pub tls: Option<Spanned<TlsFile>>,
    /// Whether the endpoint is asked for its consent first (CloudEvents webhook handshake).
    #[serde(default)]
    pub handshake: bool,
    /// Whether names of headers begin with capitals, as in `Content-Type`, for receivers that
    /// compare them by case; in HTTP/1.1.
    #[serde(default)]
    pub title_case_headers: bool,
    /// The `user-agent` of every request, in the place of `milkrun/VERSION`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub user_agent: Option<Spanned<String>>,
    /// The `content-type` of every body, in the place of the one of its format: `application/json`
    /// for a receiver that takes no `application/cloudevents+json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub content_type: Option<Spanned<String>>,
}

fn timeout() -> Spanned<Period> {
    unplaced(Period(SubscriptionSettings::new(String::new(), Vec::new()).timeout))
}

/// How the relay says who it is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthFile {
    /// `Authorization: Bearer …`
    #[schemars(with = "SecretRef")]
    Bearer(Spanned<SecretRef>),
    /// `Authorization: Basic …`
    Basic(BasicFile),
    /// A token got with client credentials (RFC 6749, 4.4).
    #[serde(rename = "oauth2")]
    OAuth2(OAuth2File),
}

/// A user and a password.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WebhookBasicFile")]
pub struct BasicFile {
    /// The user, without a colon.
    #[schemars(with = "Value")]
    pub username: Spanned<Value>,
    /// The password.
    #[schemars(with = "SecretRef")]
    pub password: Spanned<SecretRef>,
}

/// A client of an authorization server.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OAuth2File {
    /// Where tokens are got; guarded as the endpoint is.
    pub token_url: String,
    /// The client.
    #[schemars(with = "Value")]
    pub client_id: Spanned<Value>,
    /// Its secret.
    #[schemars(with = "SecretRef")]
    pub client_secret: Spanned<SecretRef>,
    /// What is asked for, separated by spaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

/// Certificates in PEM.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsFile {
    /// The client's certificate chain, the leaf first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Value>")]
    pub certificate: Option<Spanned<Value>>,
    /// The client's private key; goes with `certificate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<SecretRef>")]
    pub key: Option<Spanned<SecretRef>>,
    /// Authorities that are trusted in the place of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Value>")]
    pub ca: Option<Spanned<Value>>,
}

impl WebhookFile {
    /// Takes the texts of numbers from the file.
    pub(super) fn as_written(&mut self, file: &str) {
        self.headers.0.iter_mut().for_each(|(_, value)| Value::as_written(value, file));
        match self.auth.as_mut().map(|auth| &mut auth.value) {
            Some(AuthFile::Basic(basic)) => Value::as_written(&mut basic.username, file),
            Some(AuthFile::OAuth2(client)) => Value::as_written(&mut client.client_id, file),
            Some(AuthFile::Bearer(_)) | None => {}
        }
        if let Some(tls) = &mut self.tls {
            let pem = [&mut tls.value.certificate, &mut tls.value.ca];
            pem.into_iter().flatten().for_each(|value| Value::as_written(value, file));
        }
    }

    /// The settings that it makes, with the defaults for the others.
    pub(crate) fn settings(
        &self,
        env: Env<'_>,
        problems: &mut Problems<'_>,
    ) -> SubscriptionSettings {
        if let (Some(secret), Some(_)) = (&self.secret, &self.secrets) {
            problems.add(secret.referenced, "`webhook`: expected one of `secret` and `secrets`");
        }
        let given = self.secret.iter().chain(self.secrets.iter().flatten());
        let mut secrets: Vec<String> = given.map(|one| resolve(one, env, problems)).collect();
        // What could not be had is told already.
        secrets.retain(|secret| !secret.is_empty());
        let mut settings = SubscriptionSettings::new(self.url.value.clone(), secrets);
        settings.shown_url = problems
            .outline()
            .template((self.url.defined.line(), self.url.defined.column()))
            .and_then(|template| variables::shown_url(template, env.variables));
        settings.timeout = self.timeout.value.0;
        for (name, value) in &self.headers.0 {
            let (text, _) = resolve_value(value, env, problems);
            settings.headers.push((name.value.clone(), text));
        }
        settings.auth = self.auth.as_ref().map(|auth| auth.value.build(env, problems));
        if let Some(tls) = &self.tls {
            settings.tls = tls.value.build(env, problems);
        }
        settings.handshake = self.handshake;
        settings.title_case_headers = self.title_case_headers;
        settings.user_agent = self.user_agent.as_ref().map(|text| text.value.clone());
        settings.content_type = self.content_type.as_ref().map(|text| text.value.clone());
        settings
    }

    /// Where a field stands, named from `webhook.` on.
    pub(crate) fn at(&self, field: &str) -> Option<Location> {
        let (first, rest) = field.split_once('.').unwrap_or((field, ""));
        match first {
            "url" => Some(self.url.referenced),
            "secret" | "secrets" => {
                self.secret.iter().chain(self.secrets.iter().flatten()).next().map(|s| s.referenced)
            }
            "headers" => {
                let named = self.headers.0.iter().rfind(|(name, _)| name.value == rest);
                named.or(self.headers.0.first()).map(|(name, _)| name.referenced)
            }
            "timeout" => Some(self.timeout.referenced),
            "user_agent" => self.user_agent.as_ref().map(|text| text.referenced),
            "content_type" => self.content_type.as_ref().map(|text| text.referenced),
            "auth" => self.auth.as_ref().map(|auth| auth.referenced),
            "tls" => self.tls.as_ref().map(|tls| tls.value.at(rest).unwrap_or(tls.referenced)),
            _ => None,
        }
    }
}

impl AuthFile {
    fn build(&self, env: Env<'_>, problems: &mut Problems<'_>) -> Auth {
        match self {
            Self::Bearer(token) => Auth::Bearer(resolve(token, env, problems)),
            Self::Basic(basic) => Auth::Basic {
                username: resolve_value(&basic.username, env, problems).0,
                password: resolve(&basic.password, env, problems),
            },
            Self::OAuth2(client) => Auth::OAuth2 {
                token_url: client.token_url.clone(),
                client_id: resolve_value(&client.client_id, env, problems).0,
                client_secret: resolve(&client.client_secret, env, problems),
                scope: client.scope.clone(),
            },
        }
    }
}

impl TlsFile {
    fn build(&self, env: Env<'_>, problems: &mut Problems<'_>) -> Tls {
        let certificate = self.certificate.as_ref();
        let ca = self.ca.as_ref();
        Tls {
            certificate: certificate.map(|value| resolve_value(value, env, problems).0),
            key: self.key.as_ref().map(|key| resolve(key, env, problems)),
            ca: ca.map(|value| resolve_value(value, env, problems).0),
        }
    }

    fn at(&self, field: &str) -> Option<Location> {
        match field {
            "certificate" => self.certificate.as_ref().map(|value| value.referenced),
            "key" => self.key.as_ref().map(|key| key.referenced),
            "ca" => self.ca.as_ref().map(|value| value.referenced),
            _ => None,
        }
    }
}
