//! Secrets are hidden in whatever is shown, whoever said it: a producer may repeat them.

use std::fmt;

use super::{
    request::basic,
    secret_names::looks_secret,
    spec::{Auth, Spec},
};
/// The shortest secret that is looked for in texts: a shorter one would hide ordinary words.
const SECRET_BYTES_MIN: usize = 4;

/// The secrets of a source in every spelling, the longest first: one may be the beginning of
/// another.
pub(super) struct Secrets(Vec<String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(***)")
    }
}

impl Secrets {
    pub(super) fn of(spec: &Spec) -> Self {
        let mut all: Vec<String> = given(spec).into_iter().flat_map(spellings).collect();
        all.retain(|secret| secret.len() >= SECRET_BYTES_MIN);
        all.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        all.dedup();
        Self(all)
    }

    /// A text with `***` for the secrets in it.
    pub(super) fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret) { text.replace(secret, "***") } else { text }
        })
    }
}

/// The secrets as they were given.
fn given(spec: &Spec) -> Vec<String> {
    let params = spec.query.iter().chain(&spec.headers);
    let params = params.filter(|param| param.secret || looks_secret(&param.name));
    // `Bearer x` may come back as `x`.
    let mut secrets: Vec<String> = params
        .flat_map(|param| {
            let last_word = param.value.rsplit(' ').next().unwrap_or_default();
            [param.value.clone(), last_word.to_owned()]
        })
        .collect();
    let of_url = spec.url.pairs().filter(|(name, _)| looks_secret(name));
    secrets.extend(of_url.map(|(_, value)| value));
    secrets.extend(spec.hidden.iter().map(|secret| secret.0.clone()));
    match &spec.auth {
        Auth::None => {}
        Auth::Bearer(secret) | Auth::ApiKey { value: secret, .. } => {
            secrets.push(secret.0.clone());
        }
        Auth::Basic { user, password } => {
            secrets.push(password.0.clone());
            secrets.push(basic(user, password));
        }
    }
    secrets
}

/// A secret as it stands in a text, a JSON text, a form and a URL.
fn spellings(secret: String) -> Vec<String> {
    let json = serde_json::Value::from(&*secret).to_string();
    let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    vec![json[1..json.len() - 1].to_owned(), form.replace('+', "%20"), form, secret]
}
