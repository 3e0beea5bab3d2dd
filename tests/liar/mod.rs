//! A lying producer, in many shapes: what the contract promises is in the log once and in order;
//! what may be lost is a recorded gap or a told failure; `ok` alone never hides anything.
//!
//! `MILKRUN_LIAR_SEED=N` runs one seed alone and prints its story: every request, what was answered
//! and why, every crash, and what the source said of itself. The moments of a kill are counted in
//! what a step waits for, which the disk has a say in: a seed tells nearly the same story again.
//!
//! Not told are lies that nobody could notice: a page that truly looks like the last one of a
//! newest-first list, a counted page that stays empty, items that move to a page which was read
//! already (without an `overlap` over them), and copies that lag behind in lists without an order.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use fastrand::Rng;
use milkrun::prober::Stepped;

use self::{
    bench::{Bench, Crash},
    cases::{CASES, Case},
};
use crate::support::{
    liar::{Liar, State},
    scaled,
};

mod bench;
mod cases;
mod check;

/// Steps while the producer lies.
const STEPS: u32 = 60;
/// Steps within which a well producer must have been read.
const CALM_STEPS: u32 = 400;
/// Walks in a row that find nothing new once the producer is well.
const CALM_WALKS: u32 = 2;
/// Longer than validators are used.
const LONG: Duration = Duration::from_mins(61);
/// Seeds worked on at once.
const WORKERS: usize = 2;

/// What happened, over all seeds.
#[derive(Debug, Default)]
struct Figures {
    told: BTreeMap<String, u64>,
    requests: u64,
    walks: u64,
    failures: BTreeMap<String, u64>,
    events: u64,
    gaps: BTreeMap<String, u64>,
    lost: u64,
    crashes: u64,
    resets: u64,
    anew_after_pause: u64,
}

impl Figures {
    fn add(&mut self, other: Self) {
        for (sum, part) in [
            (&mut self.told, other.told),
            (&mut self.failures, other.failures),
            (&mut self.gaps, other.gaps),
        ] {
            for (name, count) in part {
                *sum.entry(name).or_default() += count;
            }
        }
        self.requests += other.requests;
        self.walks += other.walks;
        self.events += other.events;
        self.lost += other.lost;
        self.crashes += other.crashes;
        self.resets += other.resets;
        self.anew_after_pause += other.anew_after_pause;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lying_producer_shows_is_logged_or_told() {
    if let Ok(seed) = std::env::var("MILKRUN_LIAR_SEED") {
        let (story, outcome) = run(seed.parse().unwrap()).await;
        println!("{story}");
        outcome.unwrap();
        return;
    }
    let (seeds, next) = (scaled(200, 2_000) as u64, Arc::new(AtomicU64::new(0)));
    let work = |_| {
        let next = next.clone();
        tokio::spawn(async move {
            let (mut figures, mut wrong) = (Figures::default(), Vec::new());
            loop {
                let seed = next.fetch_add(1, SeqCst);
                if seed >= seeds {
                    return (figures, wrong);
                }
                match run(seed).await {
                    (_, Ok(one)) => figures.add(one),
                    (story, Err(problem)) => wrong.push((seed, problem, story)),
                }
            }
        })
    };
    let workers: Vec<_> = (0..WORKERS).map(work).collect();
    let (mut figures, mut wrong) = (Figures::default(), Vec::new());
    for worker in workers {
        let (some, failed) = worker.await.unwrap();
        figures.add(some);
        wrong.extend(failed);
    }
    println!("{seeds} seeds over {} producers: {figures:#?}", CASES.len());
    wrong.sort_by_key(|(seed, ..)| *seed);
    if let Some((seed, _, story)) = wrong.first() {
        let all: Vec<String> =
            wrong.iter().map(|(seed, problem, _)| format!("{seed}: {problem}")).collect();
        panic!("{story}\n{}\nagain: MILKRUN_LIAR_SEED={seed}", all.join("\n"));
    }
    assert!(figures.events > seeds * 10 && figures.crashes > seeds, "{figures:?}");
    assert_eq!(figures.anew_after_pause, 0, "a pause that was asked for cost a walk");
}

/// One seed: its story, and what was wrong.
async fn run(seed: u64) -> (String, Result<Figures, String>) {
    let index = usize::try_from(seed).unwrap() % CASES.len();
    let (case, mut rng) = (&CASES[index], Rng::with_seed(seed));
    let lost = ["earliest", "full_walk", "fail"][rng.usize(0..3)];
    let yaml = case.yaml.replace("LOST", lost);
    let bench = Bench::new(&yaml, Liar::new(case.shape, seed)).await;
    let mut trial = Trial {
        case,
        bench,
        rng,
        figures: Figures::default(),
        walks: 0,
        gaps: 0,
        excused: BTreeSet::new(),
        reported: None,
    };
    let outcome = trial.run().await;
    let mut story = format!("seed {seed}, {}:{yaml}\n", case.name);
    story.push_str(&trial.bench.liar.state().story.join("\n"));
    let log: Vec<String> =
        trial.bench.log.iter().map(|event| format!("{}{}", event.id, event.content.0)).collect();
    write!(story, "\nlog: {}\n{outcome:?}", log.join(" ")).unwrap();
    (story, outcome.map(|()| trial.figures))
}

struct Trial {
    case: &'static Case,
    bench: Bench,
    rng: Rng,
    figures: Figures,
    /// Complete walks so far, and gaps recorded.
    walks: u64,
    gaps: usize,
    /// What was not in the log when a gap was recorded: it may be lost.
    excused: BTreeSet<u64>,
    /// The last report that was looked at.
    reported: Option<String>,
}

impl Trial {
    async fn run(&mut self) -> Result<(), String> {
        for _ in 0..STEPS {
            let crash = self.crash();
            if self.rng.u8(0..4) == 0 {
                self.bench.liar.state().live(3);
            }
            self.step(crash).await?;
        }
        self.bench.liar.state().lying = false;
        self.tell("the producer is well");
        self.calm().await?;
        self.bench.clock.advance(LONG);
        self.calm().await?;
        self.end().await
    }

    /// Steps until nothing new is found.
    async fn calm(&mut self) -> Result<(), String> {
        let (mut calm, mut steps) = (0, 0);
        while calm < CALM_WALKS {
            let before = (self.walks, self.bench.log.len());
            self.step(None).await?;
            let after = (self.walks, self.bench.log.len());
            calm = if before.1 == after.1 { calm + u32::from(after.0 > before.0) } else { 0 };
            steps += 1;
            if steps > CALM_STEPS {
                return Err("the source does not come to rest".into());
            }
        }
        Ok(())
    }

    fn crash(&mut self) -> Option<Crash> {
        match self.rng.u8(0..40) {
            0 | 1 => Some(Crash::Answer),
            2 | 3 => Some(Crash::Append(self.rng.usize(1..=3))),
            4 => Some(Crash::Wait(self.rng.usize(1..=4))),
            _ => None,
        }
    }

    fn tell(&self, what: &str) {
        self.bench.liar.state().story.push(what.to_owned());
    }

    /// One step; when a walk ends by it, what it said is held against what it had.
    async fn step(&mut self, crash: Option<Crash>) -> Result<(), String> {
        let stepped = self.bench.step(crash).await;
        match stepped {
            None => {
                self.figures.crashes += 1;
                self.tell(&format!("killed: {crash:?}"));
            }
            Some(Stepped::Idle) => return Err("the source stands still".into()),
            Some(_) => {}
        }
        self.bench.catch_up().await;
        self.look_for_gaps().await;
        let state = self.bench.state().await;
        let is_new = state.report != self.reported;
        self.reported.clone_from(&state.report);
        let Some(report) = Bench::report(&state).filter(|_| is_new) else { return Ok(()) };
        self.tell(&format!("  {report:?}"));
        if state.walks == self.walks {
            self.failed(&report.result).await;
            return Ok(());
        }
        self.walks = state.walks;
        self.figures.walks += 1;
        let liar = self.bench.liar.state();
        if self.case.at_once && report.message.is_none() && !liar.fooled {
            let unseen = self.unseen(&liar);
            if !unseen.is_empty() {
                return Err(format!("`{}` alone, without items {unseen:?}", report.result));
            }
        }
        Ok(())
    }

    /// What is missing and not excused.
    fn unseen(&self, liar: &State) -> Vec<u64> {
        let unseen = check::unseen(liar, &self.bench.log).into_iter();
        unseen.filter(|id| !self.excused.contains(id)).collect()
    }

    async fn look_for_gaps(&mut self) {
        let gaps = self.bench.gaps().await;
        for gap in &gaps[..gaps.len().saturating_sub(self.gaps)] {
            self.tell(&format!("gap: {}: {}", gap.reason, gap.detail));
            *self.figures.gaps.entry(gap.reason.clone()).or_default() += 1;
            // A cursor that is lost costs nothing by the policies that are tried here.
            if gap.reason != "cursor_lost" {
                self.excused.extend(check::unseen(&self.bench.liar.state(), &self.bench.log));
            }
        }
        self.gaps = gaps.len();
    }

    async fn failed(&mut self, result: &str) {
        *self.figures.failures.entry(result.to_owned()).or_default() += 1;
        let well = !self.bench.liar.state().lying;
        if result == "cursor_lost" && well {
            self.tell("the cursor is reset by hand");
            self.figures.resets += 1;
            self.bench.reset_cursor().await;
        }
    }

    /// Holds the log against the truth.
    async fn end(&mut self) -> Result<(), String> {
        let gaps = self.bench.gaps().await;
        let liar = self.bench.liar.state();
        check::sound(self.case, &liar, &self.bench.log, gaps.is_empty())?;
        let unseen = self.unseen(&liar);
        if !unseen.is_empty() {
            return Err(format!("items {unseen:?} are lost, and no gap was recorded"));
        }
        if !gaps.is_empty() && !liar.costly {
            return Err(format!("gaps without a reason: {gaps:?}"));
        }
        self.figures.lost = check::unseen(&liar, &self.bench.log).len() as u64;
        self.figures.events = self.bench.log.len() as u64;
        self.figures.requests = liar.requests;
        self.figures.anew_after_pause = liar.anew_after_pause;
        self.figures.told =
            liar.told.iter().map(|(lie, count)| (format!("{lie:?}"), *count)).collect();
        Ok(())
    }
}
