//! Where reading or sending begins, spelled in one way: `--after`, `--at`, `--since`.

use reqwest::Method;

use super::{Failure, client::Client, output::say, when};
use crate::{clock::Clock, event::Position};

/// The options of a place in a topic.
#[derive(Debug, Default, clap::Args)]
#[group(id = "place", multiple = false)]
pub(super) struct Place {
    /// From the event after this version or cursor on.
    #[arg(long, value_name = "N")]
    after: Option<String>,
    /// From this event on: a version, a cursor, earliest or latest.
    #[arg(long, value_name = "N")]
    at: Option<String>,
    /// From what was recorded since: 10m ago, or a time.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// The former name of the three.
    #[arg(long, hide = true)]
    from: Option<String>,
}

impl Place {
    /// The former way to name it.
    pub(super) fn or_from(self, from: Option<String>) -> Self {
        Self { from: self.from.or(from), ..self }
    }

    /// As the API has it, `from`: the first event wanted. `None`: none was said.
    ///
    /// # Errors
    /// A cursor is of another history, or nobody knows of which topic it is.
    pub(super) async fn first(
        self,
        client: &Client,
        subscription: &str,
        topic: Option<&str>,
    ) -> Result<Option<String>, Failure> {
        let now = Clock::system().now();
        if let Some(from) = self.from {
            say(&format!("milkrun: this is said as `{}` now", modern(&from)));
            return Ok(Some(when::past(&from, now)));
        }
        if let Some(after) = self.after {
            return behind(client, subscription, topic, &after).await.map(Some);
        }
        Ok(self.at.or_else(|| self.since.map(|since| when::past(&since, now))))
    }
}

/// What a former `from` is called.
fn modern(from: &str) -> String {
    let is_place = matches!(from, "earliest" | "latest") || from.parse::<Position>().is_ok();
    format!("{} {from}", if is_place { "--at" } else { "--since" })
}

/// The event behind a version or a cursor. A cursor may be the head, behind which there is none yet, so
/// reading tells whether its history is still the topic's.
async fn behind(
    client: &Client,
    subscription: &str,
    topic: Option<&str>,
    after: &str,
) -> Result<String, Failure> {
    let wrong = || Failure::usage(format!("`--after {after}`: expected a version or a cursor"));
    let position: Position = after.parse().map_err(|_| wrong())?;
    if position.epoch.is_some() {
        let topic = match topic {
            Some(topic) => topic.to_owned(),
            None => only_topic(client, subscription).await?,
        };
        let query = [("after", after.to_owned()), ("limit", "1".to_owned())];
        client.text(Method::GET, &["v1", "topics", &topic, "events"], &query, None).await?;
    }
    Ok(position.version.next().to_string())
}

async fn only_topic(client: &Client, subscription: &str) -> Result<String, Failure> {
    let view = client.get(&["v1", "subscriptions", subscription], &[]).await?;
    match view["positions"].as_array().map_or(&[][..], Vec::as_slice) {
        [one] => Ok(one["topic"].as_str().unwrap_or_default().to_owned()),
        _ => Err(Failure::usage("a cursor is of one topic: say which by --topic")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_word_for_a_place_is_told() {
        for (from, new) in [
            ("earliest", "--at earliest"),
            ("42", "--at 42"),
            ("6661905f-42", "--at 6661905f-42"),
            ("2026-01-31T12:00:00Z", "--since 2026-01-31T12:00:00Z"),
            ("10m", "--since 10m"),
        ] {
            assert_eq!(modern(from), new);
        }
    }
}
