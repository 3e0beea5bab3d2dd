//! A node that stands still for longer than its term, and goes on: what it still writes is refused.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use sqlx::{Connection as _, PgConnection};

use super::{
    account::{RULES, history},
    kill::{load, term},
    rig::Rig,
};
use crate::{
    history::{Fault, History, Kind, Write, check},
    support::postgres::Database,
};

/// Notes what is written of positions, in the order of the commits: the row is locked until then.
pub(super) const NOTED: &str =
    "CREATE TABLE written (n bigserial, position bigint, fence bigint, reach bigint);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO written (position, fence, reach) VALUES (NEW.id, NEW.fence, NEW.reach);
    RETURN NEW; END $$;
    CREATE TRIGGER note BEFORE UPDATE ON positions FOR EACH ROW EXECUTE FUNCTION note()";

/// Takes the protection away: whoever takes work over raises no fence,
const UNFENCED: &str = "CREATE FUNCTION keep_fence() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    NEW.fence := OLD.fence; RETURN NEW; END $$;
    CREATE TRIGGER keep_fence BEFORE UPDATE OF fence ON positions
    FOR EACH ROW EXECUTE FUNCTION keep_fence()";

/// and nobody remembers who holds it.
const UNHELD: &str = "DELETE FROM held";

/// How often a node without a fence is stopped at most, until it has written what it should not.
const STALLS_MAX: usize = 8;

/// Stops a node for three terms under load, some times; answers when.
async fn stall(rig: &mut Rig, times: usize, fenced: bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    for round in 0..times {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let victim = round % rig.nodes.len();
        let relay = rig.nodes[victim].relay.as_ref().expect("a node that runs");
        relay.signal(Signal::STOP);
        let began = Instant::now();
        tokio::time::sleep(term() * 3).await;
        if !fenced {
            rig.database.run(UNHELD.into()).await;
        }
        relay.signal(Signal::CONT);
        let what = format!("a stop of node-{victim}");
        faults.push(Fault { what, began, healed: Instant::now() });
        rig.until_held().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    faults
}

/// What was written of positions.
pub(super) async fn writes(database: &Database) -> Vec<Write> {
    let mut conn = PgConnection::connect(&database.url).await.expect("a connection");
    let sql = "SELECT position, fence, reach FROM written ORDER BY n";
    let rows: Vec<(i64, i64, i64)> = sqlx::query_as(sql).fetch_all(&mut conn).await.expect("rows");
    let write = |(position, fence, progress)| {
        let of = format!("position {position}");
        Write { of, fence, progress }
    };
    rows.into_iter().map(write).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_that_stood_still_writes_is_refused() {
    let mut rig = Rig::new(3, term(), load()).await;
    rig.start_all().await;
    rig.database.run(NOTED.into()).await;
    rig.lists.emit(rig.load);
    let faults = stall(&mut rig, 2, true).await;
    let had = rig.settle().await;
    let mut history = history(&rig, &had, &faults).await;
    history.writes = writes(&rig.database).await;
    assert!(history.writes.len() > 100, "{} writes", history.writes.len());
    let figures = check(&history, &RULES).clean();
    println!("stopped for 3 terms of {:?}, twice: {figures:?}", term());
    rig.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_fences_some_of_it_is_accepted() {
    let mut rig = Rig::new(3, term(), load()).await;
    rig.start_all().await;
    rig.database.run(NOTED.into()).await;
    rig.database.run(UNFENCED.into()).await;
    rig.lists.emit(rig.load);
    // Whether the node has something under way at the moment it is stopped is chance.
    let mut is_accepted = false;
    for _ in 0..STALLS_MAX {
        stall(&mut rig, 1, false).await;
        let writes = writes(&rig.database).await;
        let kinds = check(&History { writes, ..History::default() }, &RULES).kinds();
        println!("without fences: {kinds:?}");
        is_accepted = kinds.contains_key(&Kind::Stale);
        if is_accepted {
            break;
        }
    }
    assert!(is_accepted, "the test above could not fail");
    rig.lists.stop();
}
