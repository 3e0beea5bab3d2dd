//! A producer that lies: a true list, and answers that are wrong at random. No socket is involved:
//! it is the network itself, so that a seed tells the whole story.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use fastrand::Rng;
use http::Request;
use serde_json::json;

mod lies;
mod list;
mod page;
mod spelling;
mod wire;

pub(crate) use self::{
    lies::Lie,
    list::{Content, List, Order, Paging, Since},
};
use self::{lies::Moment, page::Asked, wire::Answer};

/// What kind of producer it is.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub order: Order,
    pub since: Since,
    pub paging: Paging,
    /// Whether first pages have an `ETag` and know it again.
    pub etag: bool,
    /// Whether items come late.
    pub late: bool,
    /// Whether items are taken out.
    pub removes: bool,
    /// Whether items change.
    pub changes: bool,
}

impl Shape {
    /// Whether a walk that ends too early loses nothing, because the next begins where it ended.
    pub(crate) fn is_safe(self) -> bool {
        match (self.order, self.since) {
            (Order::Oldest, since) => since != Since::Header,
            (Order::Newest, _) => false,
            (Order::Unordered, since) => since == Since::All,
        }
    }
}

/// Items on one page.
const PAGE: usize = 3;
/// The most changes that a copy lags behind.
const LAG: usize = 3;
/// Of 100 requests so many are answered wrongly.
const LIES_PERCENT: u32 = 35;

/// The producer; clones are the same one.
#[derive(Clone)]
pub(crate) struct Liar(Arc<Mutex<State>>);

/// What it has, what it is, and what it remembers of the walk under way.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct State {
    pub list: List,
    /// The list as it was before each of the last changes: what a copy that lags still has.
    past: VecDeque<List>,
    pub shape: Shape,
    pub rng: Rng,
    /// Whether it lies at present.
    pub lying: bool,
    /// Whether the next answer is never heard.
    pub vanish: bool,
    pub story: Vec<String>,
    /// How often each lie was told.
    pub told: BTreeMap<Lie, u64>,
    pub requests: u64,
    /// What was in the list when the walk under way asked for its first page: id and how often it
    /// had changed.
    pub began: Vec<(u64, usize)>,
    /// Whether the walk was told something that cannot be told from the truth.
    pub fooled: bool,
    /// Whether something was told that may cost a gap or a warning.
    pub costly: bool,
    /// A cursor that is not known any more.
    forgotten: Option<i64>,
    /// The page before, as it was shown in this walk.
    before: Option<page::Window>,
    /// The last request, and how often in a row it was shown without items, or with those of the
    /// page before.
    asked: String,
    empties: u32,
    repeats: u32,
    /// Items published since the walk began.
    published: u32,
    /// The lie that was told last, which is often told again.
    last: Option<Lie>,
    /// What must be asked next, because the producer asked for a pause in mid-walk.
    paused: Option<String>,
    /// How often something else was asked then: the walk had begun anew.
    pub anew_after_pause: u64,
}

impl Liar {
    pub(crate) fn new(shape: Shape, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            list: List::default(),
            past: VecDeque::new(),
            shape,
            rng: Rng::with_seed(seed),
            lying: true,
            vanish: false,
            story: Vec::new(),
            told: BTreeMap::new(),
            requests: 0,
            began: Vec::new(),
            fooled: false,
            costly: false,
            forgotten: None,
            before: None,
            asked: String::new(),
            empties: 0,
            repeats: 0,
            published: 0,
            last: None,
            paused: None,
            anew_after_pause: 0,
        })))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// The network that leads to it.
    pub(crate) fn network(&self) -> probes::Network {
        let liar = self.clone();
        tower::util::BoxCloneSyncService::new(tower::service_fn(move |request: Request<Bytes>| {
            let (answer, vanishes) = {
                let mut state = liar.state();
                let answer = state.answer(&request);
                (answer, std::mem::take(&mut state.vanish))
            };
            async move {
                if vanishes {
                    std::future::pending::<()>().await;
                }
                answer.map_or_else(|| Err(io::ErrorKind::ConnectionReset.into()), Answer::send)
            }
        }))
    }
}

impl State {
    /// Publishes, changes and removes a little, as happens in mid-walk too.
    pub(crate) fn live(&mut self, most: u32) {
        let count = self.rng.u32(0..=most).min(8_u32.saturating_sub(self.published));
        self.published += count;
        for _ in 0..count {
            self.pass();
            let late = self.shape.late && self.rng.u8(0..5) == 0;
            let told = self.list.publish(late, &mut self.rng);
            self.story.push(told);
        }
        if self.shape.changes && self.rng.bool() {
            self.pass();
            let moves = self.shape.since != Since::All;
            let told = self.list.change(moves, &mut self.rng);
            self.story.extend(told);
        }
        if self.shape.removes && self.rng.u8(0..4) == 0 {
            self.pass();
            let told = self.list.remove(&mut self.rng);
            self.story.extend(told);
        }
    }

    /// Remembers the list as it is, before it changes.
    fn pass(&mut self) {
        self.past.push_back(self.list.clone());
        if self.past.len() > LAG {
            self.past.pop_front();
        }
    }

    fn answer(&mut self, request: &Request<Bytes>) -> Option<Answer> {
        self.requests += 1;
        if self.rng.u8(0..5) == 0 && self.lying {
            self.live(2);
        }
        let asked = Asked::read(request);
        if asked.first {
            self.begin();
        }
        let query = request.uri().query().unwrap_or("").to_owned();
        if self.paused.take().is_some_and(|wanted| wanted != query) {
            self.anew_after_pause += 1;
            self.story.push("  the walk began anew after a pause".into());
        }
        let again = self.asked == query;
        if !again {
            self.asked.clone_from(&query);
            self.empties = 0;
            self.repeats = 0;
        }
        if asked.cursor.is_some() && asked.cursor == self.forgotten {
            self.costly = true;
            self.story.push(format!("  asked {query}: 410, forgotten"));
            return Some(Answer::json(410, &json!({ "message": "cursor expired" })));
        }
        let window = page::window(&self.list, self.shape, &asked);
        let lie = self.choose(&asked, &window, again);
        self.last = lie;
        let told = lie.map_or_else(|| "truly".into(), |lie| format!("{lie:?}"));
        self.story.push(format!("  asked {query}: {told}; has {window}"));
        if let Some(lie) = lie {
            return self.lie(lie, &asked, window);
        }
        let answer = self.page(&asked, &window);
        self.before = Some(window);
        Some(answer)
    }

    /// Whether to lie, and how; `again`: the last request was the same.
    fn choose(&mut self, asked: &Asked, window: &page::Window, again: bool) -> Option<Lie> {
        let moment = Moment {
            first: asked.first,
            has_cursor: asked.cursor.is_some(),
            more: window.more,
            shown_before: self.before.is_some(),
            empties: self.empties,
            repeats: self.repeats,
        };
        let sticky = self.last.filter(|lie| again && lie.fits(self.shape, moment));
        if !self.lying {
            None
        } else if sticky.is_some() && self.rng.u8(0..3) == 0 {
            sticky
        } else if self.rng.u32(0..100) < LIES_PERCENT {
            Lie::pick(self.shape, moment, &mut self.rng)
        } else {
            None
        }
    }

    /// A walk begins.
    fn begin(&mut self) {
        let present = self.list.items.iter().filter(|item| !item.gone);
        self.began = present.map(|item| (item.id, item.contents.len())).collect();
        self.before = None;
        self.fooled = false;
        self.published = 0;
    }

    fn lie(&mut self, lie: Lie, asked: &Asked, window: page::Window) -> Option<Answer> {
        *self.told.entry(lie).or_default() += 1;
        self.fooled |= lie.is_plausible(self.shape, asked.first);
        self.costly |= lie.may_cost();
        let refusals = [400, 404, 410];
        let refusal = refusals[self.rng.usize(0..3)];
        let nothing = json!({ "items": [] });
        Some(match lie {
            Lie::Error => Answer::json([500, 502, 503][self.rng.usize(0..3)], &json!({})),
            Lie::Pause => {
                self.paused = (!asked.first).then(|| self.asked.clone());
                let pause = if self.rng.bool() { 20 } else { 7_200 };
                Answer::json([429, 503][self.rng.usize(0..2)], &json!({})).paused(pause)
            }
            Lie::PausedPage => {
                let pause = if self.rng.bool() { 20 } else { 7_200 };
                let answer = self.page(asked, &window).paused(pause);
                self.before = Some(window);
                answer
            }
            Lie::TokenGone | Lie::Refuse => Answer::json(refusal, &json!({ "message": "what?" })),
            Lie::Forget => {
                self.forgotten = asked.cursor;
                Answer::json(refusal, &json!({ "message": "cursor expired" }))
            }
            Lie::Waiting => Answer::json(202, &json!({ "state": "running" })),
            Lie::NoContent => {
                self.empties += 1;
                Answer::text(204, "")
            }
            Lie::Empty => {
                self.empties += 1;
                Answer::json(200, &nothing)
            }
            Lie::EmptyOn => page::empty_on(self, asked),
            Lie::ErrorPage => Answer::json(200, &json!({ "items": [], "error": "try later" })),
            Lie::Html => Answer::text(200, "<html><title>Sign in</title></html>").html(),
            Lie::BrokenJson => self.page(asked, &window).broken(),
            Lie::ShortJson => self.page(asked, &window).short(),
            Lie::Cut => self.page(asked, &window).cut(),
            Lie::BadGzip => self.page(asked, &window).bad_gzip(),
            Lie::NoAnswer => return None,
            Lie::Repeat => {
                self.repeats += 1;
                let before = self.before.clone().unwrap_or(window);
                self.page(asked, &before)
            }
            Lie::BrokenCarrier => page::with_carrier(self, asked, &window, page::Carrier::Broken),
            Lie::ForeignLink => page::with_carrier(self, asked, &window, page::Carrier::Foreign),
            Lie::Behind => {
                let copy = self.rng.usize(0..LAG);
                let copy = self.past.get(copy).unwrap_or(&self.list);
                let window = page::window(copy, self.shape, asked);
                self.story.push(format!("    which is {window}"));
                let answer = self.page(asked, &window);
                self.before = Some(window);
                answer
            }
        })
    }

    /// The page as it should be.
    fn page(&mut self, asked: &Asked, window: &page::Window) -> Answer {
        page::with_carrier(self, asked, window, page::Carrier::Good)
    }
}
