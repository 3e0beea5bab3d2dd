//! How a walk goes on or ends, and what it leaves behind.
//!
//! A walk is complete only on a positive sign: no paging carrier at all, an end value, a stop rule,
//! a known or an older item. What is there and not understood is never the end; where a walk that
//! ends too early would lose what lies behind, an empty page is asked for again before it counts.

use super::{
    HttpProbe,
    body::Body,
    cursor::CursorRule,
    edge::Edge,
    lost::gap,
    order::compare,
    rules::{Emit, Overlap},
    target::Target,
    walk::{Carried, Mark, Place, Step},
};
use crate::{FailureKind, Gap, Listed, Walk};

/// How often a page that is empty where items may follow is asked for.
const DOUBTS_MAX: u32 = 3;
/// The first pause before that, seconds; twice as long each time.
const DOUBT_PAUSE_S: u64 = 2;
/// Pages in a row that repeat earlier ones before a walk is given up that could lose by it.
const REPEATS_MAX: u32 = 3;
/// The same where pages are counted, each twice: a newest-first list moves on while it is read.
const COUNTED_REPEATS_MAX: u32 = 16;

/// What follows a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The next page is asked for.
    On(Step),
    /// The same page is asked for again, after so many seconds.
    Again(u64),
    /// There is a next page that cannot be asked for.
    Blocked(FailureKind, String),
    /// The walk is complete, and why.
    Done(&'static str),
}

/// A page as the decision needs it.
pub(super) struct Read<'a> {
    pub(super) body: &'a Body<'a>,
    pub(super) items: usize,
    /// Whether the walk had this page before.
    pub(super) repeated: bool,
    /// The step that the page was asked by.
    pub(super) asked: Option<&'a Step>,
}

impl HttpProbe {
    /// How what a page says of the next one is asked for: the next step, or that there is none.
    pub(super) fn step(&self, url: &Target, mark: &mut Mark, carried: Carried) -> Turn {
        match carried {
            Carried::End(reason) => Turn::Done(reason),
            Carried::Ended(warning) => {
                mark.warn(warning);
                Turn::Done("no_token")
            }
            Carried::Broken(problem) => Turn::Blocked(FailureKind::Malformed, problem),
            Carried::Link(link) => match self.spec.link(url, &link) {
                Ok(url) => Turn::On(Step::Url(url)),
                Err(problem) => Turn::Blocked(FailureKind::ForeignLink, problem),
            },
            Carried::Value(value, also) => {
                let number = self.spec.pages.kind().counts();
                Turn::On(Step::Value { value, number, also })
            }
        }
    }

    /// What follows the page that was just taken and counted, when `next` is what it says.
    pub(super) fn turn(&self, read: &Read<'_>, mark: &mut Mark, next: Turn) -> Turn {
        if let Some(reason) = self.reached(read, mark) {
            return Turn::Done(reason);
        }
        let (step, ended) = match next {
            Turn::On(step) => (Some(step), ""),
            Turn::Done(reason) => (None, reason),
            other => return other,
        };
        if read.repeated {
            return self.repeated(read, mark, step);
        }
        if read.items == 0 {
            return self.empty(read, mark, step);
        }
        match step {
            None => Turn::Done(ended),
            Some(step) => self.on(mark, step),
        }
    }

    fn on(&self, mark: &Mark, step: Step) -> Turn {
        if mark.pages >= self.spec.stop.max_pages {
            Turn::Done("max_pages")
        } else {
            Turn::On(step)
        }
    }

    /// What the items or a stop rule say of the end.
    fn reached(&self, read: &Read<'_>, mark: &Mark) -> Option<&'static str> {
        let stop = &self.spec.stop;
        let newest_first = self.spec.listed == Listed::NewestFirst && read.items > 0;
        let known_enough = match (&self.spec.cursor, &self.spec.overlap) {
            // Equal values may go on over the page's edge: only an older one ends the walk.
            (CursorRule::MaxField(_), _) => usize::MAX,
            (_, Some(Overlap::Items(overlap))) => overlap.items.max(1),
            _ => 1,
        };
        // An empty page is short, but may be an error in a page's clothes.
        let counts = read.items > 0 || self.is_safe();
        if newest_first && mark.known >= known_enough {
            Some("known_id")
        } else if newest_first && mark.old > 0 {
            Some("older_than_cursor")
        } else if newest_first && mark.skip {
            Some("start_now")
        } else if stop.flag.as_ref().is_some_and(|flag| read.body.is(&flag.path, &flag.is)) {
            Some("flag")
        } else if stop.link.as_ref().is_some_and(|link| read.body.link_stops(link)) {
            Some("link")
        } else if counts && stop.short_page.is_some_and(|full| read.items < full) {
            Some(if read.items == 0 { "empty_page" } else { "short_page" })
        } else {
            None
        }
    }

    /// Whether a walk that ends too early loses nothing, for the next begins at what it saw.
    pub(super) fn is_safe(&self) -> bool {
        self.spec.cursor.kind().covers_only_seen(self.spec.listed)
    }

    /// A page that the walk had before: a copy from somewhere, a list that begins anew behind its
    /// end, or one that moved on by a whole page while it was read.
    fn repeated(&self, read: &Read<'_>, mark: &mut Mark, step: Option<Step>) -> Turn {
        mark.repeats += 1;
        let counts = self.spec.pages.kind().counts();
        let max = if counts { COUNTED_REPEATS_MAX } else { REPEATS_MAX };
        if !self.is_safe() && mark.repeats < max {
            // A copy is gone soon, and what it hides would be lost: first each page is asked for
            // again. What still looks the same is passed over, if anything lies behind it.
            let again = mark.repeats % 2 == 1;
            return match step {
                Some(step) if !again && Some(&step) != read.asked => Turn::On(step),
                Some(_) => Turn::Again(DOUBT_PAUSE_S),
                None => repeats(mark),
            };
        }
        repeats(mark)
    }

    /// A page without items.
    fn empty(&self, read: &Read<'_>, mark: &mut Mark, step: Option<Step>) -> Turn {
        let counts = self.spec.pages.kind().counts();
        if let Some(step) = step.filter(|step| !counts && Some(step) != read.asked) {
            // The next walk starts at the link of this one's last page: nothing is left behind.
            if matches!(self.spec.cursor, CursorRule::LinkUrl(_)) {
                return Turn::Done("empty_page");
            }
            mark.empty += 1;
            let max = self.spec.stop.empty_pages;
            if mark.empty <= max {
                return self.on(mark, step);
            }
            mark.warn(format!(
                "{max} pages in a row were empty although another was to follow: the walk was \
                 ended (`stop.empty_pages`)"
            ));
            return Turn::Done("empty_pages");
        }
        if self.is_safe() || mark.pages <= 1 {
            return Turn::Done("empty_page");
        }
        mark.doubts += 1;
        if mark.doubts < DOUBTS_MAX {
            return Turn::Again(DOUBT_PAUSE_S << (mark.doubts - 1));
        }
        // Where pages are counted, an empty list is how they end; no list at all is something else.
        if counts && !read.body.is_bare() {
            return Turn::Done("empty_page");
        }
        mark.warn(format!(
            "page {} of the walk was empty, {DOUBTS_MAX} times: it was taken for the end",
            mark.pages
        ));
        Turn::Done("empty_pages")
    }

    /// The complete walk.
    pub(super) fn complete(&self, prior: Place, mark: Mark, stopped_by: &'static str) -> Walk {
        let cut = matches!(stopped_by, "max_pages" | "ceiling" | "empty_pages" | "page_repeats");
        let gap = self.gap(&prior, &mark, cut, stopped_by);
        let validators = (!cut && gap.is_none() && self.covers_all(&mark, stopped_by))
            .then(|| mark.validators.clone())
            .flatten()
            .filter(|validators| validators.etag.is_some() || validators.modified.is_some());
        let value = self.next_value(&prior, &mark);
        let mut warnings = self.warnings(&prior, &mark, stopped_by);
        if is_bounded(stopped_by) && self.goes_on_where_cut() && value == prior.value {
            warnings.push("the cursor does not move although the pages are full".into());
        }
        let edge = self.next_edge(prior.edge, mark.edge, value.as_ref());
        let place = Place {
            value,
            edge,
            contents: prior.contents.join(mark.contents),
            since: mark.since.or(prior.since),
            validators,
            refused: 0,
            announced: false,
            config: self.config.clone(),
            anew: false,
        };
        Walk { cursor: place.write(), gap, unchanged: false, stopped_by, warnings }
    }

    /// What an operator should know of a complete walk.
    fn warnings(&self, prior: &Place, mark: &Mark, stopped_by: &str) -> Vec<String> {
        let mut warnings = mark.warnings.clone();
        if mark.overflow && self.spec.emit == Emit::EveryChange {
            warnings.push(
                "more ids are listed than the 10000 whose contents are remembered: a change back of \
                 another is not seen"
                    .into(),
            );
        }
        if mark.overflow && self.spec.listed != Listed::NewestFirst {
            warnings.push(
                "more items lie at the cursor's edge than the 10000 that are remembered: those \
                 beyond are recognised within the topic's dedupe window only"
                    .into(),
            );
        }
        if let Some(place) = self.spec.cursor.kind().place()
            && mark.value.is_none()
            && (mark.items > 0 || prior.value.is_none())
        {
            warnings.push(format!("cursor: no page has `{place}`: the cursor stays where it is"));
        }
        if mark.late > 0 {
            warnings.push(format!("{} items came late, within the overlap", mark.late));
        }
        if mark.old > 0 && mark.sent.is_some() && self.spec.listed != Listed::NewestFirst {
            warnings.push(format!(
                "{} items below the cursor were listed although it was sent, and passed over: \
                 `overlap` takes what is new of them",
                mark.old
            ));
        }
        let is_known = mark.known > 0 || mark.old > 0;
        if !self.compares(prior) && !prior.edge.is_empty() && mark.fresh > 0 && !is_known {
            warnings.push(
                "the settings are others than those of the walk before: whether its items are on \
                 this list cannot be told, and all of it was taken for new"
                    .into(),
            );
        }
        if is_bounded(stopped_by)
            && !self.goes_on_where_cut()
            && self.spec.listed == Listed::OldestFirst
        {
            warnings.push(format!("the list is longer than the walk may be ({stopped_by})"));
        }
        warnings
    }

    fn next_value(&self, prior: &Place, mark: &Mark) -> Option<String> {
        let value = mark.value.clone();
        match (self.spec.cursor.max_field(), value, prior.value.clone()) {
            (Some(rule), Some(new), Some(old)) if compare(rule.kind, &new, &old).is_lt() => {
                Some(old)
            }
            (_, value, old) => value.or(old),
        }
    }

    fn next_edge(&self, prior: Edge, mut walked: Edge, value: Option<&String>) -> Edge {
        if !self.spec.cursor.kind().remembers_all() {
            return if walked.is_empty() { prior } else { walked };
        }
        walked.join(prior);
        self.trim(&mut walked, value);
        walked
    }

    /// What the walk did not see although the producer may have shown it.
    fn gap(&self, prior: &Place, mark: &Mark, cut: bool, stopped_by: &str) -> Option<Gap> {
        let cursor_known = prior.value.is_some() || !prior.edge.is_empty();
        let met = mark.known > 0 || mark.old > 0;
        let missed = self.spec.listed == Listed::NewestFirst
            && cursor_known
            && !met
            && mark.fresh > 0
            // A list that is read anew for a lost cursor ends where it ends.
            && (cut || (mark.sent.is_none() && mark.lost.is_none() && self.compares(prior)));
        let bounded = matches!(stopped_by, "max_pages" | "ceiling" | "empty_pages");
        // Where pages are counted, one that comes again is how the list of a first walk ends.
        let ends = stopped_by == "page_repeats" && self.spec.pages.kind().counts();
        let left = bounded || (cut && !met && (cursor_known || !ends));
        // The value of a header covers what lies behind the cut, whether or not this had news.
        let moved = !self.is_safe() && mark.value.is_some() && mark.value != prior.value;
        let news = mark.fresh > 0 || moved;
        let lost = mark.lost.map(|_| {
            let policy = self.spec.lost.as_str();
            format!("the producer refused the cursor; went on by `lost: {policy}`")
        });
        if missed || (left && news && !self.goes_on_where_cut()) {
            let lost = lost.map(|lost| format!("; {lost}")).unwrap_or_default();
            let detail = format!(
                "{} pages with {} new items did not reach what is known (ended by {stopped_by}){lost}",
                mark.pages, mark.fresh
            );
            return Some(gap("bound_reached", &detail));
        }
        lost.map(|lost| gap("cursor_lost", &lost))
    }

    /// Whether the items of a walk with this cursor are told apart as those of this walk are: by other
    /// settings the same list is known by other ids, or was rejected as a whole.
    fn compares(&self, prior: &Place) -> bool {
        prior.config.is_empty() || prior.config == self.config
    }

    /// Whether the next walk takes up what a bound cut off.
    fn goes_on_where_cut(&self) -> bool {
        let moves = !matches!(self.spec.cursor, CursorRule::None | CursorRule::Header(_));
        moves && self.spec.listed == Listed::OldestFirst && self.spec.sends_cursor()
            || matches!(self.spec.cursor, CursorRule::LinkUrl(_))
    }

    /// Whether a change of what the walk saw, or anything new, would change its first answer's
    /// body: only then may a 304 to the first request stand for the whole walk.
    fn covers_all(&self, mark: &Mark, stopped_by: &str) -> bool {
        if self.spec.listed == Listed::NewestFirst {
            return true;
        }
        let in_body = self.spec.pages.kind().in_body();
        let explicit = matches!(stopped_by, "empty_page" | "short_page" | "flag");
        mark.pages == 1 && (in_body || explicit)
    }
}

/// Whether a walk ended at a bound, and not where the list does.
fn is_bounded(stopped_by: &str) -> bool {
    matches!(stopped_by, "max_pages" | "ceiling")
}

/// The end of a walk at a page that it had before.
fn repeats(mark: &mut Mark) -> Turn {
    mark.warn(format!(
        "page {} of the walk has the items of an earlier one, which was taken for the end of the \
         list: expected other items, or `stop`",
        mark.pages
    ));
    Turn::Done("page_repeats")
}
