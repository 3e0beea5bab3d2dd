//! `tls`: the certificate of the API.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

use super::{
    error::Problems,
    secret::{Env, SecretRef, Value, resolve, resolve_value},
};
use crate::settings::Tls;

/// The certificate of the API; both are PEM. Files are looked at every minute, and a changed
/// certificate is shown from the next connection on.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiTlsFile {
    /// The certificate, and behind it those that lead to a root, if any are between.
    #[schemars(with = "Value")]
    pub certificate: Spanned<Value>,
    /// Its private key.
    #[schemars(with = "SecretRef")]
    pub key: Spanned<SecretRef>,
}

/// The certificate of the API as it was read, and from where.
#[derive(Debug, Clone)]
pub struct ApiTls {
    /// As it was read.
    pub shown: Tls,
    certificate: Value,
    key: SecretRef,
}

impl PartialEq for ApiTls {
    /// Whether both show the same.
    fn eq(&self, other: &Self) -> bool {
        self.shown == other.shown
    }
}

impl ApiTls {
    /// Reads again what stands in files; the rest is as it was.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn read(&self) -> Result<Tls, String> {
        let again = |reference: Option<&SecretRef>, shown: &Option<String>| match reference {
            Some(file @ SecretRef::File(_)) => file.read(Env::of("", &|_| None)).map(Some),
            _ => Ok(shown.clone()),
        };
        Ok(Tls {
            certificate: again(self.certificate.reference(), &self.shown.certificate)?,
            key: again(Some(&self.key), &self.shown.key)?,
            ca: None,
        })
    }
}

impl ApiTlsFile {
    /// Takes the text of a number from the file.
    pub(super) fn as_written(&mut self, file: &str) {
        Value::as_written(&mut self.certificate, file);
    }

    /// The certificate alone, if it can be had.
    pub(super) fn certificate(&self, env: Env<'_>) -> Option<String> {
        match &self.certificate.value {
            Value::Plain(text) => Some(text.clone()),
            Value::Secret(reference) => reference.read(env).ok(),
            Value::Unread => None,
        }
    }

    pub(super) fn build(&self, env: Env<'_>, problems: &mut Problems<'_>) -> ApiTls {
        let (certificate, _) = resolve_value(&self.certificate, env, problems);
        let key = resolve(&self.key, env, problems);
        ApiTls {
            shown: tls(certificate, key),
            certificate: match &self.certificate.value {
                Value::Secret(reference) => Value::Secret(reference.rooted(env)),
                plain => plain.clone(),
            },
            key: self.key.value.rooted(env),
        }
    }
}

fn tls(certificate: String, key: String) -> Tls {
    Tls { certificate: Some(certificate), key: Some(key), ca: None }
}
