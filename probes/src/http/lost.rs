//! A status that is no success, and when it means that the producer forgot the cursor.
//!
//! A cursor is lost when the request with it is refused twice, goes through without it, and is
//! refused once more: an outage that ends meanwhile looks the same up to there. With `lost: fail`
//! the source then asks with the cursor only, and says the same at every poll until the producer
//! takes it again or an operator sets another.

use http::{HeaderMap, StatusCode, header};

use super::{
    HttpProbe,
    excerpt::lossy,
    pace::pace,
    rules::{Lost, Start},
    walk::{Mark, Place, Step},
};
use crate::{Failure, FailureKind, Gap};

/// What is said of a lost cursor, and what helps.
const LOST: &str = "the producer refuses the cursor, and answers without it: the cursor is lost; \
                    set a cursor, or `lost`";
const DOUBT: &str = "the producer refused the cursor twice, and answers without it: it is asked with \
                     the cursor once more";
const HELP: &str = "`milkrun sources cursor NAME --reset` starts anew and repeats nothing that the \
                    topic still knows; `lost: earliest`, `latest` or `full_walk` does it by itself";

/// Refusals before the request is tried without the cursor.
const TRIED_AT: u8 = 2;
/// It went through: asked with the cursor once more.
const DOUBTED: u8 = 3;
/// Refused then, too: whatever goes through without the cursor now is taken.
const LOST_AT: u8 = 4;

impl Place {
    /// Whether a walk goes without the cursor, to see or because it is lost.
    pub(super) fn goes_without(&self) -> bool {
        self.refused == TRIED_AT || self.refused >= LOST_AT
    }
}

impl HttpProbe {
    /// What a status that is no success means.
    pub(super) fn refused(
        &self,
        place: Option<&Place>,
        mark: &Mark,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Failure {
        let code = status.as_u16();
        let mut failure = Self::failure(
            FailureKind::Status(code),
            &format!("answered {status}: expected a success"),
        );
        failure.help = help(code);
        if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
            let target = headers.get(header::LOCATION).map(lossy).unwrap_or_default();
            let target = self.spec.url.join(&target);
            // Elsewhere a sign-in page waits, or somebody who must not get the credentials.
            let moved = target.as_ref().is_ok_and(|target| {
                matches!(code, 301 | 302 | 307 | 308)
                    && target.base().host_str() == self.spec.url.base().host_str()
            });
            let target = target.map(|target| target.hiding(|_, _| true).without_user().to_string());
            let target = target.unwrap_or_else(|_| "nowhere".into());
            failure.message = format!("answered {status} to {target}: redirects are not followed");
            failure.help = Some(if moved {
                format!("set `http.url` to {target}").into()
            } else {
                "look at `http.auth`: APIs lead to a sign-in page like this; if the API has moved, \
                 set `http.url`"
                    .into()
            });
        }
        if mark.pages > 0 && matches!(code, 404 | 416) {
            let past = "if the API answers so behind its last page, set `http.stop.status` to it";
            failure.help = Some(past.into());
        }
        // Who asks, and how often, are not about the cursor.
        let unknown = status.is_client_error() && !matches!(code, 401 | 407 | 408 | 425 | 429);
        // GitHub answers 403 when a quota is spent: only whether it says so counts, not until when.
        let is_spent =
            code == 403 && pace(headers, jiff::Timestamp::UNIX_EPOCH).retry_after_s.is_some();
        if unknown && !is_spent {
            self.suspect(place, mark, failure)
        } else {
            self.answered(place, mark, failure)
        }
    }

    /// A failure that may mean that the cursor or the mark is not known any more.
    pub(super) fn suspect(
        &self,
        place: Option<&Place>,
        mark: &Mark,
        mut failure: Failure,
    ) -> Failure {
        if mark.pages > 0 {
            // A refused token has to be had anew; an error page may be good the next time.
            failure.restart = matches!(failure.kind, FailureKind::Status(_));
        } else if mark.lost.is_some() {
            return self.answered(place, mark, failure);
        } else if self.carries(mark)
            && let Some(place) = place.cloned().or_else(|| self.started())
        {
            if place.announced && self.spec.lost == Lost::Fail {
                let said = std::mem::take(&mut failure.message);
                failure.kind = FailureKind::CursorLost;
                failure.message = format!("{LOST} (it {said})");
                failure.help = Some(HELP.into());
                return failure;
            }
            let refused = (place.refused + 1).min(LOST_AT);
            failure.cursor = Some(Place { refused, validators: None, ..place }.write());
        }
        failure
    }

    /// A failure that says nothing of the cursor. Without the cursor it is no better: it was not
    /// the cursor's fault.
    fn answered(&self, place: Option<&Place>, mark: &Mark, mut failure: Failure) -> Failure {
        if mark.pages == 0 && mark.lost.is_some() {
            failure.cursor = Some(Place { refused: 0, ..self.standing(place) }.write());
        }
        failure
    }

    /// The request went through without the cursor.
    ///
    /// # Errors
    /// It is not sure yet that the cursor is lost, or `lost: fail` was asked for.
    pub(super) fn without(&self, place: Option<&Place>, mark: &Mark) -> Result<(), Failure> {
        let Some(lost) = mark.lost.filter(|_| mark.pages == 0) else { return Ok(()) };
        let known = self.standing(place);
        if known.refused == TRIED_AT {
            let mut failure = Self::failure(FailureKind::CursorDoubted, DOUBT);
            failure.cursor = Some(Place { refused: DOUBTED, ..known }.write());
            return Err(failure);
        }
        if lost == Lost::Fail { Err(self.lost(place)) } else { Ok(()) }
    }

    fn lost(&self, place: Option<&Place>) -> Failure {
        let mut failure = Self::failure(FailureKind::CursorLost, LOST);
        failure.help = Some(HELP.into());
        let place = self.standing(place);
        if !place.announced {
            failure.gap = Some(Box::new(gap("cursor_lost", LOST)));
        }
        failure.cursor = Some(Place { announced: true, ..place }.write());
        failure
    }

    /// Whether a first request carries the cursor.
    fn carries(&self, mark: &Mark) -> bool {
        mark.sent.is_some()
            || (self.spec.cursor.kind().is_url() && matches!(mark.step, Some(Step::Url(_))))
    }

    /// The place that a cursor stands for.
    pub(super) fn known(&self, cursor: &str) -> Place {
        let place = Place::read(cursor);
        if !place.anew {
            return place;
        }
        let start = self.standing(None).value;
        Place { value: place.value.or(start), ..place }
    }

    /// The place that a walk starts at; without one, that of a first run.
    pub(super) fn standing(&self, place: Option<&Place>) -> Place {
        place.cloned().or_else(|| self.started()).unwrap_or_default()
    }

    /// The place of a first run that starts at a given cursor.
    pub(super) fn started(&self) -> Option<Place> {
        match &self.spec.start {
            Start::Cursor(value) => Some(Place { value: Some(value.clone()), ..Place::default() }),
            _ => None,
        }
    }
}

/// The setting that helps with a status.
fn help(code: u16) -> Option<Box<str>> {
    let text = match code {
        401 | 403 | 407 => "check `http.auth` and what the key may read",
        404 | 410 => "check `http.url`: `milkrun probe NAME --dry-run` shows the request",
        405 | 415 => "the producer may want a POST: set `http.body`",
        413 | 414 | 431 => "ask for less: a smaller page, fewer parameters",
        429 => "ask less often: `interval`",
        _ => return None,
    };
    Some(text.into())
}

/// A hole in what the producer showed.
pub(super) fn gap(reason: &'static str, detail: &str) -> Gap {
    Gap { reason, detail: detail.to_owned() }
}
