//! Nodes on one database, all of it in one thread by clocks that are turned by hand. A seed is a history:
//! the same seed is the same history.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    pin::Pin,
    sync::Arc,
    task::Context,
    time::Duration,
};

use milkrun::{
    clock::{Clock, ManualClock},
    event::Micros,
    holdings::Holder,
    store::{NewMember, Work},
};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    node::{Cut, Database, NodeStore, Wire},
    role::{Did, Role},
    schedule::Fault,
    tables::{Number, Tables, Without},
};

/// When every history begins.
pub(super) const START: Micros = Micros(1_800_000_000_000_000);
const WORK: [Work; 2] = [Work::Source, Work::Subscription];
/// How often a node looks for the work of one that died, and how long after the end of a term.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const ENDED: Duration = Duration::from_millis(20);

/// A process.
struct Process {
    run: Pin<Box<dyn Future<Output = ()>>>,
    store: Arc<NodeStore>,
    roles: Vec<Role>,
    stop: CancellationToken,
    changes: watch::Sender<u64>,
}

/// A machine, whose process may be down.
struct Machine {
    name: String,
    clock: ManualClock,
    wire: Arc<Mutex<Wire>>,
    process: Option<Process>,
    frozen: bool,
    next_look: Micros,
    /// When its process does something next.
    due: Micros,
    told: u64,
}

/// All of it.
pub(super) struct World {
    pub now: Micros,
    database: Database,
    machines: Vec<Machine>,
    /// Who took each piece up last.
    working: BTreeMap<Number, i64>,
    /// What must not have been.
    pub wrong: Vec<String>,
    /// What happened, for who looks into a seed.
    pub story: String,
    pub settled: usize,
    /// Whether something is under way that was not when it was checked last.
    flew: bool,
}

impl World {
    pub(super) fn new(machines: usize, term: Duration, without: Without, seed: u64) -> Self {
        let tables = Tables::new(START, without);
        let database =
            Database { tables: Arc::new(Mutex::new(tables)), late: Arc::default(), term };
        let mut world = Self {
            now: START,
            database,
            machines: Vec::new(),
            working: BTreeMap::new(),
            wrong: Vec::new(),
            story: String::new(),
            settled: 0,
            flew: false,
        };
        for number in 0..machines as u64 {
            let wire = Wire {
                cut: Cut::No,
                delay_max: Duration::from_millis(2),
                skew_us: 0,
                dice: fastrand::Rng::with_seed(seed.wrapping_mul(31).wrapping_add(number)),
            };
            world.machines.push(Machine {
                name: format!("node-{number}"),
                clock: ManualClock::new(START),
                wire: Arc::new(Mutex::new(wire)),
                process: None,
                frozen: false,
                next_look: START,
                due: START,
                told: 0,
            });
        }
        world
    }

    /// Adds a piece of work.
    pub(super) fn add(&self, work: Work, number: i64, key: String) {
        let mut tables = self.database.tables.lock();
        tables.pieces.insert((work, number), key);
        tables.fences.insert((work, number), 0);
        tables.told += 1;
    }

    /// Does something to it.
    pub(super) fn suffer(&mut self, fault: &Fault) {
        let _ = writeln!(self.story, "{:>9.3} {fault:?}", self.seconds());
        match *fault {
            Fault::Start(at) => self.start(at),
            Fault::Kill(at) => self.machines[at].process = None,
            Fault::Stop(at) => {
                if let Some(process) = &mut self.machines[at].process {
                    // Roles end before the work is given back.
                    process.roles.clear();
                    process.stop.cancel();
                }
            }
            Fault::Freeze(at, frozen) => {
                self.machines[at].frozen = frozen;
                self.flew = true;
            }
            Fault::Cut(at, cut) => self.machines[at].wire.lock().cut = cut,
            Fault::Slow(at, delay_max) => self.machines[at].wire.lock().delay_max = delay_max,
            Fault::Clock(at, by_us) => {
                self.machines[at].clock.set(by_us);
                self.machines[at].wire.lock().skew_us += by_us;
            }
            Fault::Restarted => self.database.tables.lock().since = self.now,
            Fault::Away(is_away) => {
                let cut = if is_away { Cut::Refused } else { Cut::No };
                for machine in &self.machines {
                    machine.wire.lock().cut = cut;
                }
            }
            Fault::Add(number) => self.add(Work::Subscription, number, format!("late-{number}")),
        }
        for machine in &mut self.machines {
            (machine.next_look, machine.due) = (self.now, self.now);
        }
    }

    fn seconds(&self) -> f64 {
        self.now.since(START).as_secs_f64()
    }

    fn start(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        let clock = Clock::Manual(machine.clock.clone());
        let store =
            Arc::new(NodeStore::new(self.database.clone(), machine.wire.clone(), clock.clone()));
        let new =
            NewMember { name: machine.name.clone(), roles: Vec::new(), work: BTreeSet::from(WORK) };
        let holder = Holder::new(store.clone(), clock, new);
        let roles = WORK.map(|work| Role::new(work, holder.held(work))).into();
        let (changes, stop) = (watch::Sender::new(1), CancellationToken::new());
        let mut news = changes.subscribe();
        news.mark_changed();
        let run = Box::pin(holder.run(news, stop.clone()));
        machine.process = Some(Process { run, store, roles, stop, changes });
        machine.due = self.now;
    }

    /// Goes on until `end`.
    pub(super) fn run_until(&mut self, end: Micros) {
        while self.wrong.is_empty() {
            for at in 0..self.machines.len() {
                self.poll(at);
            }
            if std::mem::take(&mut self.flew) {
                self.check();
            }
            let next = self.next().max(Micros(self.now.0 + 1)).min(end);
            let by = next.since(self.now);
            self.now = next;
            self.database.tables.lock().now = next;
            for machine in &self.machines {
                machine.clock.advance(by);
            }
            self.arrive();
            if next == end {
                return;
            }
        }
    }

    /// When anything happens next.
    fn next(&self) -> Micros {
        let late = self.database.late.lock().iter().map(|(arrives, _)| *arrives).min();
        let of = |machine: &Machine| {
            let _runs = machine.process.as_ref().filter(|_| !machine.frozen)?;
            Some(machine.due.min(machine.next_look))
        };
        let all = self.machines.iter().filter_map(of).chain(late);
        all.min().unwrap_or(Micros(i64::MAX))
    }

    /// Statements arrive whose askers have gone.
    fn arrive(&self) {
        let (due, rest): (Vec<_>, Vec<_>) =
            self.database.late.lock().drain(..).partition(|(arrives, _)| *arrives <= self.now);
        *self.database.late.lock() = rest;
        for (_, statement) in due {
            statement(&mut self.database.tables.lock());
        }
    }

    /// Lets one node do what it can do now.
    fn poll(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        let Some(process) = machine.process.as_mut().filter(|_| !machine.frozen) else { return };
        let told = self.database.tables.lock().told;
        let is_reached = machine.wire.lock().cut == Cut::No;
        let is_told = is_reached && told != machine.told;
        let looks = machine.next_look <= self.now;
        if !is_told && !looks && machine.due > self.now {
            return;
        }
        if is_told {
            machine.told = told;
            process.changes.send_modify(|number| *number += 1);
        }
        if looks {
            let (are_there, ends) = self.database.tables.lock().orphans();
            let pause = ends
                .filter(|_| is_reached)
                .map_or(LOOK_EVERY, |ends| (ends.since(self.now) + ENDED).min(LOOK_EVERY));
            machine.next_look = self.now.plus(pause);
            if are_there && is_reached {
                process.changes.send_modify(|number| *number += 1);
            }
        }
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut did = Vec::new();
        // What roles have ended is heard in the second round.
        for _ in 0..2 {
            if process.run.as_mut().poll(&mut context).is_ready() {
                machine.process = None;
                break;
            }
            for role in &mut process.roles {
                role.step(&process.store, self.now, &mut did);
            }
        }
        let Some(process) = &machine.process else { return };
        let roles = process.roles.iter().filter_map(Role::next);
        let next = machine.clock.awaited().into_iter().chain(roles).min();
        machine.due = next.unwrap_or(Micros(i64::MAX));
        let incarnation = process.store.incarnation();
        for did in did {
            match did {
                Did::Flew => self.flew = true,
                Did::Began(piece) => {
                    self.working.extend(incarnation.map(|incarnation| (piece, incarnation)));
                }
                Did::Settled(piece, by) => {
                    self.settled += 1;
                    if self.working.get(&piece).is_some_and(|last| *last != by) {
                        self.wrong.push(format!("{piece:?}: a settlement of {by} was stale"));
                    }
                }
            }
        }
    }

    /// No piece is worked on by two.
    fn check(&mut self) {
        let mut found: BTreeMap<Number, &str> = BTreeMap::new();
        let mut wrong = Vec::new();
        for machine in self.machines.iter().filter(|machine| !machine.frozen) {
            let Some(process) = &machine.process else { continue };
            for piece in process.roles.iter().flat_map(|role| role.under_way(self.now)) {
                if let Some(other) = found.insert(piece, &machine.name) {
                    wrong.push(format!("{piece:?}: {other} and {} work on it", machine.name));
                }
            }
        }
        self.wrong.extend(wrong);
    }

    /// Every piece is held by one that may begin it, and each node has its part, within a tenth.
    pub(super) fn check_end(&mut self) {
        let tables = self.database.tables.lock();
        let mut wrong = Vec::new();
        let mut loads: BTreeMap<(Work, &str), usize> = BTreeMap::new();
        let up: Vec<&Machine> = self.machines.iter().filter(|it| it.process.is_some()).collect();
        for (work, number) in tables.pieces.keys() {
            let may = |machine: &&&Machine| {
                let process = machine.process.as_ref();
                let role = process.and_then(|it| it.roles.iter().find(|it| it.is_of(*work)));
                role.is_some_and(|role| role.may_begin(*number, self.now))
            };
            let holders: Vec<&&Machine> = up.iter().filter(may).collect();
            if let [one] = holders[..] {
                *loads.entry((*work, &one.name)).or_default() += 1;
            } else {
                let held = tables.held.get(&(*work, *number));
                wrong.push(format!("{work:?} {number}: held by {} ({held:?})", holders.len()));
            }
        }
        for work in WORK {
            let all = tables.pieces.keys().filter(|(of, _)| *of == work).count();
            let even = all / up.len().max(1);
            for machine in &up {
                let load = loads.get(&(work, &*machine.name)).copied().unwrap_or_default();
                // Nobody takes more than an even part, rounded up: the last has what is left.
                if load.abs_diff(even) > (even / 10).max(up.len() - 1) {
                    wrong.push(format!("{}: {load} of {work:?}, even is {even}", machine.name));
                }
            }
        }
        drop(tables);
        self.wrong.extend(wrong);
    }
}
