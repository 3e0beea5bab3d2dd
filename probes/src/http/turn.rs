//! One page of a walk, without the network: which items are new, and what comes next.

use std::collections::HashSet;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::value::RawValue;

use super::{
    HttpProbe,
    order::{compare, moment, readable},
    rules::{CursorRule, FieldKind, MaxField, Of, Overlap, Pages},
    sheet::Sheet,
    walk::{EDGE_MAX, Edge, Mark, Place, Step, hash},
};
use crate::{
    Draft, Failure, FailureKind, Listed, Rejected,
    extract::{Fields, Path},
};

/// A rejected item is kept up to this.
const REJECTED_BYTES_MAX: usize = 64 << 10;
/// A producer's clock may be ahead by so much; later times do not move the cursor.
const AHEAD_MAX_S: i64 = 3_600;

/// What a page has that is new.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) drafts: Vec<Draft>,
    pub(super) rejected: Vec<Rejected>,
}

/// What all items of a page are compared with.
struct Known<'a> {
    prior: HashSet<u128>,
    value: Option<&'a str>,
    floor: Option<String>,
    since: Option<Timestamp>,
    now: Timestamp,
}

impl HttpProbe {
    /// Takes the items of one page into the walk.
    pub(super) fn take(
        &self,
        prior: &Place,
        mark: &mut Mark,
        items: &[&RawValue],
        body: &Bytes,
        now: Timestamp,
    ) -> Found {
        let known = Known {
            prior: prior.edge.hashes(),
            value: prior.value.as_deref(),
            floor: self.floor(prior),
            since: mark.since.as_deref().and_then(moment),
            now,
        };
        if !self.remembers_all() && mark.pages > 0 {
            mark.edge.0.truncate(mark.first_edge);
        }
        let mut found = Found::default();
        for (index, raw) in items.iter().enumerate() {
            let fields = Fields::of(raw);
            let data = body.slice_ref(raw.get().as_bytes());
            self.follow_id(mark, &fields, index, items.len());
            self.take_item(&known, mark, &fields, &data, &mut found);
        }
        self.trim(&mut mark.edge, mark.value.as_ref());
        if mark.edge.0.len() > EDGE_MAX {
            mark.edge.0.truncate(EDGE_MAX);
            mark.overflow = true;
        }
        if mark.pages == 0 {
            mark.first_edge = mark.edge.0.len();
        }
        mark.items += items.len() as u64;
        found
    }

    fn take_item(
        &self,
        known: &Known<'_>,
        mark: &mut Mark,
        fields: &Fields<'_>,
        data: &Bytes,
        found: &mut Found,
    ) {
        let at =
            self.max_field().zip(self.field.as_ref()).map(|(rule, path)| field(rule, path, fields));
        let draft = match &at {
            Some(Err(reason)) => Err(reason.clone()),
            _ => self.reader.draft(fields, data.clone()),
        };
        let at = at.and_then(Result::ok);
        let key = match &draft {
            Ok(draft) => hash(draft.id.as_bytes()),
            Err(_) => hash(&[b"rejected ", &data[..]].concat()),
        };
        self.remember(mark, key, at.as_deref(), known.now);
        let old = self.is_old(known, at.as_deref(), fields);
        if known.prior.contains(&key) {
            mark.known += 1;
        } else if old {
            mark.old += 1;
        } else if mark.skip {
        } else {
            match draft {
                Ok(draft) => {
                    mark.fresh += 1;
                    let below = |rule: &MaxField| {
                        let (at, value) = (at.as_deref()?, known.value?);
                        Some(compare(rule.kind, at, value).is_lt())
                    };
                    mark.late += usize::from(self.max_field().and_then(below) == Some(true));
                    found.drafts.push(draft);
                }
                Err(reason) => {
                    let item = data.slice(..data.len().min(REJECTED_BYTES_MAX));
                    found.rejected.push(Rejected { reason, item });
                }
            }
        }
    }

    /// Whether an item lies below what is wanted.
    fn is_old(&self, known: &Known<'_>, at: Option<&str>, fields: &Fields<'_>) -> bool {
        let rule = self.max_field();
        if let (Some(rule), Some(at), Some(floor)) = (rule, at, &known.floor)
            && compare(rule.kind, at, floor).is_lt()
        {
            return true;
        }
        let Some(since) = known.since else { return false };
        let timed = at.filter(|_| rule.is_some_and(|rule| rule.kind == FieldKind::Time));
        let happened = self.reader.moment(fields).or_else(|| moment(timed?));
        happened.is_some_and(|happened| happened < since)
    }

    /// Adds an item to the edge, and raises the walk's value by it.
    fn remember(&self, mark: &mut Mark, key: u128, at: Option<&str>, now: Timestamp) {
        if let (Some(rule), Some(at)) = (self.max_field(), at) {
            let ahead = rule.kind == FieldKind::Time
                && moment(at).is_some_and(|at| at.as_second() > now.as_second() + AHEAD_MAX_S);
            let more = mark.value.as_deref().is_none_or(|v| compare(rule.kind, at, v).is_gt());
            if more && !ahead {
                mark.value = Some(at.to_owned());
            }
        }
        if mark.edge.0.len() < 2 * EDGE_MAX {
            mark.edge.0.push((key, at.map(str::to_owned)));
        }
        if self.max_field().is_none() && mark.edge.0.len() > EDGE_MAX {
            mark.edge.0.truncate(EDGE_MAX);
            mark.overflow = true;
        }
    }

    /// Follows the id that `last_id` keeps.
    fn follow_id(&self, mark: &mut Mark, fields: &Fields<'_>, index: usize, count: usize) {
        let CursorRule::LastId(rule) = &self.spec.cursor else { return };
        let newest = match self.spec.listed {
            Listed::NewestFirst => Of::First,
            Listed::OldestFirst | Listed::Unordered => Of::Last,
        };
        let wanted = match rule.of.unwrap_or(newest) {
            Of::First => mark.pages == 0 && (index == 0 || mark.value.is_none()),
            Of::Last => index < count,
        };
        let path = rule.path.as_deref().map(Path::new);
        if wanted && let Some(id) = self.reader.raw_id(path.as_ref(), fields) {
            mark.value = Some(id);
        }
    }

    pub(super) fn max_field(&self) -> Option<&MaxField> {
        match &self.spec.cursor {
            CursorRule::MaxField(rule) => Some(rule),
            _ => None,
        }
    }

    /// Whether the edge is the whole list, and not only its ends.
    pub(super) fn remembers_all(&self) -> bool {
        matches!(self.spec.cursor, CursorRule::None | CursorRule::MaxField(_))
    }

    /// The value of the cursor less the overlap: items below it are old.
    pub(super) fn floor(&self, place: &Place) -> Option<String> {
        let rule = self.max_field()?;
        let value = place.value.clone()?;
        match &self.spec.overlap {
            None => Some(value),
            Some(Overlap::Period(period)) => {
                let earlier = moment(&value)?.checked_sub(period.0).ok()?;
                Some(earlier.to_string())
            }
            Some(Overlap::Items(_)) => {
                let known = place.edge.0.iter().filter_map(|(_, at)| at.clone());
                let least = known.min_by(|a, b| compare(rule.kind, a, b));
                Some(
                    least
                        .filter(|least| compare(rule.kind, least, &value).is_lt())
                        .unwrap_or(value),
                )
            }
        }
    }

    /// Leaves in the edge of a field's cursor what lies within the overlap of `value`, all ties
    /// included, the largest first.
    pub(super) fn trim(&self, edge: &mut Edge, value: Option<&String>) {
        let Some(rule) = self.max_field() else { return };
        edge.0.sort_by(|(_, a), (_, b)| match (a, b) {
            (Some(a), Some(b)) => compare(rule.kind, b, a),
            (a, b) => a.is_some().cmp(&b.is_some()),
        });
        let floor = match &self.spec.overlap {
            Some(Overlap::Items(overlap)) => {
                let ordered = edge.0.iter().filter_map(|(_, at)| at.clone());
                ordered.take(overlap.items.max(1)).last()
            }
            _ => self.floor(&Place { value: value.cloned(), ..Place::default() }),
        };
        if let Some(floor) = floor {
            let within = |at: &String| compare(rule.kind, at, &floor).is_ge();
            edge.0.retain(|(_, at)| at.as_ref().is_none_or(within));
        }
    }

    /// How the page after this one is asked for, `None` when there is none.
    pub(super) fn next_step(
        &self,
        sheet: &Sheet<'_>,
        mark: &Mark,
        items: &[&RawValue],
    ) -> Result<Option<Step>, Failure> {
        let link = |link: Option<&str>| match link {
            None => Ok(None),
            Some(link) => match self.spec.link(sheet.url, link) {
                Ok(url) => Ok(Some(Step::Url(url))),
                Err(origin) => Err(self.foreign(&origin)),
            },
        };
        let query = |name: &str, value: String| Ok(Some(Step::Query(name.to_owned(), value)));
        match &self.spec.pages {
            Pages::None => match &self.spec.cursor {
                CursorRule::LinkUrl(rule) => link(super::link::target(&sheet.links(), &rule.rel)),
                _ => Ok(None),
            },
            Pages::LinkHeader(rule) => link(super::link::target(&sheet.links(), &rule.rel)),
            Pages::NextUrl(rule) => link(sheet.token(&rule.path).as_deref()),
            Pages::Token(rule) => match sheet.token(&rule.path) {
                None => Ok(None),
                Some(token) => query(&rule.query, token),
            },
            Pages::PageNumber(rule) => {
                query(&rule.query, (rule.from + u64::from(mark.pages) + 1).to_string())
            }
            Pages::Offset(rule) => match rule.ceiling {
                Some(ceiling) if mark.items > ceiling => Ok(None),
                _ => query(&rule.query, mark.items.to_string()),
            },
            Pages::ItemId(rule) => {
                let item = match rule.of {
                    Of::First => items.first(),
                    Of::Last => items.last(),
                };
                let path = rule.path.as_deref().map(Path::new);
                match item.and_then(|raw| self.reader.raw_id(path.as_ref(), &Fields::of(raw))) {
                    None => Ok(None),
                    Some(id) => query(&rule.query, id),
                }
            }
        }
    }

    /// The failure of a link to another origin.
    pub(super) fn foreign(&self, origin: &str) -> Failure {
        let own = self.spec.url.origin().ascii_serialization();
        Self::failure(
            FailureKind::ForeignLink,
            &format!("a link leads to {origin}: expected {own}, or one of `pages.origins`"),
        )
    }
}

/// The value of the cursor's field; or why there is none.
fn field(rule: &MaxField, path: &Path, fields: &Fields<'_>) -> Result<String, String> {
    let value = path.of(fields).and_then(crate::extract::scalar);
    let Some(value) = value else {
        let names = fields.names();
        return Err(format!("cursor: `{path}` finds nothing; the item has {names}"));
    };
    if readable(rule.kind, &value) {
        Ok(value.into_owned())
    } else {
        let given: String = value.chars().take(60).collect();
        Err(format!("cursor: `{path}` is `{given}`: expected a {:?}", rule.kind).to_lowercase())
    }
}
