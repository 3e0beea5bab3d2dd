//! One request, one page: the probe itself.

use async_trait::async_trait;
use http::{HeaderMap, Method, StatusCode, header};
use jiff::Timestamp;

use super::{
    fetch::{Answer, Fault, fetch},
    item::Reader,
    request::{lossy, request, shown},
    rules::{CursorRule, FieldKind, Lost, Pages, Start},
    sheet::{Sheet, content_type, pace},
    spec::{Spec, SpecError},
    walk::{Mark, Place, Step, Validators, hash, hash_all},
};
use crate::{
    Budget, Cursor, Exchange, Failure, FailureKind, Gap, Listed, Mark as MarkText, Network, Next,
    Pace, Page, Probe, Walk, extract::Path,
};

/// The most pages of a walk that are recognised when they come again.
const SEEN_MAX: usize = 1_000;

/// An HTTP JSON producer.
#[derive(Debug)]
pub struct HttpProbe {
    pub(super) spec: Spec,
    pub(super) reader: Reader,
    pub(super) items: Path,
    /// Of `max_field`.
    pub(super) field: Option<Path>,
    pub(super) headers: HeaderMap,
    pub(super) config: String,
}

impl HttpProbe {
    /// A probe for what `spec` describes.
    ///
    /// # Errors
    /// Names the field that cannot be used, see [`Spec::check`].
    pub fn new(spec: Spec) -> Result<Self, SpecError> {
        spec.check()?;
        Ok(Self {
            reader: Reader::new(&spec)?,
            items: Path::new(&spec.items),
            field: match &spec.cursor {
                CursorRule::MaxField(rule) => Some(Path::new(&rule.path)),
                _ => None,
            },
            headers: spec.request_headers()?,
            config: spec.fingerprint(),
            spec,
        })
    }

    /// The failure of a request that was not sent.
    fn unsent(&self, failure: Failure) -> Failure {
        failure.at(&self.spec.masked(&self.spec.url))
    }

    /// A failure; [`Failure::at`] says of which page.
    pub(super) fn failure(kind: FailureKind, problem: &str) -> Failure {
        Failure {
            kind,
            message: problem.to_owned(),
            pace: Pace::default(),
            cursor: None,
            restart: false,
            gap: None,
            exchange: None,
        }
    }

    /// The mark of a walk that begins now.
    fn begin(&self, place: Option<&Place>, now: Timestamp) -> Mark {
        let mut mark = Mark::default();
        let place = match place {
            Some(place) if place.refused >= 2 => {
                mark.lost = Some(self.spec.lost);
                mark.skip = self.spec.lost == Lost::Latest;
                mark.prior(place.clone())
            }
            Some(place) => place.clone(),
            None => {
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
        let timed = self.max_field().is_some_and(|rule| rule.kind == FieldKind::Time);
        let value = match self.max_field() {
            Some(_) => self.floor(&place).or_else(|| place.since.clone().filter(|_| timed)),
            None => place.value.clone(),
        };
        if let (Some(name), Some(value)) = (self.spec.cursor_query(), &value) {
            mark.sent = Some((name.to_owned(), value.clone()));
        }
        mark.step = match (&self.spec.cursor, &self.spec.pages) {
            (CursorRule::LinkUrl(_), _) if value.is_some() => value.map(Step::Url),
            (_, Pages::PageNumber(rule)) => {
                Some(Step::Query(rule.query.clone(), rule.from.to_string()))
            }
            (_, Pages::Offset(rule)) => Some(Step::Query(rule.query.clone(), "0".into())),
            _ => None,
        };
        mark
    }

    /// Whether a first request carries the cursor.
    fn carries(&self, mark: &Mark) -> bool {
        mark.sent.is_some()
            || (matches!(self.spec.cursor, CursorRule::LinkUrl(_)) && mark.step.is_some())
    }

    /// What a status that is no success means.
    fn refused(
        &self,
        place: Option<&Place>,
        mark: &Mark,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Failure {
        let code = status.as_u16();
        let unknown = matches!(code, 400 | 404 | 410);
        let mut problem = format!("answered {status}: expected a success");
        if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
            let target = headers.get(header::LOCATION).map(lossy).unwrap_or_default();
            let target = self.spec.url.join(&target).map(|url| bare(&url));
            let target = target.unwrap_or_else(|_| "nowhere".into());
            problem =
                format!("answered {status} to {target}: redirects are not followed, set that URL");
        }
        let mut failure = Self::failure(FailureKind::Status(code), &problem);
        if mark.pages > 0 {
            failure.restart = unknown;
        } else if mark.lost.is_some() {
            let place = place.cloned().unwrap_or_default();
            failure.cursor = Some(Place { refused: 0, ..place }.write());
        } else if unknown
            && self.carries(mark)
            && let Some(place) = place.cloned().or_else(|| self.started())
        {
            let refused = (place.refused + 1).min(2);
            failure.cursor = Some(Place { refused, validators: None, ..place }.write());
        }
        failure
    }

    /// The place of a first run that starts at a given cursor.
    fn started(&self) -> Option<Place> {
        match &self.spec.start {
            Start::Cursor(value) => Some(Place { value: Some(value.clone()), ..Place::default() }),
            _ => None,
        }
    }

    /// The request went through without the cursor, and `lost: fail` was asked for.
    fn lost(place: Option<&Place>) -> Failure {
        let problem = "the producer refuses the cursor, and answers without it: the cursor is \
                       lost; set a cursor, or `lost`";
        let mut failure = Self::failure(FailureKind::CursorLost, problem);
        let place = place.cloned().unwrap_or_default();
        if !place.announced {
            failure.gap = Some(Box::new(gap("cursor_lost", problem)));
        }
        failure.cursor = Some(Place { refused: 1, announced: true, ..place }.write());
        failure
    }

    /// What the first page's answer is known by, for a conditional request.
    fn validators(&self, url: &url::Url, headers: &HeaderMap) -> Validators {
        let text = |name| headers.get(name).map(lossy);
        let etag = text(header::ETAG);
        // RFC 9110, section 8.8.2.2: a date of the same second may hide a later change.
        let seconds = |name| {
            let date = jiff::fmt::rfc2822::parse(&text(name)?).ok()?;
            Some(date.timestamp().as_second())
        };
        let settled = seconds(header::LAST_MODIFIED)
            .is_some_and(|modified| seconds(header::DATE).is_some_and(|date| date > modified));
        let modified = text(header::LAST_MODIFIED).filter(|_| settled && etag.is_none());
        Validators { request: self.request_id(url), etag, modified }
    }

    fn request_id(&self, url: &url::Url) -> String {
        format!("{:032x}", hash(self.spec.identity(url).as_bytes()))
    }

    /// Reads an answer that is a success.
    fn read(
        &self,
        place: Option<&Place>,
        mut mark: Mark,
        url: &url::Url,
        answer: Answer,
        now: Timestamp,
    ) -> Result<Page, Failure> {
        let said = pace(&answer.headers, now);
        let failed = |(kind, problem): Fault| {
            let mut failure = Self::failure(kind, &problem);
            failure.pace = said;
            failure
        };
        if mark.lost == Some(Lost::Fail) {
            return Err(Self::lost(place));
        }
        let limits = &self.spec.limits;
        let sheet = Sheet::read(url, &answer, limits).map_err(failed)?;
        let items = sheet.items(&self.items, limits.items_max).map_err(failed)?;
        Self::check_repeat(&mut mark, &items)?;
        let prior = mark.prior(place.cloned().or_else(|| self.started()).unwrap_or_default());
        let found = self.take(&prior, &mut mark, &items, &answer.body, now);
        let step = self.next_step(&sheet, &mark, &items)?;
        let mut warnings = Vec::new();
        if mark.pages == 0 {
            if self.spec.validators {
                mark.validators = Some(self.validators(url, &answer.headers));
            }
            if let CursorRule::Header(rule) = &self.spec.cursor {
                mark.value = answer.headers.get(&rule.name).map(lossy);
                if mark.value.is_none() {
                    warnings.push(format!(
                        "the answer has no header `{}`: the cursor stays",
                        rule.name
                    ));
                }
            }
        }
        if let CursorRule::BodyToken(rule) = &self.spec.cursor
            && let Some(token) = sheet.token(&rule.path)
        {
            mark.value = Some(token);
        }
        if let CursorRule::LinkUrl(_) = &self.spec.cursor {
            mark.value = match &step {
                Some(Step::Url(next)) => Some(next.clone()),
                _ => self.spec.link(url, url.as_str()).ok(),
            };
        }
        mark.pages += 1;
        let next = match self.ended(&sheet, &mark, items.len(), step.as_ref()) {
            None => {
                mark.step = step;
                // Texts and numbers only: this cannot fail.
                Next::Page(serde_json::to_string(&mark).unwrap_or_default())
            }
            Some(reason) => Next::Done(self.complete(prior, mark, reason, warnings)),
        };
        Ok(Page {
            items: items.len(),
            drafts: found.drafts,
            rejected: found.rejected,
            next,
            pace: said,
            exchange: None,
            held: Some(answer.held),
        })
    }

    /// Refuses a page that the walk has seen.
    fn check_repeat(
        mark: &mut Mark,
        items: &[&serde_json::value::RawValue],
    ) -> Result<(), Failure> {
        if items.is_empty() {
            return Ok(());
        }
        let print = format!("{:016x}", hash_all(items.iter().map(|item| item.get())) >> 64);
        if mark.seen.contains(&print) {
            let problem = format!(
                "page {} of the walk has the items of an earlier one: expected other items, or `stop`",
                mark.pages + 1
            );
            let mut failure = Self::failure(FailureKind::PageRepeats, &problem);
            failure.restart = true;
            return Err(failure);
        }
        mark.seen.push(print);
        let forgotten = mark.seen.len().saturating_sub(SEEN_MAX);
        mark.seen.drain(..forgotten);
        Ok(())
    }

    /// Sends the request at `mark` and answers with what came, and how it looked.
    async fn send(
        &self,
        network: &Network,
        budget: &Budget,
        url: &url::Url,
        validators: Option<&Validators>,
    ) -> (Exchange, Result<Answer, Failure>) {
        let request = request(url, &self.headers, validators);
        let mut exchange = Exchange {
            method: Method::GET.to_string(),
            url: self.spec.masked(url),
            headers: shown(request.headers()),
            status: None,
            content_type: String::new(),
            bytes: 0,
            items: 0,
        };
        let answer = fetch(network, budget, request, &self.spec.limits, self.spec.timeout).await;
        if let Ok(answer) = &answer {
            exchange.status = Some(answer.status.as_u16());
            exchange.content_type = content_type(&answer.headers);
            exchange.bytes = answer.body.len();
        }
        let answer = answer.map_err(|(kind, problem)| Self::failure(kind, &problem));
        (exchange, answer)
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
        cursor: Option<&Cursor>,
        mark: Option<&MarkText>,
        now: Timestamp,
    ) -> Result<Page, Failure> {
        let place = cursor.map(|text| Place::read(text));
        let mark = match mark {
            None => self.begin(place.as_ref(), now),
            Some(text) => serde_json::from_str(text).map_err(|error| {
                let problem = format!("the mark of the walk is unreadable: {error}");
                let failure = Self::failure(FailureKind::Malformed, &problem);
                Failure { restart: true, ..self.unsent(failure) }
            })?,
        };
        let url = self.spec.page_url(&mark).map_err(|origin| self.unsent(self.foreign(&origin)))?;
        let validators = place
            .as_ref()
            .filter(|place| mark.pages == 0 && mark.lost.is_none() && place.config == self.config)
            .and_then(|place| place.validators.as_ref())
            .filter(|validators| validators.request == self.request_id(&url));
        let (mut exchange, answer) = self.send(network, budget, &url, validators).await;
        let page = answer.and_then(|answer| {
            let status = answer.status;
            if status == StatusCode::NOT_MODIFIED && validators.is_some() {
                let said = pace(&answer.headers, now);
                return Ok(unchanged(place.clone().unwrap_or_default(), said));
            }
            if !status.is_success() {
                let mut failure = self.refused(place.as_ref(), &mark, status, &answer.headers);
                failure.pace = pace(&answer.headers, now);
                return Err(failure);
            }
            self.read(place.as_ref(), mark, &url, answer, now)
        });
        match page {
            Ok(mut page) => {
                exchange.items = page.items;
                page.exchange = Some(exchange);
                Ok(page)
            }
            Err(failure) => {
                let mut failure = failure.at(&exchange.url);
                failure.exchange = Some(Box::new(exchange));
                Err(failure)
            }
        }
    }
}

impl Failure {
    /// The failure with the URL, as it may be shown, of the page it is about.
    fn at(mut self, shown: &str) -> Self {
        self.message = format!("{shown}: {}", self.message);
        self
    }
}

/// Somebody else's URL as it may be shown: any value of its query may be a credential.
fn bare(url: &url::Url) -> String {
    let mut shown = url.clone();
    // A URL with a host has a place for these.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_fragment(None);
    if url.query().is_some() {
        let names = url.query_pairs().map(|(name, _)| (name, "***"));
        shown.query_pairs_mut().clear().extend_pairs(names);
    }
    shown.to_string()
}

/// A successful walk that found nothing.
fn unchanged(place: Place, said: Pace) -> Page {
    let place = Place { refused: 0, announced: false, ..place };
    Page {
        drafts: Vec::new(),
        rejected: Vec::new(),
        items: 0,
        next: Next::Done(Walk {
            cursor: place.write(),
            gap: None,
            unchanged: true,
            stopped_by: "not_modified",
            warnings: Vec::new(),
        }),
        pace: said,
        exchange: None,
        held: None,
    }
}

pub(super) fn gap(reason: &'static str, detail: &str) -> Gap {
    Gap { reason, detail: detail.to_owned() }
}
