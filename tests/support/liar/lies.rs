//! What the producer does wrong, and when it can be told from the truth at all.

use fastrand::Rng;

use super::{
    Shape,
    list::{Order, Paging, Since},
};

/// One way to answer wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lie {
    /// 500, 502 or 503.
    Error,
    /// 429 or 503 with a pause; every second one is longer than `walk_resume`.
    Pause,
    /// A page with a pause.
    PausedPage,
    /// 400, 404 or 410 in mid-walk: the token is not known any more.
    TokenGone,
    /// 202 without a list.
    Waiting,
    /// 204.
    NoContent,
    /// A list without items, with nothing that says whether it ends.
    Empty,
    /// A list without items, and with a next page.
    EmptyOn,
    /// 200 with an error in it, and a list without items.
    ErrorPage,
    /// 200 with a page of HTML.
    Html,
    /// JSON with a broken token in it.
    BrokenJson,
    /// JSON that ends too early, whole by its length.
    ShortJson,
    /// A connection that breaks in mid-body.
    Cut,
    /// Announced as gzip, and none.
    BadGzip,
    /// No connection.
    NoAnswer,
    /// The page before this one once more.
    Repeat,
    /// A next page in a form that nobody can use.
    BrokenCarrier,
    /// A next page at another origin.
    ForeignLink,
    /// 400, 404, 410 or 422 for the cursor, once.
    Refuse,
    /// The same for this cursor for ever.
    Forget,
    /// A first page from a copy that lags behind.
    Behind,
}

use Lie::{
    BadGzip, Behind, BrokenCarrier, BrokenJson, Cut, Empty, EmptyOn, Error, ErrorPage, ForeignLink,
    Forget, Html, NoAnswer, NoContent, Pause, PausedPage, Refuse, Repeat, ShortJson, TokenGone,
    Waiting,
};

/// All of them.
const ALL: [Lie; 21] = [
    Error,
    Pause,
    PausedPage,
    TokenGone,
    Waiting,
    NoContent,
    Empty,
    EmptyOn,
    ErrorPage,
    Html,
    BrokenJson,
    ShortJson,
    Cut,
    BadGzip,
    NoAnswer,
    Repeat,
    BrokenCarrier,
    ForeignLink,
    Refuse,
    Forget,
    Behind,
];

/// What a lie could be about.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub first: bool,
    pub has_cursor: bool,
    /// Whether there is a next page.
    pub more: bool,
    /// Whether a page was shown before this one in the walk.
    pub shown_before: bool,
    /// How often in a row this very page was shown without items.
    pub empties: u32,
    /// How often in a row this very page was shown with the items of the one before.
    pub repeats: u32,
}

impl Lie {
    /// One that fits, if there is one among three tries.
    pub(crate) fn pick(shape: Shape, moment: Moment, rng: &mut Rng) -> Option<Self> {
        let mut tries = (0..3).map(|_| ALL[rng.usize(0..ALL.len())]);
        tries.find(|lie| lie.fits(shape, moment))
    }

    /// Whether it can be told here, and be noticed or made good by a client that is careful.
    pub(crate) fn fits(self, shape: Shape, moment: Moment) -> bool {
        let Moment { first, has_cursor, more, shown_before, empties, repeats } = moment;
        let counted = matches!(shape.paging, Paging::Number | Paging::Offset);
        let linked = matches!(shape.paging, Paging::Url | Paging::Link);
        let tail = shape.since == Since::Tail;
        match self {
            TokenGone => !first,
            // Where pages are counted, one that stays empty is how every list ends.
            NoContent | Empty => first || shape.is_safe() || !counted || empties < 2,
            EmptyOn => !counted && !tail && shape.paging != Paging::Item,
            // A list that moved on by a whole page looks so for good.
            Repeat => !first && shown_before && (shape.is_safe() || !counted || repeats < 1),
            BrokenCarrier => more && (linked || shape.paging == Paging::Token),
            ForeignLink => more && linked,
            Refuse => first && has_cursor,
            // The link that every page has leads to it: nobody could go on.
            Forget => first && has_cursor && !tail,
            // A lagging copy of a list without an order hides anything, and of one whose pages are
            // counted the order.
            Behind => first && shape.order != Order::Unordered && (!counted || shape.removes),
            _ => true,
        }
    }

    /// Whether a careful client may take it for the truth until the next walk: the answer is one
    /// that an honest producer gives when there is nothing (more).
    pub(crate) fn is_plausible(self, shape: Shape, first: bool) -> bool {
        match self {
            Empty | NoContent => first || shape.is_safe(),
            Behind => true,
            _ => false,
        }
    }

    /// Whether a client may have to record a gap for it, or to end a walk with a warning.
    pub(crate) fn may_cost(self) -> bool {
        matches!(self, Empty | NoContent | EmptyOn | Repeat | Refuse | Forget | ErrorPage)
    }
}
