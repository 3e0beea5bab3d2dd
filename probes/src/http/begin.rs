//! Where a walk begins, and where it goes on.

use jiff::Timestamp;

use super::{
    HttpProbe,
    failing::help,
    order::FieldKind,
    rules::{Lost, Start},
    walk::{Mark, Place, Step},
};
use crate::{Ask, Failure, FailureKind};

impl HttpProbe {
    /// The mark that a walk goes on from, or of one that begins.
    pub(super) fn resume(&self, place: Option<&Place>, ask: &Ask<'_>) -> Result<Mark, Failure> {
        let Some(text) = ask.mark else { return Ok(self.begin(place, ask.now)) };
        let mark: Mark = serde_json::from_str(text).map_err(|error| {
            let problem = format!("the mark of the walk is unreadable: {error}");
            let failure = Self::failure(FailureKind::Malformed, &problem);
            Failure { restart: true, ..self.unsent(failure) }
        })?;
        if let Some((kind, problem)) = &mark.blocked {
            let foreign = kind == FailureKind::ForeignLink.as_str();
            let kind = if foreign { FailureKind::ForeignLink } else { FailureKind::Malformed };
            let problem =
                format!("the page after page {} cannot be asked for: {problem}", mark.pages);
            return Err(self.unsent(Failure { help: help(kind), ..Self::failure(kind, &problem) }));
        }
        Ok(mark)
    }

    /// The mark of a walk that begins now.
    fn begin(&self, place: Option<&Place>, now: Timestamp) -> Mark {
        let mut mark = Mark::default();
        let place = match place {
            // Its loss was told of, and only the producer or an operator can mend it.
            Some(place)
                if place.goes_without() && !(place.announced && self.spec.lost == Lost::Fail) =>
            {
                mark.lost = Some(self.spec.lost);
                mark.skip = self.spec.lost == Lost::Latest;
                mark.prior(place.clone())
            }
            Some(place) if !place.anew => place.clone(),
            _ => {
                let mut first = Place::default();
                match &self.spec.start {
                    Start::Earliest => {}
                    Start::Now => mark.skip = true,
                    Start::Cursor(value) => first.value = Some(value.clone()),
                    Start::Ago(period) => {
                        first.since = now.checked_sub(period.0).ok().map(|at| at.to_string());
                    }
                }
                first
            }
        };
        mark.since.clone_from(&place.since);
        let cursor = self.spec.cursor.kind();
        let value = match self.spec.cursor.max_field() {
            Some(rule) => {
                let timed = rule.kind == FieldKind::Time;
                self.floor(&place).or_else(|| place.since.clone().filter(|_| timed))
            }
            None => place.value.clone(),
        };
        if self.spec.sends_cursor() {
            mark.sent = value.as_deref().map(|value| cursor.sent(value));
        }
        mark.step = match value {
            Some(value) if cursor.is_url() => Some(Step::Url(value)),
            _ => self.spec.pages.kind().first(),
        };
        mark
    }
}
