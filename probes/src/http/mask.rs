//! Secrets are hidden in whatever is shown, whoever said it: a producer may repeat them.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{
    HttpProbe,
    fetch::excerpt,
    identity::looks_secret,
    spec::{Auth, Spec},
};
use crate::{Failure, Next, Page};

/// The shortest secret that is looked for in texts: a shorter one would hide ordinary words.
const SECRET_BYTES_MIN: usize = 4;
/// How much of a body is shown.
const EXCERPT_BYTES: usize = 200;
/// How much of it is looked through before, for a secret must not be cut in two.
const LOOKED_AT_BYTES: usize = 16 << 10;

impl Spec {
    /// A text with `***` for the secrets in it.
    pub(super) fn mask(&self, text: &str) -> String {
        hidden(&self.spelled(), text)
    }

    /// All secrets in every spelling, the longest first: one may be the beginning of another.
    fn spelled(&self) -> Vec<String> {
        let mut secrets: Vec<String> = self.secrets().into_iter().flat_map(spellings).collect();
        secrets.retain(|secret| secret.len() >= SECRET_BYTES_MIN);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets
    }

    fn secrets(&self) -> Vec<String> {
        let params = self.query.iter().chain(&self.headers);
        let params = params.filter(|param| param.secret || looks_secret(&param.name));
        // `Bearer x` may come back as `x`.
        let mut secrets: Vec<String> = params
            .flat_map(|param| {
                let last_word = param.value.rsplit(' ').next().unwrap_or_default();
                [param.value.clone(), last_word.to_owned()]
            })
            .collect();
        let given = self.url.pairs().filter(|(name, _)| looks_secret(name));
        secrets.extend(given.map(|(_, value)| value));
        match &self.auth {
            Auth::None => {}
            Auth::Bearer(secret) | Auth::ApiKey { value: secret, .. } => {
                secrets.push(secret.0.clone());
            }
            Auth::Basic { user, password } => {
                secrets.push(password.0.clone());
                secrets.push(BASE64_STANDARD.encode(format!("{user}:{}", password.0)));
            }
        }
        secrets
    }
}

/// A secret as it stands in a text, a JSON text, a form and a URL.
fn spellings(secret: String) -> Vec<String> {
    let json = serde_json::Value::from(&*secret).to_string();
    let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let mut all = vec![json[1..json.len() - 1].to_owned(), form.replace('+', "%20"), form, secret];
    all.dedup();
    all
}

fn hidden(secrets: &[String], text: &str) -> String {
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
}

impl HttpProbe {
    /// The first bytes of what a producer said, for a person.
    pub(super) fn excerpt(&self, bytes: &[u8]) -> String {
        let looked_at = &bytes[..bytes.len().min(LOOKED_AT_BYTES)];
        let masked = self.spec.mask(&String::from_utf8_lossy(looked_at));
        excerpt(masked.as_bytes(), EXCERPT_BYTES)
    }

    /// With all secrets hidden in what a person may be shown.
    pub(super) fn mask(&self, page: Result<Page, Failure>) -> Result<Page, Failure> {
        let secrets = self.spec.spelled();
        let hide = |text: &mut String| *text = hidden(&secrets, text);
        match page {
            Ok(mut page) => {
                page.rejected.iter_mut().for_each(|rejected| hide(&mut rejected.reason));
                page.field_errors.0.values_mut().for_each(|error| hide(&mut error.reason));
                page.others.iter_mut().for_each(|(_, value)| hide(value));
                if let Next::Done(walk) = &mut page.next {
                    walk.warnings.iter_mut().for_each(hide);
                    walk.gap.iter_mut().for_each(|gap| hide(&mut gap.detail));
                }
                Ok(page)
            }
            Err(mut failure) => {
                hide(&mut failure.message);
                failure.help = failure.help.map(|help| hidden(&secrets, &help).into());
                if let Some(gap) = &mut failure.gap {
                    hide(&mut gap.detail);
                }
                Err(failure)
            }
        }
    }
}
