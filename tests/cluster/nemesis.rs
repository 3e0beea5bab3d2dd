//! What can happen to nodes, under load: one after the other, and at random by a seed that is printed. The
//! checker finds nothing, and things go on soon after each.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{
    account::{RULES, history},
    kill::{load, term},
    rig::Rig,
    stalled::{NOTED, writes},
};
use crate::{
    history::{Fault, Figures, Rules, check},
    process::seeded,
    support::{
        full,
        postgres::{Database, Own, Release},
        proxy::Cut,
        scaled,
    },
};

/// Something that happens to a node, and is undone.
#[derive(Debug, Clone, Copy)]
enum Act {
    Kill,
    Stop,
    Freeze,
    Cut(Cut),
}

const ACTS: [Act; 6] = [
    Act::Kill,
    Act::Stop,
    Act::Freeze,
    Act::Cut(Cut::Both),
    Act::Cut(Cut::There),
    Act::Cut(Cut::Back),
];

/// One step of a schedule.
#[derive(Debug, Clone, Copy)]
struct Step {
    after: Duration,
    node: usize,
    act: Act,
    lasts: Duration,
}

/// Steps by a seed.
fn schedule(dice: &mut fastrand::Rng, steps: usize, nodes: usize) -> Vec<Step> {
    let mut step = || Step {
        after: Duration::from_millis(dice.u64(200..1_500)),
        node: dice.usize(0..nodes),
        act: ACTS[dice.usize(0..ACTS.len())],
        lasts: term().mul_f64(dice.f64() * 2.5),
    };
    (0..steps).map(|_| step()).collect()
}

/// Does a step and undoes it.
async fn suffer(rig: &mut Rig, step: Step) -> Fault {
    tokio::time::sleep(step.after).await;
    let began = Instant::now();
    let node = &mut rig.nodes[step.node];
    match step.act {
        Act::Kill => drop(node.relay.take().expect("it runs").kill().await),
        Act::Stop => assert!(node.relay.take().expect("it runs").stop().await.success()),
        Act::Freeze => node.relay.as_ref().expect("it runs").signal(Signal::STOP),
        Act::Cut(cut) => node.wire.cut(cut),
    }
    tokio::time::sleep(step.lasts).await;
    match step.act {
        Act::Kill | Act::Stop => rig.start(step.node).await,
        Act::Freeze => node.relay.as_ref().expect("it runs").signal(Signal::CONT),
        Act::Cut(_) => node.wire.cut(Cut::No),
    }
    Fault { what: format!("{step:?}"), began, healed: Instant::now() }
}

/// Does the steps one after the other under load, and has what happened checked.
async fn run(steps: &[Step]) -> Figures {
    for step in steps {
        println!("{step:?}");
    }
    let mut rig = begin(Database::new(Release::Oldest).await).await;
    let mut faults = Vec::new();
    for step in steps {
        faults.push(suffer(&mut rig, *step).await);
        go_on(&rig).await;
    }
    // Twice as long in an unoptimised build on two busy cores.
    let recovery_max = Duration::from_secs(if full() { 5 } else { 10 });
    end(rig, &faults, recovery_max).await
}

/// Nodes under load.
async fn begin(database: Database) -> Rig {
    let mut rig = Rig::on(database, 3, term(), load()).await;
    rig.start_all().await;
    rig.database.run(NOTED.into()).await;
    rig.lists.emit(rig.load);
    rig
}

/// Waits until all is well again, and every busy subscription can have been served.
async fn go_on(rig: &Rig) {
    rig.until_held().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// Has what happened checked.
async fn end(mut rig: Rig, faults: &[Fault], recovery_max: Duration) -> Figures {
    let had = rig.settle().await;
    let mut history = history(&rig, &had, faults).await;
    history.writes = writes(&rig.database).await;
    let rules = Rules { recovery_max: Some(recovery_max), ..RULES };
    let figures = check(&history, &rules).clean();
    println!("{} faults: {figures:?}", faults.len());
    rig.stop_all().await;
    figures
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_from_its_database_is_replaced_and_comes_back() {
    let cut = |(node, cut)| Step {
        after: Duration::from_millis(500),
        node,
        act: Act::Cut(cut),
        lasts: term() * 2,
    };
    run(&[Cut::Both, Cut::There, Cut::Back].into_iter().enumerate().map(cut).collect::<Vec<_>>())
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_crashes_and_comes_back_has_lost_nothing() {
    let server = Own::start(Release::Oldest).await;
    let (rig, mut faults) = (begin(Database::on(&server.url()).await).await, Vec::new());
    for crash in 0..scaled(2, 10) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let began = Instant::now();
        server.crash();
        // Shorter than a term, and longer than one.
        tokio::time::sleep(if crash % 2 == 0 { term() / 4 } else { term() * 3 / 2 }).await;
        server.up().await;
        faults.push(Fault { what: format!("crash {crash}"), began, healed: Instant::now() });
        go_on(&rig).await;
    }
    let recovery_max = Duration::from_secs(if full() { 10 } else { 20 });
    end(rig, &faults, recovery_max).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_to_nodes_nothing_is_lost() {
    let steps = schedule(&mut seeded(), scaled(4, 150), 3);
    run(&steps).await;
}
