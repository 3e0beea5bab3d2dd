//! The model is the database: random histories of several nodes, each step done on both, with the same
//! answer and the same rows afterwards. The database's clock is turned by hand for that.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use milkrun::{
    clock::{Clock, ManualClock},
    event::{Micros, Version},
    settings::TopicSettings,
    store::{
        Holding as _, Member, NewMember, Options, Settlement, Share, Store, StoreError, Work, open,
    },
};
use parking_lot::Mutex;
use sqlx::{Connection as _, PgConnection};

use super::{
    TERM,
    node::{Cut, Database, NodeStore, Wire},
    tables::{Held, Node, Number, Tables, Without},
    world::START,
};
use crate::{
    process::seeded,
    store::{NOW, name, source, subscribe},
    support::{
        postgres::{self, Release},
        scaled,
    },
};

/// What asks for the time is answered by a table: the statements stay as they are.
const BY_HAND: &str = "CREATE SCHEMA by_hand;
    CREATE TABLE by_hand.clock (at timestamptz, started timestamptz);
    INSERT INTO by_hand.clock VALUES ('epoch', 'epoch');
    CREATE FUNCTION by_hand.clock_timestamp() RETURNS timestamptz LANGUAGE sql
        AS 'SELECT at FROM by_hand.clock';
    CREATE FUNCTION by_hand.pg_postmaster_start_time() RETURNS timestamptz LANGUAGE sql
        AS 'SELECT started FROM by_hand.clock'";

const NODES: usize = 3;

/// One node, on both.
struct Both {
    real: Arc<dyn Store>,
    model: NodeStore,
    clock: ManualClock,
    member: Member,
}

/// The database, the model, and who works on them.
struct Bench {
    database: postgres::Database,
    conn: PgConnection,
    tables: Arc<Mutex<Tables>>,
    nodes: Vec<Both>,
    /// The position of each subscription: topic and number.
    positions: BTreeMap<i64, (i64, i64)>,
}

fn work_of(text: &str) -> Work {
    match text {
        "source" => Work::Source,
        "subscription" => Work::Subscription,
        "retention" => Work::Retention,
        "pending" => Work::Pending,
        other => panic!("{other}"),
    }
}

fn new_member(node: usize) -> NewMember {
    NewMember { name: format!("node-{node}"), roles: Vec::new(), work: Work::ALL.into() }
}

impl Bench {
    async fn new(release: Release) -> Self {
        let database = postgres::Database::new(release).await;
        let first = open(&database.url, &Options::default()).await.expect("a store");
        let mut model = Tables::new(START, Without::Nothing);
        for topic in ["a", "b", "c", "d"] {
            let topic = name(topic);
            first.put_topic(&topic, &TopicSettings::default(), NOW).await.expect("a topic");
            for number in 0..2 {
                subscribe(&first, &format!("{topic}-{number}"), &topic).await;
            }
        }
        first.put_source(&source(&name("a")), NOW).await.expect("a source");
        first.close().await;
        drop(first);
        database.run(BY_HAND.into()).await;
        let (_, of) = database.url.rsplit_once('/').expect("a name");
        let path = format!("ALTER DATABASE {of} SET search_path = public, by_hand, pg_catalog");
        database.run(path).await;
        let mut conn = PgConnection::connect(&database.url).await.expect("a connection");
        for (work, sql) in [
            (Work::Source, "SELECT s.id, t.name FROM sources s JOIN topics t ON t.id = s.topic"),
            (Work::Subscription, "SELECT id, name FROM subscriptions"),
            (Work::Retention, "SELECT id, name FROM topics"),
            (Work::Pending, "SELECT id, name FROM topics"),
        ] {
            let rows: Vec<(i64, String)> =
                sqlx::query_as(sql).fetch_all(&mut conn).await.expect("pieces");
            model.pieces.extend(rows.into_iter().map(|(id, key)| ((work, id), key)));
        }
        model.fences = fences(&mut conn).await;
        let sql = "SELECT subscription, topic, id FROM positions";
        let rows: Vec<(i64, i64, i64)> =
            sqlx::query_as(sql).fetch_all(&mut conn).await.expect("it");
        let positions = rows.into_iter().map(|(of, topic, id)| (of, (topic, id))).collect();
        let tables = Arc::new(Mutex::new(model));
        let mut bench = Self { database, conn, tables, nodes: Vec::new(), positions };
        bench.turn(Duration::ZERO).await;
        for node in 0..NODES {
            bench.open(node).await;
        }
        bench
    }

    async fn open(&mut self, node: usize) {
        let clock = ManualClock::new(START);
        let options =
            Options { clock: Clock::Manual(clock.clone()), term: TERM, ..Options::default() };
        let real = open(&self.database.url, &options).await.expect("a store");
        let database = Database { tables: self.tables.clone(), late: Arc::default(), term: TERM };
        let wire = Wire {
            cut: Cut::No,
            delay_max: Duration::ZERO,
            skew_us: 0,
            dice: fastrand::Rng::with_seed(0),
        };
        let model = NodeStore::new(database, Arc::new(Mutex::new(wire)), options.clock);
        let member = real.join(&new_member(node)).await.expect("a member");
        assert_eq!(model.join(&new_member(node)).await.expect("a member"), member);
        self.nodes.push(Both { real, model, clock, member });
    }

    /// Lets time pass, for all.
    async fn turn(&mut self, by: Duration) {
        let now = {
            let mut tables = self.tables.lock();
            tables.now = tables.now.plus(by);
            tables.now
        };
        for node in &self.nodes {
            node.clock.advance(by);
        }
        self.set("at", now).await;
    }

    async fn set(&mut self, column: &str, moment: Micros) {
        let sql = format!(
            "UPDATE by_hand.clock SET {column} = 'epoch'::timestamptz + {} * interval '1 microsecond'",
            moment.0
        );
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut self.conn).await.expect("a clock");
    }

    /// One step on both; what it was.
    async fn step(&mut self, dice: &mut fastrand::Rng) -> String {
        let at = dice.usize(0..NODES);
        let work = Work::ALL[dice.usize(0..Work::ALL.len())];
        match dice.u8(0..16) {
            0 => {
                let by = TERM.mul_f64(dice.f64());
                self.turn(by).await;
                return format!("{by:?} pass");
            }
            1 if dice.u8(0..4) == 0 => {
                let now = self.tables.lock().now;
                self.tables.lock().since = now;
                self.set("started", now).await;
                return "the database was started".into();
            }
            2 if dice.u8(0..4) == 0 => return self.join(at).await,
            3 => return self.settle(dice, at).await,
            _ => {}
        }
        let numbers: BTreeSet<i64> = {
            let tables = self.tables.lock();
            let of = tables.pieces.keys().filter(|(of, _)| *of == work);
            of.map(|(_, number)| *number).filter(|_| dice.bool()).collect()
        };
        let Both { real, model, member, .. } = &self.nodes[at];
        let what = match dice.u8(0..10) {
            0 => {
                same(real.leaving(member).await, model.leaving(member).await);
                "asks what it leaves".into()
            }
            1 => {
                same(real.renew(member).await, model.renew(member).await);
                "renews".into()
            }
            2 => {
                same(
                    real.leave(member, work, &numbers).await,
                    model.leave(member, work, &numbers).await,
                );
                format!("has ended {numbers:?} of {work:?}")
            }
            3 if dice.bool() => {
                same(real.give_back(member, work).await, model.give_back(member, work).await);
                format!("gives back {work:?}")
            }
            _ => {
                let share = real.claim(member, work).await;
                same::<Share>(share, model.claim(member, work).await);
                format!("claims {work:?}")
            }
        };
        format!("node-{at} {what}")
    }

    async fn join(&mut self, at: usize) -> String {
        let new = new_member(at);
        let node = &mut self.nodes[at];
        let (real, model) = (node.real.join(&new).await, node.model.join(&new).await);
        if let Ok(member) = &real {
            node.member = *member;
        }
        same(real, model);
        format!("node-{at} joins")
    }

    /// A settlement by the fence that is there, or by an earlier one.
    async fn settle(&mut self, dice: &mut fastrand::Rng, at: usize) -> String {
        let subscriptions: Vec<i64> = self.positions.keys().copied().collect();
        let subscription = subscriptions[dice.usize(0..subscriptions.len())];
        let piece = (Work::Subscription, subscription);
        let (topic, position) = self.positions[&subscription];
        let fence = self.tables.lock().fences[&piece] - i64::from(dice.u8(0..3) == 0);
        let settlement = Settlement {
            topic,
            position,
            fence: fence.cast_unsigned(),
            reach: Version(0),
            now: NOW,
            ..Settlement::default()
        };
        let node = &self.nodes[at];
        let settled = node.real.settle(vec![settlement]).await.remove(0);
        let mine = node.member.incarnation.cast_signed();
        let may = self.tables.lock().fence(piece, mine) == Some(fence);
        assert_eq!(settled.is_ok(), may, "{settled:?}");
        format!("node-{at} settles {piece:?} by {fence}: {may}")
    }

    /// The rows of both are the same.
    async fn check(&mut self) -> Result<(), String> {
        let nodes = nodes(&mut self.conn).await;
        let (held, fences) = (held(&mut self.conn).await, fences(&mut self.conn).await);
        let tables = self.tables.lock();
        if nodes != tables.nodes {
            return Err(format!("{nodes:?}\nmodel: {:?}", tables.nodes));
        }
        if held != tables.held {
            return Err(format!("{held:?}\nmodel: {:?}", tables.held));
        }
        if fences != tables.fences {
            return Err(format!("{fences:?}\nmodel: {:?}", tables.fences));
        }
        Ok(())
    }
}

/// The same answer of both; of a refusal, the same kind.
fn same<T: PartialEq + std::fmt::Debug>(real: Result<T, StoreError>, model: Result<T, StoreError>) {
    match (real, model) {
        (Ok(real), Ok(model)) => assert_eq!(real, model),
        (Err(real), Err(model)) => {
            assert_eq!(std::mem::discriminant(&real), std::mem::discriminant(&model));
        }
        (real, model) => panic!("{real:?}, and the model {model:?}"),
    }
}

async fn nodes(conn: &mut PgConnection) -> BTreeMap<String, Node> {
    let sql =
        "SELECT name, incarnation, work, (extract(epoch FROM until) * 1000000)::bigint FROM nodes";
    let rows: Vec<(String, i64, Vec<String>, i64)> =
        sqlx::query_as(sql).fetch_all(conn).await.expect("nodes");
    let node = |(name, incarnation, work, until): (String, i64, Vec<String>, i64)| {
        let work = work.iter().map(|work| work_of(work)).collect();
        (name, Node { incarnation, work, until: Micros(until) })
    };
    rows.into_iter().map(node).collect()
}

async fn held(conn: &mut PgConnection) -> BTreeMap<Number, Held> {
    let sql = "SELECT work, number, incarnation, (extract(epoch FROM leaves) * 1000000)::bigint FROM held";
    let rows: Vec<(String, i64, i64, Option<i64>)> =
        sqlx::query_as(sql).fetch_all(conn).await.expect("what is held");
    let held = |(work, number, incarnation, leaves): (String, i64, i64, Option<i64>)| {
        ((work_of(&work), number), Held { incarnation, leaves: leaves.map(Micros) })
    };
    rows.into_iter().map(held).collect()
}

async fn fences(conn: &mut PgConnection) -> BTreeMap<Number, i64> {
    let sql = "SELECT 'source', id, fence FROM sources UNION ALL \
        SELECT 'subscription', subscription, fence FROM positions";
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(sql).fetch_all(conn).await.expect("fences");
    rows.into_iter().map(|(work, id, fence)| ((work_of(&work), id), fence)).collect()
}

async fn compare(release: Release) {
    let (mut bench, mut dice) = (Bench::new(release).await, seeded());
    let (mut story, steps) = (Vec::new(), scaled(300, 20_000));
    for _ in 0..steps {
        story.push(bench.step(&mut dice).await);
        if let Err(other) = bench.check().await {
            let last = story[story.len().saturating_sub(20)..].join("\n");
            panic!("{last}\ndatabase: {other}");
        }
    }
    let held = bench.tables.lock().fences.values().sum::<i64>();
    println!("{steps} steps on both, {held} takeovers");
    assert!(held > 20, "only {held} takeovers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_does_what_the_oldest_release_does() {
    compare(Release::Oldest).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_does_what_the_newest_release_does() {
    compare(Release::Newest).await;
}
