//! What of a bundle is not for the eyes of others.

use serde_json::Value;
use url::Url;

/// What begins the secrets that Milkrun makes or knows, up to what cannot be of one.
const SECRETS: [&str; 5] = ["whsec_", "whsk_", "mk_", "Bearer ", "bearer "];

/// The relay logs no secret; what others wrote into the file may have some.
pub(super) fn log(text: &str) -> String {
    let mut out = text.to_owned();
    for prefix in SECRETS {
        let mut parts = out.split(prefix);
        let mut kept = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let is_of_it = |c: char| c.is_ascii_alphanumeric() || "+/=_-.~".contains(c);
            kept.push_str(prefix);
            kept.push_str("***");
            kept.push_str(part.trim_start_matches(is_of_it));
        }
        out = kept;
    }
    out
}

/// Settings without the values of headers, parameters and credentials, which may stand in a file as
/// they are.
pub(super) fn settings(yaml: &str) -> Result<String, String> {
    let mut tree: Value = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
    hide(&mut tree);
    serde_saphyr::to_string(&tree).map_err(|error| error.to_string())
}

/// An answer of the API likewise; what is no JSON has none of them.
pub(super) fn answer(text: String) -> String {
    let Ok(mut tree) = serde_json::from_str(&text) else { return text };
    hide(&mut tree);
    tree.to_string()
}

fn hide(tree: &mut Value) {
    match tree {
        Value::Object(fields) => {
            for (name, value) in fields {
                if matches!(name.as_str(), "headers" | "query" | "auth") {
                    hide_all(value);
                } else {
                    hide(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::String(text) => *text = without_query(text),
        _ => {}
    }
}

/// Every value below, but for where it is kept.
fn hide_all(tree: &mut Value) {
    match tree {
        Value::Object(fields) => {
            let values =
                fields.iter_mut().filter(|(name, _)| !matches!(name.as_str(), "env" | "file"));
            values.for_each(|(_, value)| hide_all(value));
        }
        Value::Array(items) => items.iter_mut().for_each(hide_all),
        Value::Null => {}
        other => *other = "***".into(),
    }
}

/// A URL without its user and the values of its query; any other text as it is.
fn without_query(text: &str) -> String {
    let is_url = text.contains("://") && (text.contains('?') || text.contains('@'));
    let Some(mut url) = is_url.then(|| Url::parse(text).ok()).flatten() else {
        return text.to_owned();
    };
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    if url.query().is_some() {
        url.set_query(Some("***"));
    }
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_masked() {
        let text = "a whsec_MDEy= b Bearer abc.def c mk_1_2\nend";
        assert_eq!(log(text), "a whsec_*** b Bearer *** c mk_***\nend");
        assert_eq!(log("nothing"), "nothing");
    }

    #[test]
    fn values_of_headers_and_queries_are_masked_wherever_they_stand() {
        let yaml = "webhook:\n  url: https://me:pw@a.example/b?c=d#e\n  headers: { x: [y, {z: 1}] }\n  secret: { env: S }\n";
        let shown = settings(yaml).unwrap();
        for hidden in ["pw", "c=d", "y", "1"] {
            assert!(!shown.contains(hidden), "{hidden}: {shown}");
        }
        assert!(shown.contains("https://a.example/b?***") && shown.contains("env: S"), "{shown}");
        assert_eq!(
            answer(r#"{"url":"http://a.example/"}"#.into()),
            r#"{"url":"http://a.example/"}"#
        );
        assert_eq!(answer("not JSON".into()), "not JSON");
    }
}
