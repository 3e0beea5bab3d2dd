//! A node that stands still for longer than its term, and goes on: what it still writes is refused.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use sqlx::{Connection as _, PgConnection};

use super::{
    account::account,
    kill::{load, term},
    rig::Rig,
};

/// Counts settlements that take a position back: only one that knows nothing of later ones can.
const COUNTED: &str = "CREATE TABLE stale (at timestamptz);
    CREATE FUNCTION count_stale() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.reach < OLD.reach THEN INSERT INTO stale VALUES (clock_timestamp()); END IF;
    RETURN NEW; END $$;
    CREATE TRIGGER count_stale BEFORE UPDATE ON positions FOR EACH ROW EXECUTE FUNCTION count_stale()";

/// Takes the protection away: whoever takes work over raises no fence,
const UNFENCED: &str = "CREATE FUNCTION keep_fence() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    NEW.fence := OLD.fence; RETURN NEW; END $$;
    CREATE TRIGGER keep_fence BEFORE UPDATE OF fence ON positions
    FOR EACH ROW EXECUTE FUNCTION keep_fence()";

/// and nobody remembers who holds it.
const UNHELD: &str = "DELETE FROM held";

/// Stops a node for three terms under load, some times; answers the stale settlements that were
/// accepted, and when the node was stopped.
async fn stall(rig: &mut Rig, times: usize, fenced: bool) -> (i64, Vec<Instant>) {
    let mut stops = Vec::new();
    for round in 0..times {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let victim = round % rig.nodes.len();
        let relay = rig.nodes[victim].relay.as_ref().expect("a node that runs");
        relay.signal(Signal::STOP);
        stops.push(Instant::now());
        tokio::time::sleep(term() * 3).await;
        if !fenced {
            rig.database.run(UNHELD.into()).await;
        }
        relay.signal(Signal::CONT);
        rig.until_held().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let mut conn = PgConnection::connect(&rig.database.url).await.expect("a connection");
    let stale = sqlx::query_scalar("SELECT count(*) FROM stale").fetch_one(&mut conn).await;
    (stale.expect("a count"), stops)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_that_stood_still_writes_is_refused() {
    let mut rig = Rig::new(3, term(), load()).await;
    rig.start_all().await;
    rig.database.run(COUNTED.into()).await;
    rig.lists.emit(rig.load);
    let (stale, stops) = stall(&mut rig, 2, true).await;
    let had = rig.settle().await;
    let figures = account(&rig, &had, &stops).await;
    println!(
        "stopped for 3 terms of {:?}, twice: {stale} stale writes accepted, {figures:?}",
        term()
    );
    assert_eq!(stale, 0, "stale settlements were accepted");
    rig.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_fences_some_of_it_is_accepted() {
    let mut rig = Rig::new(3, term(), load()).await;
    rig.start_all().await;
    rig.database.run(COUNTED.into()).await;
    rig.database.run(UNFENCED.into()).await;
    rig.lists.emit(rig.load);
    let (stale, _) = stall(&mut rig, 2, false).await;
    println!("without fences: {stale} stale writes accepted");
    assert!(stale > 0, "the test above could not fail");
    rig.lists.stop();
}
