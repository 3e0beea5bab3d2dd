//! `milkrun demo --cluster`: three nodes on one PostgreSQL, of which one is killed.
//!
//! Everything is on this machine and in a temporary folder. The nodes are processes of this same
//! program, so a kill is a kill: nothing of it is played.

use std::{collections::BTreeSet, process::ExitCode, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};

use self::{
    board::{Holders, Piece, line},
    proof::Evidence,
    scene::{Scene, Turn},
};
use super::{
    super::{Failure, output::print, run::Signals},
    stage::{replay, tell},
    story::Mark,
};
use crate::clock;

mod board;
mod node;
mod postgres;
mod programs;
mod proof;
mod scene;

/// After this the part that is checked is over, complete or not.
const PATIENCE: Duration = Duration::from_mins(1);
/// The work has been shared out when nothing of it moved for so long: a node that has to let go of
/// a piece keeps it for 2 seconds.
const CALM: Duration = Duration::from_secs(4);
/// Between two new orders.
const BETWEEN_ORDERS: Option<Duration> = Some(Duration::from_millis(350));
/// Orders that come once all work was taken over.
const ORDERS_AFTER: usize = 4;

/// What ends the demo from outside; whatever is dropped then ends too.
struct Ends {
    signals: Signals,
    hangup: Signal,
}

impl Ends {
    async fn wait(&mut self) {
        tokio::select! {
            () = self.signals.stop() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

pub(super) async fn run(once: bool) -> Result<ExitCode, Failure> {
    let mut ends = Ends { signals: Signals::new()?, hangup: signal(SignalKind::hangup())? };
    let early = if once { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    let mut scene = tokio::select! {
        scene = Scene::build() => scene?,
        () = ends.wait() => return Ok(early),
    };
    let kept = tokio::select! {
        kept = show(&mut scene) => kept?,
        () = ends.wait() => return Ok(early),
    };
    if !once {
        tokio::select! {
            ended = go_on(&mut scene) => ended?,
            () = ends.wait() => {}
        }
    }
    Ok(if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The part that is checked: answers whether everything was as promised.
async fn show(scene: &mut Scene) -> Result<bool, Failure> {
    let until = clock::instant() + PATIENCE;
    let holders = shared_out(scene, until).await?;
    let (killed, held) = kill(scene, &holders, until).await?;
    let abandoned = taken_over(scene, &killed, held, until).await?;
    let enough = scene.shop.count() + ORDERS_AFTER;
    while scene.shop.count() < enough {
        scene.turn(BETWEEN_ORDERS).await?;
    }
    while !scene.has_reached_all() && clock::instant() < until {
        scene.turn(None).await?;
    }
    let Some(node) = scene.nodes.first() else { return Ok(false) };
    let log = replay(&node.client()?).await?;
    let text = format!("versions 1 to {} read again from {}", log.len(), node.name);
    scene.story.tell(Mark::Good, "replay", &text)?;
    let emitted = scene.shop.ids();
    let evidence = Evidence {
        emitted: &emitted,
        received: &scene.seen,
        log: &log,
        killed: &killed,
        abandoned: &abandoned,
    };
    let twice: Vec<String> = evidence
        .duplicates()
        .iter()
        .map(|(id, times)| format!("{id} came {times} times"))
        .collect();
    let text = if twice.is_empty() {
        format!("none: {killed} had noted all that it had delivered")
    } else {
        format!("{}: {killed} had no time to note that it was delivered", twice.join(", "))
    };
    scene.story.tell(Mark::Plain, "duplicates", &text)?;
    print("")?;
    tell(&scene.story, evidence.checks())
}

/// Waits until every piece of work has a node and stays with it; tells who has what.
async fn shared_out(scene: &mut Scene, until: Instant) -> Result<Holders, Failure> {
    let (mut known, mut since) = (Holders::new(), clock::instant());
    loop {
        let Turn::Look(holders) = scene.turn(BETWEEN_ORDERS).await? else { continue };
        if holders != known {
            (known, since) = (holders, clock::instant());
        }
        let is_there = |piece: Piece| known.contains_key(&piece);
        let all = is_there(Piece::source()) && is_there(Piece::subscription());
        if all && known.values().all(Option::is_some) && since.elapsed() >= CALM {
            break;
        }
        if clock::instant() >= until {
            let text =
                "the nodes did not share out the work in a minute: the machine may be too busy";
            return Err(Failure::new(text));
        }
    }
    for node in &scene.nodes {
        let text = format!("has {}", line(&pieces_of(&known, &node.name)));
        scene.story.tell(Mark::Plain, &node.name, &text)?;
    }
    Ok(known)
}

fn pieces_of(holders: &Holders, node: &str) -> BTreeSet<Piece> {
    let own = holders.iter().filter(|(_, holder)| holder.as_deref() == Some(node));
    own.map(|(piece, _)| piece.clone()).collect()
}

/// Kills the node that serves the consumer, right after a delivery; answers with its name and what it
/// held.
async fn kill(
    scene: &mut Scene,
    holders: &Holders,
    until: Instant,
) -> Result<(String, BTreeSet<Piece>), Failure> {
    while !matches!(scene.turn(BETWEEN_ORDERS).await?, Turn::Delivery) {
        if clock::instant() >= until {
            return Err(Failure::new("nothing is delivered although every node runs"));
        }
    }
    let name = holders.get(&Piece::subscription()).cloned().flatten().unwrap_or_default();
    let Some(at) = scene.nodes.iter().position(|node| node.name == name) else {
        return Err(Failure::new(format!(
            "`{name}` serves the consumer, which is none of the nodes"
        )));
    };
    scene.nodes.remove(at).kill().await?;
    let held = pieces_of(holders, &name);
    scene.story.tell(
        Mark::Bad,
        "KILLED",
        &format!("{name}, by SIGKILL; it had {}", line(&held)),
    )?;
    let text = format!("until {name}'s term of 3 s ends: for the others it may still be at work");
    scene.story.tell(Mark::Plain, "waiting", &text)?;
    Ok((name, held))
}

/// Waits until other nodes have all of that work; answers with what nobody took.
async fn taken_over(
    scene: &mut Scene,
    killed: &str,
    held: BTreeSet<Piece>,
    until: Instant,
) -> Result<Vec<Piece>, Failure> {
    let (mut open, began) = (held, clock::instant());
    while !open.is_empty() && clock::instant() < until {
        let Turn::Look(holders) = scene.turn(BETWEEN_ORDERS).await? else { continue };
        let seconds = began.elapsed().as_secs_f64();
        for node in scene.nodes.iter().filter(|node| node.name != killed) {
            let taken = pieces_of(&holders, &node.name);
            let taken: Vec<&Piece> = open.intersection(&taken).collect();
            if !taken.is_empty() {
                let text = format!("{} has {} now, {seconds:.1} s later", node.name, line(taken));
                scene.story.tell(Mark::Good, "taken over", &text)?;
            }
        }
        open.retain(|piece| {
            let holder = holders.get(piece).and_then(Option::as_deref);
            holder.is_none_or(|holder| holder == killed)
        });
    }
    Ok(open.into_iter().collect())
}

/// Goes on until Ctrl-C.
async fn go_on(scene: &mut Scene) -> Result<(), Failure> {
    print("\nThe other two go on, with an order every two seconds; open")?;
    for node in &scene.nodes {
        for (path, what) in [
            ("console/", "the console of"),
            ("docs", "the API of"),
            ("v1/topics/orders/events?after=0", "the log from version 1, by"),
            ("v1/subscriptions/billing", "where the consumer stands, by"),
        ] {
            print(&format!("  {:<58}  {what} {}", format!("{}/{path}", node.api), node.name))?;
        }
    }
    print(&format!("  {:<58}  what the producer shows", scene.producer))?;
    print("Ctrl-C ends all of it, the database too.\n")?;
    loop {
        scene.turn(Some(Duration::from_secs(2))).await?;
    }
}
