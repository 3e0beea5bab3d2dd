//! The coordination alone: the real rules of who holds what, on a model of the database, in one process and
//! by clocks that are turned by hand. Thousands of histories, each told by its seed.

mod node;
mod role;
mod same;
mod schedule;
mod tables;
mod world;

use std::time::Duration;

use milkrun::store::Work;

use self::{
    schedule::schedule,
    tables::Without,
    world::{START, World},
};
use crate::support::scaled;

const TERM: Duration = Duration::from_secs(10);

/// What comes of a seed; what is wrong with it first.
fn history(seed: u64, without: Without) -> (Vec<String>, String, usize) {
    let mut dice = fastrand::Rng::with_seed(seed);
    let machines = dice.usize(2..=5);
    let mut world = World::new(machines, TERM, without, seed);
    for number in 0..12 {
        world.add(Work::Source, number, format!("topic-{number}"));
    }
    for number in 0..30 {
        world.add(Work::Subscription, number, format!("subscription-{number}"));
    }
    for (moment, fault) in schedule(&mut dice, machines, TERM) {
        world.run_until(START.plus(moment));
        if !world.wrong.is_empty() {
            break;
        }
        world.suffer(&fault);
    }
    let end = world.now.plus(TERM * 2);
    world.run_until(end);
    if world.wrong.is_empty() {
        world.check_end();
    }
    (world.wrong, world.story, world.settled)
}

/// Seeds beyond the short form that were red once.
const RED: [u64; 1] = [51];

/// The seed that is asked for, or so many.
fn seeds() -> Vec<u64> {
    match std::env::var("MILKRUN_SEED").ok().and_then(|seed| seed.parse::<u64>().ok()) {
        Some(seed) => vec![seed],
        None => (0..scaled(40, 10_000) as u64).chain(RED).collect(),
    }
}

#[test]
fn whatever_happens_each_piece_has_one_holder_and_finds_one() {
    let begun = std::time::Instant::now();
    let (seeds, mut settled) = (seeds(), 0);
    let count = seeds.len();
    for seed in seeds {
        let (wrong, story, done) = history(seed, Without::Nothing);
        assert!(wrong.is_empty(), "MILKRUN_SEED={seed}\n{story}{}", wrong.join("\n"));
        settled += done;
    }
    println!("{count} histories in {:?}, {settled} settlements", begun.elapsed());
}

/// How many seeds it takes until something is wrong.
fn found_without(what: Without) -> (u64, String) {
    let mut found = (0..300).filter_map(|seed| {
        let wrong = history(seed, what).0;
        Some((seed, wrong.first()?.clone()))
    });
    found.next().expect("the test above could not fail")
}

#[test]
fn without_fences_a_stale_settlement_is_accepted() {
    let (seed, wrong) = found_without(Without::Fences);
    println!("seed {seed}: {wrong}");
    assert!(wrong.contains("stale"), "{wrong}");
}

#[test]
fn by_each_nodes_own_clock_two_work_on_one_piece() {
    let (seed, wrong) = found_without(Without::OneClock);
    println!("seed {seed}: {wrong}");
    assert!(wrong.contains("work on it"), "{wrong}");
}
