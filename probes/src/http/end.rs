//! How a walk ends, and what it leaves behind.

use super::{
    HttpProbe,
    order::compare,
    probe::gap,
    rules::{CursorRule, Overlap, Pages},
    sheet::Sheet,
    walk::{Edge, Mark, Place, Step},
};
use crate::{Gap, Listed, Walk};

impl HttpProbe {
    /// Why the walk is complete after the page that was just taken, if it is.
    pub(super) fn ended(
        &self,
        sheet: &Sheet<'_>,
        mark: &Mark,
        items: usize,
        next: Option<&Step>,
    ) -> Option<&'static str> {
        let stop = &self.spec.stop;
        let newest_first = self.spec.listed == Listed::NewestFirst;
        let known_enough = match (&self.spec.cursor, &self.spec.overlap) {
            // Equal values may go on over the page's edge: only an older one ends the walk.
            (CursorRule::MaxField(_), _) => usize::MAX,
            (_, Some(Overlap::Items(overlap))) => overlap.items.max(1),
            _ => 1,
        };
        if items == 0 {
            Some("empty_page")
        } else if newest_first && mark.known >= known_enough {
            Some("known_id")
        } else if newest_first && mark.old > 0 {
            Some("older_than_cursor")
        } else if newest_first && mark.skip {
            Some("start_now")
        } else if stop.flag.as_ref().is_some_and(|flag| sheet.is(&flag.path, &flag.is)) {
            Some("flag")
        } else if stop.short_page.is_some_and(|full| items < full) {
            Some("short_page")
        } else if next.is_none() {
            Some(match self.spec.pages {
                Pages::None => "single_page",
                Pages::Offset(_) => "ceiling",
                _ => "no_token",
            })
        } else if mark.pages >= stop.max_pages {
            Some("max_pages")
        } else {
            None
        }
    }

    /// The complete walk.
    pub(super) fn complete(
        &self,
        prior: Place,
        mark: Mark,
        stopped_by: &'static str,
        mut warnings: Vec<String>,
    ) -> Walk {
        let cut = matches!(stopped_by, "max_pages" | "ceiling");
        if mark.overflow && self.spec.listed != Listed::NewestFirst {
            warnings.push(
                "more items lie at the cursor's edge than the 10000 that are remembered: those \
                 beyond are recognised within the topic's dedupe window only"
                    .into(),
            );
        }
        if mark.late > 0 {
            warnings.push(format!("{} items came late, within the overlap", mark.late));
        }
        if cut && !self.goes_on_where_cut() && self.spec.listed == Listed::OldestFirst {
            warnings.push(format!("the list is longer than the walk may be ({stopped_by})"));
        }
        let gap = self.gap(&prior, &mark, cut, stopped_by);
        let validators = (!cut && gap.is_none() && self.covers_all(&mark, stopped_by))
            .then(|| mark.validators.clone())
            .flatten()
            .filter(|validators| validators.etag.is_some() || validators.modified.is_some());
        let value = self.next_value(&prior, &mark);
        if cut && self.goes_on_where_cut() && value == prior.value {
            warnings.push("the cursor does not move although the pages are full".into());
        }
        let edge = self.next_edge(prior.edge, mark.edge, value.as_ref());
        let place = Place {
            value,
            edge,
            since: mark.since.or(prior.since),
            validators,
            refused: 0,
            announced: false,
            config: self.config.clone(),
        };
        Walk { cursor: place.write(), gap, unchanged: false, stopped_by, warnings }
    }

    fn next_value(&self, prior: &Place, mark: &Mark) -> Option<String> {
        let value = mark.value.clone();
        match (self.max_field(), value, prior.value.clone()) {
            (Some(rule), Some(new), Some(old)) if compare(rule.kind, &new, &old).is_lt() => {
                Some(old)
            }
            (_, value, old) => value.or(old),
        }
    }

    fn next_edge(&self, prior: Edge, mut walked: Edge, value: Option<&String>) -> Edge {
        if !self.remembers_all() {
            return if walked.is_empty() { prior } else { walked };
        }
        walked.join(prior);
        self.trim(&mut walked, value);
        walked
    }

    /// What the walk did not see although the producer may have shown it.
    fn gap(&self, prior: &Place, mark: &Mark, cut: bool, stopped_by: &str) -> Option<Gap> {
        if mark.lost.is_some() {
            let policy = self.spec.lost.as_str();
            let detail =
                format!("the producer refused the cursor twice; went on by `lost: {policy}`");
            return Some(gap("cursor_lost", &detail));
        }
        let cursor_known = prior.value.is_some() || !prior.edge.is_empty();
        let met = mark.known > 0 || mark.old > 0;
        let missed = self.spec.listed == Listed::NewestFirst
            && cursor_known
            && !met
            && mark.fresh > 0
            && (mark.sent.is_none() || cut);
        if missed || (cut && mark.fresh > 0 && !self.goes_on_where_cut()) {
            let detail = format!(
                "{} pages with {} new items did not reach what is known (ended by {stopped_by})",
                mark.pages, mark.fresh
            );
            return Some(gap("bound_reached", &detail));
        }
        None
    }

    /// Whether the next walk takes up what a bound cut off.
    fn goes_on_where_cut(&self) -> bool {
        let moves = !matches!(self.spec.cursor, CursorRule::None | CursorRule::Header(_));
        moves && self.spec.listed == Listed::OldestFirst && self.spec.cursor_query().is_some()
            || matches!(self.spec.cursor, CursorRule::LinkUrl(_))
    }

    /// Whether a change of what the walk saw, or anything new, would change its first answer's
    /// body: only then may a 304 to the first request stand for the whole walk.
    fn covers_all(&self, mark: &Mark, stopped_by: &str) -> bool {
        if self.spec.listed == Listed::NewestFirst {
            return true;
        }
        let in_body = match &self.spec.pages {
            Pages::None => true,
            Pages::NextUrl(rule) => !rule.path.starts_with("headers."),
            Pages::Token(rule) => !rule.path.starts_with("headers."),
            _ => false,
        };
        mark.pages == 1 && (in_body || matches!(stopped_by, "empty_page" | "short_page" | "flag"))
    }
}
