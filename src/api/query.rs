//! Query parameters: unknown ones are refused with the nearest valid name, values are checked.

use std::{str::FromStr, time::Duration};

use axum::extract::FromRequestParts;
use http::request::Parts;

use probes::period::Period;

use super::problem::Problem;
use crate::{event::Micros, nearest::nearest};

/// The entries of a list when none are asked for.
pub(super) const LIMIT_DEFAULT: usize = 100;
/// The most entries of a list.
pub(super) const LIMIT_MAX: usize = 1_000;

/// The parameters of one request, as given.
#[derive(Debug, Clone, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

impl Query {
    /// The pairs of a query string.
    #[must_use]
    pub(super) fn parse(text: &str) -> Self {
        Self(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// Refuses a name that is not among `known`, and one that is given twice.
    pub(super) fn allow(&self, known: &[&str]) -> Result<(), Problem> {
        self.allow_repeated(known, None)
    }

    /// As [`allow`](Self::allow), but for one name that may stand there several times.
    pub(super) fn allow_repeated(
        &self,
        known: &[&str],
        repeated: Option<&str>,
    ) -> Result<(), Problem> {
        for (index, (name, _)) in self.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let hint = suggestion(name, known);
                let detail = format!("unknown query parameter `{}`{hint}", cut(name));
                return Err(Problem::parameter(&cut(name), detail));
            }
            let is_single = repeated != Some(name);
            if is_single && self.0[..index].iter().any(|(earlier, _)| earlier == name) {
                let detail = format!("query parameter `{name}` is given twice");
                return Err(Problem::parameter(name, detail));
            }
        }
        Ok(())
    }

    /// Whether nothing is asked for, but perhaps `name`.
    #[must_use]
    pub(super) fn is_empty_but(&self, name: &str) -> bool {
        self.0.iter().all(|(key, _)| key == name)
    }

    /// The value of a parameter.
    #[must_use]
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a parameter.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter, read as a `T`; the error names the parameter.
    pub(super) fn read<T>(&self, name: &str) -> Result<Option<T>, Problem>
    where
        T: FromStr<Err: std::fmt::Display>,
    {
        self.get(name)
            .map(|text| {
                text.parse().map_err(|error| {
                    let detail = format!("`{name}={}`: {error}", cut(text));
                    Problem::parameter(name, detail)
                })
            })
            .transpose()
    }

    /// The id in `name`.
    pub(super) fn id(&self, name: &str) -> Result<Option<i64>, Problem> {
        self.get(name)
            .map(|text| text.parse().map_err(|_| expected(name, text, "an id")))
            .transpose()
    }

    /// The moment in `name`.
    pub(super) fn moment(&self, name: &str) -> Result<Option<Micros>, Problem> {
        let what = "RFC 3339, as 2026-01-31T12:00:00Z";
        self.get(name).map(|text| text.parse().map_err(|_| expected(name, text, what))).transpose()
    }

    /// The number in `name`, from `least` to `most`.
    pub(super) fn number(
        &self,
        name: &str,
        least: usize,
        most: usize,
    ) -> Result<Option<usize>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match text.parse::<usize>() {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(expected(name, text, &format!("a number from {least} to {most}"))),
        }
    }

    /// `limit` of a list.
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        Ok(self.number("limit", 1, LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT))
    }

    /// The duration in `name`, at most `most`.
    pub(super) fn duration(&self, name: &str, most: Duration) -> Result<Option<Duration>, Problem> {
        match self.read::<Period>(name)? {
            Some(period) if period.0 > most => {
                Err(Problem::parameter(name, format!("`{name}` is at most {} s", most.as_secs())))
            }
            period => Ok(period.map(|period| period.0)),
        }
    }

    /// The truth in `name`: `true` or `false`.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(expected(name, other, "`true` or `false`")),
        }
    }

    /// The query string of the page behind `after`: that instead of any other beginning, as those
    /// that `beginnings` names are.
    #[must_use]
    pub(super) fn next_page(&self, after: &str, beginnings: &[&str]) -> String {
        let mut out = url::form_urlencoded::Serializer::new(String::new());
        let begins = |key: &str| key == "after" || beginnings.contains(&key);
        for (key, given) in self.0.iter().filter(|(key, _)| !begins(key)) {
            out.append_pair(key, given);
        }
        out.append_pair("after", after);
        out.finish()
    }
}

fn expected(name: &str, given: &str, what: &str) -> Problem {
    Problem::parameter(name, format!("`{name}={}`: expected {what}", cut(given)))
}

/// `; did you mean …?`, or the list of what is known.
#[must_use]
pub(super) fn suggestion(given: &str, known: &[&str]) -> String {
    match nearest(&cut(given), known.iter().copied()) {
        Some(name) => format!("; did you mean `{name}`?"),
        None if known.is_empty() => "; none are known here".to_owned(),
        None => format!("; known are `{}`", known.join("`, `")),
    }
}

/// At most 60 characters of what was given.
#[must_use]
pub(super) fn cut(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Position;

    fn detail<T: std::fmt::Debug>(result: Result<T, Problem>) -> String {
        result.unwrap_err().detail
    }

    #[test]
    fn unknown_names_are_refused_with_the_nearest() {
        let known = ["after", "limit", "wait"];
        assert!(Query::parse("after=1&limit=2").allow(&known).is_ok());
        assert_eq!(
            detail(Query::parse("aftr=1").allow(&known)),
            "unknown query parameter `aftr`; did you mean `after`?"
        );
        assert_eq!(
            detail(Query::parse("colour=1").allow(&known)),
            "unknown query parameter `colour`; known are `after`, `limit`, `wait`"
        );
        assert!(detail(Query::parse("after=1&after=2").allow(&known)).contains("twice"));
    }

    #[test]
    fn values_are_checked() {
        let read = |text| Query::parse(text).read::<Position>("after");
        assert_eq!(read("after=7").unwrap().unwrap().version.0, 7);
        assert!(detail(read("after=seven")).contains("neither a version"));
        for bad in ["limit=0", "limit=1001", "limit=-1", "limit=x", "limit="] {
            assert!(detail(Query::parse(bad).limit()).contains("from 1 to 1000"), "{bad}");
        }
        assert_eq!(Query::parse("").limit().unwrap(), 100);
        let wait = |text| Query::parse(text).duration("wait", Duration::from_mins(1));
        assert_eq!(wait("wait=30s").unwrap(), Some(Duration::from_secs(30)));
        assert!(detail(wait("wait=2m")).contains("at most 60 s"));
        assert!(wait("wait=soon").is_err());
        assert!(Query::parse("failed=yes").flag("failed").is_err());
    }

    #[test]
    fn the_next_page_keeps_the_other_parameters() {
        let query = Query::parse("type=a%20b&at=1");
        let next = query.next_page("0a1b2c3d-4", &["at", "since"]);
        assert_eq!(next, "type=a+b&after=0a1b2c3d-4");
        let query = Query::parse("since=2026-01-31T12:00:00Z&after=1");
        assert_eq!(query.next_page("2", &[]), "since=2026-01-31T12%3A00%3A00Z&after=2");
    }
}
