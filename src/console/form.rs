//! What a form or the query of a page says.

use axum::extract::FromRequestParts;
use http::request::Parts;

/// The pairs, as given.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Form {
    type Rejection = std::convert::Infallible;

    /// That of the query.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(parts.uri.query().unwrap_or_default()))
    }
}

impl Form {
    /// The pairs of a query string or of a body of the type `application/x-www-form-urlencoded`.
    pub(crate) fn of(text: &str) -> Self {
        Self(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// The value of a field; empty when it is not there.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.given(name).unwrap_or_default()
    }

    /// The value of a field that says something.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, value)| key == name && !value.trim().is_empty());
        found.map(|(_, value)| value.trim())
    }
}
