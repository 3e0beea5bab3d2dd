//! The window against a model: whatever fails, crashes or is rewound, no version is skipped, none
//! settled twice, the keys keep their order, and everything is bounded.

use proptest::prelude::*;

use super::*;

const CONCURRENCY: usize = 4;
const MAX_EXCEPTIONS: usize = 12;
const BATCH: usize = 3;
const KEYS: u64 = 3;

#[derive(Debug, Clone)]
enum Op {
    Append(u64),
    New,
    Due,
    Oldest,
    Settle(u8, u8),
    Split(u8),
    Save,
    FailedSave,
    Crash,
    Rewind(u8),
    Order(u8),
    Redrive(u8),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (1..6_u64).prop_map(Op::Append),
        12 => Just(Op::New),
        4 => Just(Op::Due),
        2 => Just(Op::Oldest),
        16 => (any::<u8>(), any::<u8>()).prop_map(|(at, how)| Op::Settle(at, how)),
        2 => any::<u8>().prop_map(Op::Split),
        5 => Just(Op::Save),
        2 => Just(Op::FailedSave),
        2 => Just(Op::Crash),
        1 => any::<u8>().prop_map(Op::Rewind),
        1 => any::<u8>().prop_map(Op::Order),
        2 => any::<u8>().prop_map(Op::Redrive),
    ];
    prop::collection::vec(op, 1..150)
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let order = prop_oneof![Just(Order::None), Just(Order::Key), Just(Order::Strict)];
    (order, any::<bool>(), any::<bool>(), prop::bool::weighted(0.2)).prop_map(
        |(order, batched, stop_key, at_most_once)| {
            let batch = BatchPolicy { max_events: BATCH, max_wait: Duration::ZERO };
            Rules {
                order,
                batch: batched.then_some(batch),
                wants_all: false,
                max_exceptions: MAX_EXCEPTIONS,
                stop_key: stop_key && order != Order::None,
                at_most_once,
                ..rules()
            }
        },
    )
}

/// The key of a version; one in `KEYS + 1` has none.
fn key(order: Order, version: Version) -> u64 {
    match order {
        Order::None => FREE,
        Order::Key => (version.0.wrapping_mul(0x9E37_79B9) >> 3) % (KEYS + 1),
        Order::Strict => STRICT,
    }
}

struct Model {
    rules: Rules,
    window: Window,
    saved: PositionState,
    head: u64,
    /// Settled within this life, and of those what is on disk. A redrive takes one out again.
    settled: BTreeSet<Version>,
    settled_saved: BTreeSet<Version>,
    dead: BTreeSet<Version>,
    dead_saved: BTreeSet<Version>,
    /// Sent, ever: for what is sent at most once.
    sent: BTreeSet<Version>,
    /// Taken, and to be sent after the next save.
    claimed: Vec<Version>,
    flying: Vec<Vec<Version>>,
}

impl Model {
    fn new(rules: Rules) -> Self {
        Self {
            rules,
            window: Window::new(saved(), rules),
            saved: saved(),
            head: 0,
            settled: BTreeSet::new(),
            settled_saved: BTreeSet::new(),
            dead: BTreeSet::new(),
            dead_saved: BTreeSet::new(),
            sent: BTreeSet::new(),
            claimed: Vec::new(),
            flying: Vec::new(),
        }
    }

    fn step(&mut self, op: &Op) {
        let most = self.rules.batch.map_or(1, |batch| batch.max_events);
        match op {
            Op::Append(count) => {
                self.head += count;
                self.read();
            }
            Op::New | Op::Due | Op::Oldest if self.may_start() => {
                let take = match op {
                    Op::New => self.window.start_new(most, NOW),
                    Op::Due => self.window.start_due(NOW),
                    _ => self.window.start_oldest(NOW),
                };
                self.started(take);
            }
            Op::Settle(at, how) => self.settle(usize::from(*at), *how),
            Op::Split(at) => self.split(usize::from(*at)),
            Op::Save => self.save(),
            Op::FailedSave => self.fail_to_save(),
            Op::Crash => self.crash(),
            Op::Rewind(to) => self.rewind(u64::from(*to)),
            Op::Order(how) => self.reorder(*how),
            Op::Redrive(at) => self.redrive(usize::from(*at)),
            _ => {}
        }
        self.learn();
    }

    fn read(&mut self) {
        let order = self.rules.order;
        let end = self.window.end().0;
        let sift = |event: &Event| {
            let priority = u8::from(event.version.0.is_multiple_of(7)) * 5;
            Sifted::Wanted { lane: key(order, event.version), priority }
        };
        self.window.extend(events(end + 1..=self.head), NOW, sift);
    }

    fn learn(&mut self) {
        for version in self.window.unknown(usize::MAX) {
            self.window.learn(version, key(self.rules.order, version));
        }
    }

    fn may_start(&self) -> bool {
        self.flying.len() < CONCURRENCY
    }

    /// Whatever starts is the lowest of its key that is not settled, and alone in flight.
    fn started(&mut self, take: Option<Take>) {
        let Some(take) = take else { return };
        let versions: Vec<Version> = take.versions.iter().map(|(version, _)| *version).collect();
        assert!(versions.is_sorted(), "{versions:?}");
        for version in &versions {
            let lane = key(self.rules.order, *version);
            assert!(!self.settled.contains(version), "{version} was settled");
            if lane != FREE {
                let all = (1..=self.head).map(Version);
                let same = |other: &Version| key(self.rules.order, *other) == lane;
                for other in all.filter(|other| other != version && same(other)) {
                    let together = versions.contains(&other);
                    let below = other < *version && !self.settled.contains(&other);
                    assert!(!below || together, "{version} overtook {other}");
                    let beside = self.flying.iter().any(|taken| taken.contains(&other));
                    assert!(!beside, "{version} flies beside {other}");
                    let passes = other < *version && self.stopped(other);
                    assert!(!passes, "{version} passed {other}, which stops its key");
                }
            }
        }
        if self.rules.at_most_once {
            self.claimed.extend(&versions);
        }
        self.flying.push(versions);
    }

    fn stopped(&self, version: Version) -> bool {
        let exception = self.window.exception(version);
        exception.is_some_and(|known| known.kind == ExceptionKind::Stopped)
    }

    fn take(&mut self, at: usize) -> Option<Vec<Version>> {
        let free = |taken: &Vec<Version>| !taken.iter().any(|one| self.claimed.contains(one));
        let landed: Vec<usize> =
            (0..self.flying.len()).filter(|at| free(&self.flying[*at])).collect();
        let at = *landed.get(at % landed.len().max(1))?;
        Some(self.flying.swap_remove(at))
    }

    fn settle(&mut self, at: usize, how: u8) {
        let Some(versions) = self.take(at) else { return };
        for (count, version) in versions.into_iter().enumerate() {
            // The parts of a batch end differently.
            let how = how.wrapping_add(u8::try_from(count).unwrap() * (how & 1));
            let settled = match how % 6 {
                0..=2 => Settled::Delivered,
                3 if !self.rules.at_most_once => Settled::Retry(exception(version, NOW.0)),
                4 if !self.rules.at_most_once => Settled::Back,
                _ => Settled::Dead(letter(version)),
            };
            if matches!(settled, Settled::Dead(_)) {
                self.dead.insert(version);
            }
            if matches!(settled, Settled::Delivered | Settled::Dead(_)) {
                assert!(self.settled.insert(version), "{version} settled twice");
            }
            assert!(self.window.settle(version, settled));
        }
    }

    fn split(&mut self, at: usize) {
        if self.rules.at_most_once {
            return;
        }
        if let Some(versions) = self.take(at) {
            self.window.split(&versions);
        }
    }

    fn save(&mut self) {
        if let Some(settlement) = self.window.save(NOW) {
            apply(&mut self.saved, &settlement);
        }
        for version in self.claimed.drain(..) {
            assert!(self.sent.insert(version), "{version} is sent twice");
        }
        // What is sent at most once is settled, as far as the store knows.
        self.settled_saved = self.settled.union(&self.sent).copied().collect();
        self.dead_saved.clone_from(&self.dead);
        // What overtook is beyond the reach, and is sent again after a crash.
        let reach = self.saved.reach;
        self.settled_saved.retain(|version| *version <= reach);
        self.dead_saved.retain(|version| *version <= reach);
    }

    fn fail_to_save(&mut self) {
        let settlement = self.window.save(NOW);
        let claimed = std::mem::take(&mut self.claimed);
        for version in &claimed {
            self.window.settle(*version, Settled::Back);
        }
        self.flying.retain(|taken| !taken.iter().any(|one| claimed.contains(one)));
        if let Some(settlement) = settlement {
            self.window.unsave(settlement);
        }
    }

    fn crash(&mut self) {
        self.window = Window::new(self.saved.clone(), self.rules);
        self.settled.clone_from(&self.settled_saved);
        self.dead.clone_from(&self.dead_saved);
        self.flying.clear();
        self.claimed.clear();
        self.learn();
        self.read();
    }

    fn rewind(&mut self, to: u64) {
        if self.rules.at_most_once {
            return;
        }
        let to = Version(to % (self.head + 1));
        self.saved = PositionState {
            reach: to,
            open: Vec::new(),
            exceptions: Vec::new(),
            dead_up_to: self.saved.dead_up_to,
            ..saved()
        };
        // Forwards it leaves versions out, which is what was asked for.
        self.settled_saved = (1..=to.0).map(Version).collect();
        self.dead_saved.retain(|dead| *dead <= to);
        self.crash();
    }

    fn reorder(&mut self, how: u8) {
        // What overtook did so before there was an order.
        if !self.window.ahead.is_empty() {
            return;
        }
        // What is in flight together now may be of one key afterwards, so it lands first.
        while let Some(versions) = self.take(0) {
            for version in versions {
                assert!(self.settled.insert(version));
                self.window.settle(version, Settled::Delivered);
            }
        }
        if !self.flying.is_empty() {
            return;
        }
        let order = [Order::None, Order::Key, Order::Strict][usize::from(how % 3)];
        let stop_key = self.rules.stop_key && order != Order::None;
        self.rules = Rules { order, stop_key, ..self.rules };
        self.window.rule(self.rules);
        self.learn();
        self.read();
    }

    /// An operator takes a dead letter up again, behind the window's back.
    fn redrive(&mut self, at: usize) {
        if self.rules.at_most_once {
            return;
        }
        self.save();
        let dead: Vec<Version> = self.dead.iter().copied().collect();
        let Some(version) = dead.get(at % dead.len().max(1)).copied() else { return };
        let known = self.saved.exceptions.iter().position(|known| known.version == version);
        // One that was delivered since has no letter any more.
        if version > self.saved.reach || self.saved.open.contains(&version) {
            return;
        }
        let lane = known.and_then(|at| self.saved.exceptions[at].lane);
        self.saved.exceptions.retain(|known| known.version != version);
        self.saved.exceptions.push(Exception {
            lane,
            attempts: 0,
            tries: 0,
            ..exception(version, NOW.0)
        });
        self.window.begin_merge();
        self.window.merge(self.saved.clone());
        self.settled.remove(&version);
        self.settled_saved.remove(&version);
        self.dead.remove(&version);
        self.dead_saved.remove(&version);
    }

    /// Every version is in exactly the place it should be.
    fn check(&self) {
        let window = &self.window;
        let most = self.rules.batch.map_or(1, |batch| batch.max_events);
        assert!(window.open().count() <= CONCURRENCY * most + BATCH * 4);
        assert!(window.exceptions.len() <= MAX_EXCEPTIONS + CONCURRENCY * most);
        assert_eq!(window.end(), Version(self.head.max(window.reach.0)));
        for version in (1..=window.reach.0).map(Version) {
            let stopped = self.stopped(version);
            let owed = window.idle.contains(&version)
                || window.flying.contains(&version)
                || (window.exceptions.contains_key(&version) && !stopped);
            assert_ne!(owed, self.settled.contains(&version), "{version}");
        }
        let startable = window.again.iter().chain(&window.released);
        for version in startable.chain(window.due.iter().map(|(_, version)| version)) {
            assert!(!window.flying.contains(version), "{version} would start twice");
        }
    }

    /// A last crash, and then everything is delivered: nothing may be missing.
    fn run_out(&mut self) {
        self.save();
        self.crash();
        let most = self.rules.batch.map_or(1, |batch| batch.max_events);
        let mut rounds = 0;
        loop {
            let take = self.window.start_due(NOW).or_else(|| self.window.start_new(most, NOW));
            let Some(take) = take else { break };
            self.started(Some(take));
            self.save();
            self.settle(0, 0);
            self.learn();
            rounds += 1;
            assert!(rounds < 10_000);
        }
        let stuck = |version: &Version| {
            let lane = key(self.rules.order, *version);
            let mut all = (1..=version.0).map(Version);
            let is_before = |other| key(self.rules.order, other) == lane && self.stopped(other);
            lane != FREE && all.any(is_before)
        };
        for version in (1..=self.head).map(Version) {
            // Keys that stand still may fill all exceptions; then nothing new starts.
            let full = self.rules.stop_key && !self.window.has_room();
            let waits = full && version > self.window.reach;
            assert!(waits || self.settled.contains(&version) || stuck(&version), "{version}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::cases()))]

    #[test]
    fn nothing_is_skipped_lost_or_out_of_order(rules in any_rules(), ops in ops()) {
        let mut model = Model::new(rules);
        for op in &ops {
            model.step(op);
            model.check();
        }
        model.run_out();
    }
}
