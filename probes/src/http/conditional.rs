//! Conditional requests: what an answer is known by, and when that may be used.
//!
//! Validators belong to one exact request and one configuration, and they age: a producer that
//! wrongly answers 304 is believed for `validators.max_age` at most, and never when an operator or
//! a start wants to see for itself.

use http::{HeaderMap, header};
use jiff::Timestamp;

use super::{
    HttpProbe,
    edge::hash,
    excerpt::lossy,
    request::Asking,
    walk::{Mark, Place, Validators},
};
use crate::{
    Ask, FieldErrors, Next, Pace, Page, Walk,
    moment::{Moment, Reading},
};

impl HttpProbe {
    /// What the first page's answer is known by, for a conditional request.
    pub(super) fn validators(request: String, headers: &HeaderMap, now: Timestamp) -> Validators {
        let text = |name| headers.get(name).map(lossy);
        let etag = text(header::ETAG);
        // RFC 9110, section 8.8.2.2: a date of the same second may hide a later change.
        let seconds = |name| {
            let date = Moment::read(&text(name)?, &Reading::default()).ok()?;
            Some(date.timestamp().as_second())
        };
        let settled = seconds(header::LAST_MODIFIED)
            .is_some_and(|modified| seconds(header::DATE).is_some_and(|date| date > modified));
        let modified = text(header::LAST_MODIFIED).filter(|_| settled && etag.is_none());
        Validators { request, etag, modified, at: now.as_second() }
    }

    /// What a request is known by.
    pub(super) fn request_id(&self, asking: &Asking, mark: &Mark) -> String {
        format!("{:032x}", hash(self.spec.identity(asking, mark).as_bytes()))
    }

    /// The validators that may make the request at `mark` conditional.
    pub(super) fn usable<'p>(
        &self,
        place: Option<&'p Place>,
        mark: &Mark,
        request: &str,
        ask: &Ask<'_>,
    ) -> Option<&'p Validators> {
        let place = place.filter(|place| {
            mark.pages == 0 && mark.lost.is_none() && place.config == self.config
        })?;
        let max_age = self.spec.validators.max_age()?.as_secs();
        let (now, since) = (ask.now.as_second(), ask.validators_since.as_second());
        // One that is older than it may be, or younger than now: the clock went back.
        let aged = |at: i64| {
            at < since || at > now || u64::try_from(now - at).is_ok_and(|age| age >= max_age)
        };
        place.validators.as_ref().filter(|known| known.request == request && !aged(known.at))
    }
}

/// A successful walk that found nothing.
pub(super) fn unchanged(place: Place, said: Pace) -> Page {
    let place = Place { refused: 0, announced: false, ..place };
    let walk = Walk {
        cursor: place.write(),
        gap: None,
        unchanged: true,
        stopped_by: "not_modified",
        warnings: Vec::new(),
    };
    ended(walk, said)
}

/// An answer without a page, by which the walk is complete.
pub(super) fn ended(walk: Walk, said: Pace) -> Page {
    Page {
        next: Next::Done(walk),
        pace: said,
        drafts: Vec::new(),
        rejected: Vec::new(),
        field_errors: FieldErrors::default(),
        learnt: None,
        items: 0,
        others: Vec::new(),
        exchange: None,
        held: None,
    }
}
