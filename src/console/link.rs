//! Every URL of the console: the prefix of `public_url` stands before each.

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::assets;

/// What a segment of a path, or a value of a query, may have in it as it is.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Makes URLs; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    prefix: Arc<str>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "templates hand fields over by reference")]
impl Links {
    /// Links behind `prefix`, which has no slash at its end.
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }

    /// A path of the relay as a browser reaches it.
    pub(crate) fn to(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// A file of the console; its content is in the URL, so that it can be kept for ever.
    pub(crate) fn asset(&self, name: &str) -> String {
        self.to(&format!("/console/assets/{}/{name}", assets::hash()))
    }

    /// A page with its query as it stands.
    pub(crate) fn page(&self, path: &str) -> String {
        self.to(&format!("/console/{path}"))
    }

    /// The page of a topic.
    pub(crate) fn topic(&self, topic: &str) -> String {
        self.page(&format!("topics/{}", segment(topic)))
    }

    /// The page of an event.
    pub(crate) fn event(&self, topic: &str, version: &u64) -> String {
        self.page(&format!("topics/{}/events/{version}", segment(topic)))
    }

    /// The page of a subscription.
    pub(crate) fn subscription(&self, name: &str) -> String {
        self.page(&format!("subscriptions/{}", segment(name)))
    }

    /// The page of a source.
    pub(crate) fn source(&self, name: &str) -> String {
        self.page(&format!("sources/{}", segment(name)))
    }

    /// Where `/` and the cookies of the console are.
    pub(crate) fn root(&self) -> String {
        self.to("/")
    }
}

/// A text as one segment of a path or one value of a query.
pub(crate) fn segment(text: &str) -> String {
    utf8_percent_encode(text, KEPT).to_string()
}

/// A query string of what is given, with its `?`; empty when nothing is.
pub(crate) fn query(pairs: &[(&str, &str)]) -> String {
    let given = pairs.iter().filter(|(_, value)| !value.is_empty());
    let text: Vec<String> =
        given.map(|(name, value)| format!("{name}={}", segment(value))).collect();
    if text.is_empty() { String::new() } else { format!("?{}", text.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_segment() {
        let links = Links::new("/milkrun");
        assert_eq!(
            links.topic("a/../b?c#d\"'"),
            "/milkrun/console/topics/a%2F..%2Fb%3Fc%23d%22%27"
        );
        assert_eq!(Links::new("").event("orders", &7), "/console/topics/orders/events/7");
        assert_eq!(query(&[("a", ""), ("b", "1 & 2")]), "?b=1%20%26%202");
        assert_eq!(query(&[("a", "")]), "");
    }
}
