//! The items of one page are taken into the walk: which are new, and what the cursor learns.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::value::RawValue;

use super::{
    HttpProbe,
    cursor::{Listing, MaxField},
    edge::{EDGE_MAX, Edge, hash},
    item::{Drafted, Unfit},
    order::FieldKind,
    order::{compare, moment},
    rules::{Emit, Overlap},
    walk::{Mark, Place},
};
use crate::{Draft, FieldErrors, Listed, Rejected, extract::Fields, moment::Moment};

/// A rejected item is kept up to this.
const REJECTED_BYTES_MAX: usize = 64 << 10;
/// A producer's clock may be ahead by so much; later times do not move the cursor.
const AHEAD_MAX_NANOS: i128 = 3_600_000_000_000;

/// What a page has that is new.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) drafts: Vec<Draft>,
    pub(super) rejected: Vec<Rejected>,
    pub(super) errors: FieldErrors,
    /// Why the first item without an id has none, and how many have none, known ones included.
    pub(super) nameless: Option<(String, usize)>,
}

/// What all items of a page are compared with.
struct Known<'a> {
    prior: &'a Place,
    edge: HashSet<u128>,
    floor: Option<String>,
    since: Option<Moment>,
    now: i128,
}

/// One item, read.
struct Item<'a> {
    fields: Fields<'a>,
    data: Bytes,
    /// The value of the cursor's field.
    at: Option<String>,
    /// What identifies it at the edge.
    key: u128,
    drafted: Result<Drafted, Unfit>,
    /// Whether its content is what its id had last (`emit: every_change`), and known since when.
    unchanged: Option<Since>,
}

/// When something was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    /// Earlier in this walk: it moved to another page, which says nothing of what is known.
    ThisWalk,
    Before,
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
            prior,
            edge: prior.edge.hashes(),
            floor: self.floor(prior),
            since: mark.since.as_deref().and_then(moment),
            now: now.as_nanosecond(),
        };
        let cursor = self.spec.cursor.kind();
        if !cursor.remembers_all() && mark.pages > 0 {
            mark.edge.0.truncate(mark.first_edge);
        }
        let raw_id = |path: Option<&_>, fields: &Fields<'_>| self.reader.raw_id(path, fields);
        let (mut found, mut told) = (Found::default(), HashMap::new());
        for (index, raw) in items.iter().enumerate() {
            let fields = Fields::of(raw);
            let listed = self.spec.listed;
            let listing = Listing { listed, first: index == 0, fields: &fields, raw_id: &raw_id };
            cursor.item(&listing, mark);
            let data = body.slice_ref(raw.get().as_bytes());
            let item = self.read_item(&known, mark, &mut told, fields, data);
            if let Err(Unfit { reason, nameless: true }) = &item.drafted {
                found.nameless.get_or_insert_with(|| (reason.clone(), 0)).1 += 1;
            }
            self.take_item(&known, mark, item, &mut found);
        }
        self.trim(&mut mark.edge, mark.value.as_ref());
        if mark.edge.0.len() > EDGE_MAX {
            mark.edge.0.truncate(EDGE_MAX);
            mark.overflow = true;
        }
        if mark.pages == 0 {
            mark.first_edge = mark.edge.0.len();
        }
        found
    }

    fn read_item<'a>(
        &self,
        known: &Known<'_>,
        mark: &mut Mark,
        told: &mut HashMap<u128, u64>,
        fields: Fields<'a>,
        data: Bytes,
    ) -> Item<'a> {
        let mut drafted = self.reader.draft(&fields, data.clone());
        let field = self.spec.cursor.max_field().zip(self.field.as_ref());
        let at = field.and_then(|(rule, path)| match rule.value(path, &fields) {
            Ok(at) => Some(at),
            Err(problem) => {
                if let Ok(drafted) = &mut drafted {
                    drafted.errors.push(("cursor", problem));
                }
                None
            }
        });
        let mut unchanged = None;
        if let Ok(drafted) = &mut drafted {
            unchanged = self.tell_contents_apart(known, mark, told, &mut drafted.draft);
        }
        let key = match &drafted {
            Ok(drafted) => hash(drafted.draft.id.as_bytes()),
            Err(_) => hash(&[b"rejected ", &data[..]].concat()),
        };
        Item { fields, data, at, key, drafted, unchanged }
    }

    /// Makes the content part of the id where `emit` says so; whether it is what the id had last.
    /// `told` has the contents of the ids on this page.
    fn tell_contents_apart(
        &self,
        known: &Known<'_>,
        mark: &mut Mark,
        told: &mut HashMap<u128, u64>,
        draft: &mut Draft,
    ) -> Option<Since> {
        if self.spec.emit == Emit::Once {
            return None;
        }
        let (id, content) = (hash(draft.id.as_bytes()), hash(&draft.data));
        draft.id = format!("{}:{content:032x}", draft.id);
        if self.spec.emit == Emit::OncePerContent {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "64 of the hash's bits are enough")]
        let content = content as u64;
        if *told.entry(id).or_insert(content) != content {
            // Two things at once are no change; each of their contents is told once.
            mark.warn("`id` is not unique: a page has one with different contents".into());
            return None;
        }
        let walked = mark.contents.get(id);
        let (changes, unchanged) = match walked.or_else(|| known.prior.contents.get(id)) {
            None => (0, None),
            Some(last) if last.hash == content => {
                let since = if walked.is_some() { Since::ThisWalk } else { Since::Before };
                (last.changes, Some(since))
            }
            Some(last) => (last.changes + 1, None),
        };
        if changes > 0 {
            draft.id = format!("{}:{changes}", draft.id);
        }
        // Newest first, what is listed first is what the id is now.
        if walked.is_none() || self.spec.listed != Listed::NewestFirst {
            mark.overflow |= mark.contents.note(id, content, changes);
        }
        unchanged
    }

    /// The cursor with the contents seen so far. A change is known by the count of those before
    /// it, so what was appended of a walk that is abandoned must count for the next.
    pub(super) fn learnt(&self, place: Option<&Place>, mark: &Mark) -> Option<String> {
        if self.spec.emit != Emit::EveryChange || self.spec.listed == Listed::NewestFirst {
            return None;
        }
        // As the first walk of all began; another one like it follows if this is abandoned.
        let begun = || Place { since: mark.since.clone(), ..self.standing(None) };
        let mut place = place.cloned().unwrap_or_else(begun);
        place.contents = place.contents.join(mark.contents.clone());
        Some(place.write())
    }

    fn take_item(&self, known: &Known<'_>, mark: &mut Mark, item: Item<'_>, found: &mut Found) {
        let Item { fields, data, at, key, drafted, unchanged } = item;
        self.remember(mark, key, at.as_deref(), known.now);
        let old = self.is_old(known, at.as_deref(), &fields);
        if unchanged == Some(Since::ThisWalk) {
            return;
        }
        if unchanged.is_some() || known.edge.contains(&key) {
            mark.known += 1;
            return;
        }
        if old {
            mark.old += 1;
            return;
        }
        if mark.skip {
            return;
        }
        match drafted {
            Ok(Drafted { draft, errors }) => {
                mark.fresh += 1;
                let below = |rule: &MaxField| {
                    let (at, value) = (at.as_deref()?, known.prior.value.as_deref()?);
                    Some(compare(rule.kind, at, value).is_lt())
                };
                mark.late +=
                    usize::from(self.spec.cursor.max_field().and_then(below) == Some(true));
                for (field, problem) in errors {
                    found.errors.add(field, problem);
                }
                found.drafts.push(draft);
            }
            Err(Unfit { reason, .. }) => {
                let item = data.slice(..data.len().min(REJECTED_BYTES_MAX));
                found.rejected.push(Rejected { reason, item });
            }
        }
    }

    /// Whether an item lies below what is wanted.
    fn is_old(&self, known: &Known<'_>, at: Option<&str>, fields: &Fields<'_>) -> bool {
        let rule = self.spec.cursor.max_field();
        if let (Some(rule), Some(at), Some(floor)) = (rule, at, &known.floor)
            && compare(rule.kind, at, floor).is_lt()
        {
            return true;
        }
        let Some(since) = &known.since else { return false };
        // What the cursor goes by comes first: an old item that changed has a late time there.
        let timed = at.filter(|_| rule.is_some_and(|rule| rule.kind == FieldKind::Time));
        let happened = timed.and_then(moment).or_else(|| self.reader.moment(fields));
        happened.is_some_and(|happened| happened.nanos() < since.nanos())
    }

    /// Adds an item to the edge, and raises the walk's value by it.
    fn remember(&self, mark: &mut Mark, key: u128, at: Option<&str>, now: i128) {
        let max_field = self.spec.cursor.max_field();
        if let (Some(rule), Some(at)) = (max_field, at) {
            let ahead = rule.kind == FieldKind::Time
                && moment(at).is_some_and(|at| at.nanos() > now + AHEAD_MAX_NANOS);
            let more = mark.value.as_deref().is_none_or(|v| compare(rule.kind, at, v).is_gt());
            if more && !ahead {
                mark.value = Some(at.to_owned());
            }
        }
        if mark.edge.0.len() < 2 * EDGE_MAX {
            mark.edge.0.push((key, at.map(str::to_owned)));
        }
        if max_field.is_none() && mark.edge.0.len() > EDGE_MAX {
            mark.edge.0.truncate(EDGE_MAX);
            mark.overflow = true;
        }
    }

    /// The value of the cursor less the overlap: items below it are old.
    pub(super) fn floor(&self, place: &Place) -> Option<String> {
        let rule = self.spec.cursor.max_field()?;
        let value = place.value.clone()?;
        match &self.spec.overlap {
            None => Some(value),
            Some(Overlap::Period(period)) => {
                let earlier = moment(&value)?.timestamp().checked_sub(period.0).ok()?;
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
        let Some(rule) = self.spec.cursor.max_field() else { return };
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
}
