//! One request, one page.

use async_trait::async_trait;
use http::StatusCode;
use jiff::Timestamp;

use super::{
    body::{Body, clean, content_type},
    conditional::{ended, unchanged},
    cursor::Learning,
    edge::hash_all,
    end::{Read, Turn},
    failing::help,
    fetch::{Answer, Fault, fetch},
    pace::pace,
    pages::Turning,
    probe::HttpProbe,
    request::{Asking, request, shown},
    walk::{Carried, Mark, Place, Validators},
};
use crate::{
    Ask, Budget, Exchange, Failure, FailureKind, Listed, Network, Next, Pace, Page, Probe,
    extract::{Fields, Path},
};

/// The most pages of a walk that are recognised when they come again.
const SEEN_MAX: usize = 1_000;
/// What helps where no item has an id.
const NAMELESS_HELP: &str = "the API may have changed: set `http.id` to a field that each item has";

impl HttpProbe {
    /// Whether the answer is one to wait for, or a failure, by the rules of the source.
    fn judge(&self, place: Option<&Place>, mark: &Mark, answer: &Answer) -> Result<(), Failure> {
        let holds = |field: &str, rule: &str| {
            let held = self.rules.holds(rule, answer.status, &answer.headers, &answer.body);
            held.map_err(|error| {
                Self::failure(FailureKind::Malformed, &format!("{field}: {error}"))
            })
        };
        let waits = match &self.spec.wait_when {
            None => answer.status == StatusCode::ACCEPTED,
            Some(rule) => holds("wait_when", rule)?,
        };
        if waits {
            return Err(Self::waiting(answer.status));
        }
        if !answer.status.is_success() {
            return Err(self.refused(place, mark, answer.status, &answer.headers));
        }
        if let Some(rule) = &self.spec.fail_when
            && holds("fail_when", rule)?
        {
            let said = self.excerpt(&answer.body);
            let problem = format!("the page is an error by `fail_when`: {said}");
            let failure = Self::failure(FailureKind::ErrorPage, &problem);
            return Err(self.suspect(place, mark, failure));
        }
        Ok(())
    }

    fn waiting(status: StatusCode) -> Failure {
        let problem = format!("answered {status}: the list is not ready yet");
        Self::failure(FailureKind::Waiting, &problem)
    }

    /// Reads an answer that is a success.
    fn read(
        &self,
        place: Option<&Place>,
        mut mark: Mark,
        asked: &(Asking, String),
        mut answer: Answer,
        ask: &Ask<'_>,
    ) -> Result<Page, Failure> {
        self.judge(place, &mark, &answer)?;
        self.without(place, &mark)?;
        if answer.text.contains('\u{feff}') {
            answer.text = clean(&answer.text);
            answer.body = answer.text.clone().into_bytes();
        }
        let failed = |fault: Fault| Self::failure(fault.kind, &fault.problem);
        let body = Body::read(&answer);
        let max = self.spec.limits.items_max;
        let items = body.items(&self.spec.items, &self.items, max).map_err(|fault| {
            // Accepted, and no list: it is not ready, whatever else is waited for.
            let waits = answer.status == StatusCode::ACCEPTED;
            if waits { Self::waiting(answer.status) } else { failed(fault) }
        })?;
        if answer.warnings.is_empty() && content_type(&answer.headers).contains("html") {
            mark.warn(format!(
                "the answer says it is `{}`, and is JSON",
                content_type(&answer.headers)
            ));
        }
        answer.warnings.iter().for_each(|warning| mark.warn(warning.clone()));

        let repeated = Self::note_page(&mut mark, &items);
        let prior = mark.prior(self.standing(place));
        // Newest first, items that moved down are listed again: the last time is their place.
        let found = if repeated && self.spec.listed != Listed::NewestFirst {
            super::take::Found::default()
        } else {
            self.take(&prior, &mut mark, &items, &answer.body, ask.now)
        };
        if let Some((reason, count)) = &found.nameless
            && *count == items.len()
            && *count > 1
        {
            // Without their number: the words stay the same while the same is wrong.
            let problem = format!("no item of the page has an id: {reason}");
            let failure = Self::failure(FailureKind::Malformed, &problem);
            return Err(Failure { help: Some(NAMELESS_HELP.into()), ..failure });
        }
        let learnt = (!found.drafts.is_empty()).then(|| self.learnt(place, &mark)).flatten();
        let turn = self.follow(&mut mark, asked, &body, &items, repeated, ask.now);
        mark.items += items.len() as u64;
        let mut said = pace(&answer.headers, ask.now);
        let next = match turn {
            Turn::Done(reason) => Next::Done(self.complete(prior, mark, reason)),
            Turn::On(step) => {
                mark.step = Some(step);
                Next::Page(mark.write())
            }
            Turn::Again(pause_s) => {
                // It is the same page once more: neither pages nor items are counted twice.
                mark.pages -= 1;
                mark.items -= items.len() as u64;
                said.retry_after_s = said.retry_after_s.max(Some(pause_s));
                Next::Page(mark.write())
            }
            Turn::Blocked(kind, problem) => {
                mark.block(kind.as_str(), problem);
                Next::Page(mark.write())
            }
        };
        let others = if ask.explain { body.others(&self.items) } else { Vec::new() };
        Ok(Page {
            items: items.len(),
            drafts: found.drafts,
            rejected: found.rejected,
            field_errors: found.errors,
            next,
            learnt,
            pace: said,
            others,
            exchange: None,
            held: Some(answer.held),
        })
    }

    /// Notes what the page says of the cursor and of the next page, and what follows.
    fn follow(
        &self,
        mark: &mut Mark,
        asked: &(Asking, String),
        body: &Body<'_>,
        items: &[&serde_json::value::RawValue],
        repeated: bool,
        now: Timestamp,
    ) -> Turn {
        let raw_id = |path: Option<&Path>, fields: &Fields<'_>| self.reader.raw_id(path, fields);
        let turning = Turning { body, raw_id: &raw_id, items, mark };
        let carried = match self.spec.pages.kind().next(&turning) {
            Carried::End("single_page") => self.spec.cursor.kind().next(body),
            carried => carried,
        };
        let url = &asked.0.target;
        let next = self.step(url, mark, carried);
        let link = |link: &str| self.spec.link(url, link);
        let step = match &next {
            Turn::On(step) => Some(step),
            _ => None,
        };
        if mark.pages == 0 && self.spec.validators.max_age().is_some() {
            mark.validators = Some(Self::validators(asked.1.clone(), body.headers, now));
        }
        self.spec.cursor.kind().page(&Learning { url, body, link: &link, step }, mark);
        if items.is_empty()
            && let Some(complaint) = body.complaint()
        {
            mark.warn(format!(
                "the page has no items and says {}; `fail_when: {}` makes that a failure",
                complaint.said, complaint.rule
            ));
            mark.validators = None;
        }
        mark.pages += 1;
        if !items.is_empty() {
            mark.empty = 0;
            mark.doubts = 0;
        }
        if !repeated {
            mark.repeats = 0;
        }
        let step = mark.step.clone();
        let read = Read { body, items: items.len(), repeated, asked: step.as_ref() };
        let turn = self.turn(&read, mark, next);
        match mark.blocked.take() {
            Some((_, problem)) if matches!(turn, Turn::Done(_)) => {
                Turn::Blocked(FailureKind::ForeignLink, problem)
            }
            _ => turn,
        }
    }

    /// Whether the walk had this page before; notes it otherwise.
    fn note_page(mark: &mut Mark, items: &[&serde_json::value::RawValue]) -> bool {
        if items.is_empty() {
            return false;
        }
        let print = format!("{:016x}", hash_all(items.iter().map(|item| item.get())) >> 64);
        if mark.seen.contains(&print) {
            return true;
        }
        mark.seen.push(print);
        let forgotten = mark.seen.len().saturating_sub(SEEN_MAX);
        mark.seen.drain(..forgotten);
        false
    }

    /// Sends a request and answers with what came, and how it looked.
    async fn send(
        &self,
        network: &Network,
        budget: &Budget,
        asking: &Asking,
        validators: Option<&Validators>,
    ) -> (Exchange, Result<Answer, Failure>) {
        let request = request(asking, validators);
        let mut exchange = Exchange {
            method: request.method().to_string(),
            url: self.secrets.hide(&self.spec.masked(&asking.target)),
            headers: shown(request.headers()),
            body: asking.body.as_ref().map(|body| self.secrets.hide(&body.to_string())),
            ..Exchange::default()
        };
        let (limits, timeout) = (&self.spec.limits, self.spec.timeout);
        let answer = fetch(network, budget, request, limits, self.charset, timeout).await;
        let seen = match &answer {
            Ok(answer) => Some((answer.status, &answer.headers, answer.body.len(), &answer.body)),
            Err(fault) => fault.seen.as_deref().map(|seen| {
                let bytes = usize::try_from(seen.bytes).unwrap_or(usize::MAX);
                (seen.status, &seen.headers, bytes, &seen.first)
            }),
        };
        if let Some((status, headers, bytes, first)) = seen {
            exchange.status = Some(status.as_u16());
            exchange.content_type = content_type(headers);
            exchange.bytes = bytes;
            exchange.first = self.excerpt(first);
        }
        let answer = answer.map_err(|fault| Self::failure(fault.kind, &fault.problem));
        (exchange, answer)
    }

    /// Makes the request that `ask` wants, and reads the answer.
    async fn asked(
        &self,
        network: &Network,
        budget: &Budget,
        ask: Ask<'_>,
    ) -> Result<Page, Failure> {
        let place = ask.cursor.map(|text| self.known(text));
        let mark = self.resume(place.as_ref(), &ask)?;
        let asking = self.spec.asking(&mark, &self.headers).map_err(|(kind, problem)| {
            self.unsent(Failure { help: help(kind), ..Self::failure(kind, &problem) })
        })?;
        let request_id = self.request_id(&asking, &mark);
        let validators = self.usable(place.as_ref(), &mark, &request_id, &ask);
        let (mut exchange, answer) = self.send(network, budget, &asking, validators).await;
        let mut said = Pace::default();
        let page = answer.and_then(|answer| {
            said = pace(&answer.headers, ask.now);
            if answer.status == StatusCode::NOT_MODIFIED && validators.is_some() {
                return Ok(unchanged(place.clone().unwrap_or_default(), said));
            }
            if mark.pages > 0 && self.spec.stop.status == Some(answer.status.as_u16()) {
                let prior = mark.prior(self.standing(place.as_ref()));
                return Ok(ended(self.complete(prior, mark, "status"), said));
            }
            self.read(place.as_ref(), mark, &(asking, request_id), answer, &ask)
        });
        match page {
            Ok(mut page) => {
                exchange.items = page.items;
                page.exchange = Some(exchange);
                Ok(page)
            }
            Err(failure) => {
                let mut failure = failure.at(&exchange.url);
                failure.help = failure.help.or_else(|| help(failure.kind));
                failure.pace = said;
                failure.exchange = Some(Box::new(exchange));
                Err(failure)
            }
        }
    }
}

#[async_trait]
impl Probe for HttpProbe {
    fn listed(&self) -> Listed {
        self.spec.listed
    }

    async fn page(
        &self,
        network: &Network,
        budget: &Budget,
        ask: Ask<'_>,
    ) -> Result<Page, Failure> {
        self.mask(self.asked(network, budget, ask).await)
    }

    fn check_cursor(&self, cursor: &serde_json::Value) -> Result<(), String> {
        self.check_given(cursor)
    }
}
