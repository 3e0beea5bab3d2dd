//! What a source is known by: its contract, its fingerprint, and its CloudEvents `source`.
//!
//! All three are stored and compared after upgrades, so they are made of canonical JSON (the names
//! of the file, keys in order) and never of a type's own text. A rule that is left at its default
//! is left out, so that a new setting changes nobody's identity.

use super::{
    cursor::CursorRule,
    secret_names::looks_secret,
    spec::{Auth, Credential, Spec},
    target::Target,
};
use serde::Serialize;
use serde_json::Value;
use siphasher::sip128::SipHasher13;

mod before;

#[derive(Serialize)]
struct Contract<'a> {
    kind: &'static str,
    url: &'a Target,
    cursor: &'a CursorRule,
}

impl Spec {
    /// Identifies kind, URL and cursor rule: a stored cursor is good for one contract only.
    #[must_use]
    pub fn contract(&self) -> String {
        identity(&Contract { kind: "http", url: &self.url, cursor: &self.cursor })
    }

    /// The contract as releases before 0.2 wrote it; `None` for a rule that they did not have.
    #[must_use]
    pub fn contract_before(&self) -> Option<String> {
        before::contract(self.url.url().as_str(), &self.cursor).map(|text| hash(&text))
    }

    /// Identifies the whole configuration but the values of secrets.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        identity(self)
    }

    /// The CloudEvents `source` of a source that names none: the URL with its query, without what
    /// is or looks like a credential. Two sources that differ in the query only have two.
    #[must_use]
    pub fn default_source(&self) -> String {
        let mut url = self.shown_url.as_ref().unwrap_or(&self.url).clone().without_user();
        for param in self.query.iter().filter(|param| !param.secret) {
            let mut shown = self.shown_query.iter().filter(|(name, _)| *name == param.name);
            url.set(&param.name, shown.next().map_or(&param.value, |(_, shown)| shown));
        }
        let key = match &self.auth {
            Auth::ApiKey { into: Credential::Query(name), .. } => Some(name.as_str()),
            _ => None,
        };
        url.remove(|name| {
            looks_secret(name)
                || key == Some(name)
                || self.query.iter().any(|param| param.secret && param.name == name)
        });
        url.to_string()
    }

    /// The default as releases before 0.2 had it, without the query: what their events are known by.
    #[must_use]
    pub fn default_source_before(&self) -> String {
        self.url.clone().without_user().base().to_string()
    }

    /// The CloudEvents `source` of its events.
    #[must_use]
    pub fn effective_source(&self) -> String {
        self.source.clone().unwrap_or_else(|| self.default_source())
    }
}

/// The hash of a value's canonical JSON.
fn identity(value: &impl Serialize) -> String {
    let mut value = serde_json::to_value(value).expect("texts, numbers and lists");
    sort(&mut value);
    hash(&value.to_string())
}

/// Puts the keys of every object in order, whatever order the JSON library keeps.
fn sort(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<(String, Value)> = std::mem::take(fields).into_iter().collect();
            sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
            for (_, value) in &mut sorted {
                sort(value);
            }
            fields.extend(sorted);
        }
        Value::Array(items) => items.iter_mut().for_each(sort),
        _ => {}
    }
}

/// 128 bits in hex of a text.
fn hash(text: &str) -> String {
    let value = SipHasher13::new().hash(text.as_bytes());
    format!("{:032x}", value.as_u128())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{
        BodyToken, FieldKind, HeaderCursor, LastId, LinkUrl, MaxField, Of, Param, Secret,
    };

    fn spec(url: &str) -> Spec {
        Spec::new(Target::parse(url).unwrap())
    }

    fn rules() -> Vec<CursorRule> {
        vec![
            CursorRule::None,
            CursorRule::LastId(LastId { query: Some("after".into()), ..LastId::default() }),
            CursorRule::LastId(LastId {
                query: Some("after".into()),
                of: Some(Of::First),
                path: Some("nr".into()),
                ..LastId::default()
            }),
            CursorRule::MaxField(MaxField {
                path: "at".into(),
                kind: FieldKind::Time,
                query: Some("since".into()),
                ..MaxField::default()
            }),
            CursorRule::BodyToken(BodyToken {
                path: "next".into(),
                query: Some("token".into()),
                ..BodyToken::default()
            }),
            CursorRule::LinkUrl(LinkUrl::default()),
            CursorRule::Header(HeaderCursor {
                name: "ETag".into(),
                query: Some("since".into()),
                ..HeaderCursor::default()
            }),
        ]
    }

    /// Stored cursors are known by these: a hash here that changes strands every source.
    #[test]
    fn identities_are_golden() {
        let known = |rule| {
            let spec = Spec { cursor: rule, ..spec("https://api.example.com/v1/orders?fixed=1") };
            format!("{} {}", spec.contract(), spec.contract_before().unwrap())
        };
        let known: Vec<String> = rules().into_iter().map(known).collect();
        assert_eq!(known, GOLDEN);
        assert_eq!(spec("https://api.example.com/v1/orders").fingerprint(), FINGERPRINT);
    }

    const GOLDEN: [&str; 7] = [
        "20267e1f749e53fcb409c030aecfe2b9 225b1bb8455efe40ac6ad6db2497a9a4",
        "74fa811f35e09ad6155592c39efd881c 3356f02296af323c4c10d51bddef8cfc",
        "ef171481948a23dd2178b97a692dbcd2 643a28d84244680d76eb8a0893d7b310",
        "fd89cdbf2f4720f6c47f2bf972332918 e5b468e705b868fa7ef94793610fbdb4",
        "57e285a559a7f8ed97a085bbdd13b0a3 114a6ca9c1349191b66ba6c5af10fc6a",
        "433a625e4505ad3264a9ef5f9b62aa9b 7b6118873c7e53c47b7b0161a32c7a3d",
        "89635ef05b614dc94862192136dfc0fc c532ba76e9aea39750b2430b0f5456f7",
    ];
    const FINGERPRINT: &str = "3e3a234eb616b37620b7de3c1eb8f152";

    #[test]
    fn the_default_source_has_the_query_without_secrets() {
        for (url, source) in [
            ("https://a.example/list", "https://a.example/list"),
            ("https://u:p@a.example/list?a=1&b=x%20y#f", "https://a.example/list?a=1&b=x%20y"),
            ("https://a.example/list?access_token=s&team=7", "https://a.example/list?team=7"),
            ("https://a.example/list?key=s", "https://a.example/list"),
            (
                "https://a.example/list?X-Amz-Signature=s&keyword=k",
                "https://a.example/list?keyword=k",
            ),
        ] {
            assert_eq!(spec(url).default_source(), source);
        }
        let mut given = spec("https://a.example/list");
        given.query = vec![Param::plain("team", "7"), Param::secret("who", "s3cret")];
        given.auth = Auth::ApiKey {
            into: Credential::Query("k".into()),
            prefix: None,
            value: Secret("s3cret".into()),
        };
        assert_eq!(given.default_source(), "https://a.example/list?team=7");
        assert_eq!(given.default_source_before(), "https://a.example/list");
    }

    #[test]
    fn a_fingerprint_shows_no_secret_and_follows_everything_else() {
        let with = |value: &str| {
            let query = vec![Param::secret("who", value)];
            Spec { query, ..spec("https://a.example/list") }.fingerprint()
        };
        assert_eq!(with("a"), with("b"));
        assert_ne!(with("a"), spec("https://a.example/list").fingerprint());
    }
}
