//! Names in the file: their form, and the prefix that is the relay's.

use serde_saphyr::Spanned;

use super::error::Problems;
use crate::event::Name;

/// A name that something of the file gets; `None` and a problem when it is none.
pub(crate) fn own(name: &Spanned<String>, what: &str, problems: &mut Problems<'_>) -> Option<Name> {
    match name.value.parse::<Name>() {
        Ok(good) if good.is_reserved() => {
            problems.add(
                name.referenced,
                format!("`{good}`: names that begin with `milkrun.` belong to the relay; give the {what} another"),
            );
            None
        }
        Ok(good) => Some(good),
        Err(error) => {
            problems.add(name.referenced, error.to_string());
            None
        }
    }
}

/// The topic that a subscription names; it may be the one of the relay's notices.
pub(crate) fn subscribed(name: &Spanned<String>, problems: &mut Problems<'_>) -> Option<Name> {
    let notices = Name::notices();
    if name.value == notices.as_str() { Some(notices) } else { own(name, "topic", problems) }
}

/// Notes the second of two equal names.
pub(crate) fn unique<'a>(
    names: impl IntoIterator<Item = &'a Spanned<String>>,
    what: &str,
    problems: &mut Problems<'_>,
) {
    let mut seen = std::collections::HashMap::new();
    for name in names {
        if let Some(first) = seen.insert(&name.value, name.referenced.line()) {
            problems.add(
                name.referenced,
                format!("there is a {what} `{}` already, in line {first}", name.value),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn of_the_relays_own_topics_notices_can_be_subscribed_to() {
        let parse = |topic: &str| {
            let text = format!(
                "subscriptions: [{{ name: s, topic: {topic}, webhook: {{ url: \"https://a.example/\" }} }}]\n"
            );
            crate::config::parse(&text, "m.yaml", |_| None).map(|config| config.subscriptions)
        };
        assert_eq!(parse("milkrun.notices").unwrap()[0].topics[0].as_str(), "milkrun.notices");
        assert!(parse("milkrun.other").is_err());
    }
}
