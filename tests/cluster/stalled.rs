//! A node that stands still for longer than its term, and goes on: what it still writes is refused.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use sqlx::{Connection as _, PgConnection};

use super::{
    account::{RULES, history},
    kill::{load, term},
    rig::{Node, Rig},
};
use crate::{
    history::{Fault, History, Kind, Write, check},
    support::{Library, full, postgres::Database},
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
const STALLS_MAX: usize = 40;

/// How long each node stood still, as its clock has it; by default clocks that count that time.
#[derive(Default)]
struct Stills {
    files: Vec<PathBuf>,
    _library: Option<Library>,
}

impl Stills {
    /// Gives the nodes clocks that do not count it. Else a node that wakes knows by its own clock that
    /// its term is over, and writes nothing that a fence would have to refuse.
    fn of(rig: &mut Rig) -> Self {
        let library = Library::build("cluster/still.c");
        let one = |node: &mut Node| {
            let path = node.place.path("still");
            fs::write(&path, 0_i64.to_ne_bytes()).unwrap();
            library.load(&mut node.place);
            node.place.env("STILL_FILE", path.to_str().unwrap());
            path
        };
        let files = rig.nodes.iter_mut().map(one).collect();
        Self { files, _library: Some(library) }
    }

    /// Takes so much more from the clock of a node.
    fn add(&self, node: usize, still: Duration) {
        let Some(path) = self.files.get(node) else { return };
        let before = fs::read(path).unwrap();
        let before = i64::from_ne_bytes(before.try_into().unwrap());
        let now = before + i64::try_from(still.as_micros()).unwrap();
        // In place: the relay has it mapped.
        let file = fs::File::options().write(true).open(path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &now.to_ne_bytes(), 0).unwrap();
    }
}

/// Stops a node for three terms under load, some times; answers when.
async fn stall(rig: &mut Rig, times: usize, stills: &Stills, fenced: bool) -> Vec<Fault> {
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
        // No more than it stood still: a clock never goes back.
        stills.add(victim, began.elapsed().saturating_sub(Duration::from_millis(10)));
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
    let faults = stall(&mut rig, 2, &Stills::default(), true).await;
    let had = rig.settle().await;
    let mut history = history(&rig, &had, &faults).await;
    history.writes = writes(&rig.database).await;
    assert!(history.writes.len() > 100, "{} writes", history.writes.len());
    let figures = check(&history, &RULES).clean();
    println!("stopped for 3 terms of {:?}, twice: {figures:?}", term());
    rig.stop_all().await;
}

/// Whether something was written of a position by a node that another had taken it from.
async fn is_stale(rig: &Rig) -> bool {
    let writes = writes(&rig.database).await;
    let kinds = check(&History { writes, ..History::default() }, &RULES).kinds();
    kinds.contains_key(&Kind::Stale)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fences_alone_refuse_what_a_node_writes_whose_clock_stood_still_too() {
    let mut rig = Rig::new(3, term(), load()).await;
    let stills = Stills::of(&mut rig);
    rig.start_all().await;
    rig.database.run(NOTED.into()).await;
    rig.lists.emit(rig.load);
    stall(&mut rig, 1, &stills, true).await;
    assert!(!is_stale(&rig).await, "written behind a fence");
    // Whether it writes before it is told that another has its work is chance, and takes some stops.
    if full() {
        rig.database.run(UNFENCED.into()).await;
        let mut times = 0;
        while !is_stale(&rig).await {
            assert!(times < STALLS_MAX, "without fences the test could not fail either");
            stall(&mut rig, 1, &stills, false).await;
            times += 1;
        }
        println!("without fences it is written after {times} stops");
    }
    rig.lists.stop();
}
