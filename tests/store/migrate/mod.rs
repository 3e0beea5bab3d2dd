//! A store that moves from a file into a database: whoever worked with the one goes on with the other.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use milkrun::{
    event::Version,
    settings::TopicSettings,
    store::{
        Moved, NewMember, NewSubscription, Options, Origin, StartFrom, Store, StoreError, Watch,
        Work, migrate, open,
    },
};
use tempfile::TempDir;
use tokio::sync::mpsc;

use self::{
    fill::{MANY, fill},
    told::{assert_alike, told},
};
use super::{NOW, append, append_at, earlier, events, later, name, source, subscribe};
use crate::support::{
    Place,
    postgres::{Database, Release},
};

mod damaged;
mod fill;
mod told;

/// A file in a folder of its own, and an empty database.
struct Move {
    folder: TempDir,
    database: Database,
}

impl Move {
    async fn new(release: Release) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, database: Database::new(release).await }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("log.db")
    }

    fn from(&self) -> String {
        address(&self.path())
    }

    async fn file(&self) -> Arc<dyn Store> {
        at(&self.from()).await.unwrap()
    }

    async fn target(&self) -> Arc<dyn Store> {
        at(&self.database.url).await.unwrap()
    }

    /// Fills the file; answers what it says when it is opened again.
    async fn filled(&self) -> Vec<String> {
        let store = self.file().await;
        fill(&store).await;
        store.close().await;
        drop(store);
        self.told().await
    }

    async fn told(&self) -> Vec<String> {
        let store = self.file().await;
        let told = told(&store).await;
        store.close().await;
        told
    }

    async fn run(&self) -> Result<Moved, StoreError> {
        migrate(&self.from(), &self.database.url, later(100), &mut Nobody).await
    }

    /// Moves so many batches and is broken off; the end, when it came first.
    async fn run_shortly(&self, batches: usize) -> Option<Moved> {
        let (told, mut moved) = mpsc::unbounded_channel();
        let (from, mut counted) = (self.from(), Counted(told));
        tokio::select! {
            biased;
            () = async { for _ in 0..batches { moved.recv().await; } } => None,
            moved = migrate(&from, &self.database.url, later(100), &mut counted) => Some(moved.unwrap()),
        }
    }

    async fn refusal(&self) -> String {
        refused(self.run().await)
    }
}

fn address(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

async fn at(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    open(url, &Options { tail_bytes: 4_000, ..Options::default() }).await
}

fn refused<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Err(StoreError::Refused(said) | StoreError::InUse(said)) => said,
        other => panic!("expected a refusal, not {other:?}"),
    }
}

struct Nobody;

impl Watch for Nobody {
    fn events(&mut self, _done: u64, _all: u64) {}
    fn lost(&mut self, what: &str) {
        panic!("{what}");
    }
}

struct Counted(mpsc::UnboundedSender<()>);

impl Watch for Counted {
    fn events(&mut self, done: u64, all: u64) {
        assert!(done <= all, "{done} of {all}");
        // Whether what comes behind the last event was done cannot be told from here.
        if done < all {
            let _ = self.0.send(());
        }
    }
    fn lost(&mut self, what: &str) {
        panic!("{what}");
    }
}

/// The bytes of everything that belongs to a file.
fn bytes(path: &Path) -> Vec<Option<Vec<u8>>> {
    let beside = ["", "-wal", "-heads", "-trace"];
    let beside = beside.map(|end| format!("{}{end}", path.display()));
    beside.iter().map(|path| fs::read(path).ok()).collect()
}

async fn a_store_moves_whole(release: Release) {
    let all = Move::new(release).await;
    let before = all.filled().await;
    let was = bytes(&all.path());
    let moved = all.run().await.unwrap();
    assert!(bytes(&all.path()) == was, "the file was changed");
    assert_eq!((moved.topics, moved.sources, moved.dead_letters), (4, 3, 4));
    assert_eq!((moved.subscriptions, moved.pending, moved.lost), (5, 5, 0));
    assert!(moved.events > MANY && moved.dedupe_keys > MANY, "{moved:?}");
    let store = all.target().await;
    assert_alike(&before, &told(&store).await);
    goes_on(&store).await;
    store.close().await;
    let found = milkrun::store::verify(&all.database.url).await.unwrap();
    assert_eq!(found.problems, [""; 0]);
    assert!(found.events >= moved.events, "{found:?}");
    assert!(all.refusal().await.contains("has been moved into the database already"));
}

/// What is known is known, and no number is given out twice.
async fn goes_on(store: &Arc<dyn Store>) {
    let (orders, bills) = (name("orders"), name("bills"));
    let placed = append(store, &orders, [33, 1_000]).await.unwrap();
    assert_eq!((placed[0].version, placed[0].duplicate), (Version(33), true));
    assert_eq!((placed[1].version, placed[1].duplicate), (Version(41), false));
    let placed = append(store, &name("metrics"), [1, MANY, MANY + 1]).await.unwrap();
    let versions = placed.iter().map(|one| (one.version.0, one.duplicate));
    assert_eq!(versions.collect::<Vec<_>>(), [(1, true), (MANY, true), (MANY + 1, false)]);
    let placed = append(store, &name("empty"), [1]).await.unwrap();
    assert_eq!(placed[0].version, Version(1));
    let waits = store.pending(&bills, 0, 100).await.unwrap();
    let known = append(store, &bills, [5_004]).await.unwrap()[0];
    assert_eq!((known.pending, known.duplicate), (Some(waits[1].id), true));
    let released = store.release_pending(later(700), 100).await.unwrap();
    assert_eq!(released.len(), 4, "{released:?}");
    let last = waits.last().unwrap().id;
    let mut next = events([6_000]);
    next[0].deliver_at = Some(later(900));
    let append = milkrun::store::Append { topic: bills, events: next, progress: None, now: NOW };
    let next = store.append(append).await.unwrap()[0].pending.unwrap();
    assert!(next > last + 1, "{next} after {last} and one that was cancelled");
    let known = store.subscriptions(1).await.unwrap();
    let fresh = subscribe(store, "fresh", &orders).await;
    assert!(known.iter().all(|one| one.id < fresh.id && one.edit < fresh.edit), "{fresh:?}");
    let kept = store.put_source(&source(&name("bills")), later(800)).await.unwrap();
    assert_eq!((kept.mark.as_deref(), kept.journaled), (Some("page 2"), 3));
    store.trim(later(900)).await.unwrap();
}

#[tokio::test]
async fn a_store_moves_whole_to_15() {
    a_store_moves_whole(Release::Oldest).await;
}

#[tokio::test]
async fn a_store_moves_whole_to_18() {
    a_store_moves_whole(Release::Newest).await;
}

async fn what_was_broken_off_goes_on(release: Release) {
    let all = Move::new(release).await;
    let before = all.filled().await;
    let (mut times, mut moved) = (0, None);
    while moved.is_none() {
        times += 1;
        moved = all.run_shortly(1).await;
        if moved.is_none() {
            let said = refused(at(&all.database.url).await.map(drop));
            assert!(said.contains("run `milkrun migrate` again"), "{said}");
        }
    }
    // How far a move gets before it is broken off is a matter of the machine's speed.
    assert!(times > 10, "broken off {times} times");
    let whole = Move::new(release).await;
    for end in ["", "-heads"] {
        let name = format!("log.db{end}");
        fs::copy(all.folder.path().join(&name), whole.folder.path().join(&name)).unwrap();
    }
    assert_eq!(moved, Some(whole.run().await.unwrap()), "counted as if at once");
    for one in [all, whole] {
        let store = one.target().await;
        assert_alike(&before, &told(&store).await);
        store.close().await;
    }
}

#[tokio::test]
async fn what_was_broken_off_goes_on_on_15() {
    what_was_broken_off_goes_on(Release::Oldest).await;
}

#[tokio::test]
async fn what_was_broken_off_goes_on_on_18() {
    what_was_broken_off_goes_on(Release::Newest).await;
}

/// A file with a few events.
async fn small(path: &Path) {
    let store = at(&address(path)).await.unwrap();
    store.put_topic(&name("orders"), &TopicSettings::default(), NOW).await.unwrap();
    append(&store, &name("orders"), 1..=9).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn a_database_takes_one_file_and_nothing_beside_it() {
    let all = Move::new(Release::Oldest).await;
    small(&all.path()).await;
    let other = all.folder.path().join("other.db");
    small(&other).await;
    assert!(all.run_shortly(3).await.is_none());
    let url = &all.database.url;
    let second = migrate(&address(&other), url, NOW, &mut Nobody).await;
    assert!(refused(second).contains("another file is being moved into the database"));
    // The same file, after somebody has written to it.
    let store = all.file().await;
    append(&store, &name("orders"), [10]).await.unwrap();
    store.close().await;
    assert!(all.refusal().await.contains("was in use again since its move"));

    let database = Database::new(Release::Oldest).await;
    let done = migrate(&address(&other), &database.url, NOW, &mut Nobody).await.unwrap();
    assert_eq!((done.topics, done.events, done.dedupe_keys), (1, 9, 9));
    let second = migrate(&all.from(), &database.url, NOW, &mut Nobody).await;
    assert!(refused(second).contains("has topics, sources or subscriptions of its own"));
    for (from, to) in [(url.as_str(), url.as_str()), (&all.from(), &all.from())] {
        let said = refused(migrate(from, to, NOW, &mut Nobody).await);
        assert!(said.contains("expected --"), "{said}");
    }
}

#[tokio::test]
async fn what_is_in_use_stays_where_it_is() {
    let all = Move::new(Release::Newest).await;
    assert!(all.refusal().await.contains("there is no such file"));
    assert!(!all.path().exists(), "none is made");
    small(&all.path()).await;
    let store = all.file().await;
    assert!(all.refusal().await.contains("another relay uses"));
    store.close().await;
    drop(store);
    let relay = all.target().await;
    let (roles, work) = (vec!["api"], BTreeSet::from(Work::ALL));
    let member = relay.join(&NewMember { name: "one".into(), roles, work }).await.unwrap();
    assert!(all.refusal().await.contains("a relay works on the database (node `one`)"));
    for work in Work::ALL {
        relay.give_back(&member, work).await.unwrap();
    }
    // One that has the database open finds a half, and changes nothing of it.
    assert!(all.run_shortly(4).await.is_none());
    let put = relay.put_topic(&name("new"), &TopicSettings::default(), NOW).await;
    assert!(refused(put).contains("not all of it is there"));
    let (roles, work) = (vec!["api"], BTreeSet::from(Work::ALL));
    let join = relay.join(&NewMember { name: "one".into(), roles, work }).await;
    assert!(refused(join).contains("not all of it is there"));
    all.run().await.unwrap();
    assert_eq!(relay.topic(&name("orders")).await.unwrap().head, Version(9));
    relay.close().await;
}

/// A relay has to bring a file in order, and to tell of it.
#[tokio::test]
async fn a_file_that_is_not_in_order_is_left_to_a_relay() {
    let all = Move::new(Release::Oldest).await;
    earlier::unpack_to(&all.path());
    assert!(all.refusal().await.contains("another release has written it"));
    let before = all.told().await;
    all.run().await.unwrap();
    let store = all.target().await;
    assert_alike(&before, &told(&store).await);
    store.close().await;

    let all = Move::new(Release::Oldest).await;
    small(&all.path()).await;
    let (backup, record) =
        (all.folder.path().join("backup"), all.path().with_file_name("log.db-heads"));
    fs::copy(all.path(), &backup).unwrap();
    let store = all.file().await;
    append_at(&store, &name("orders"), 10..=12, later(1)).await.unwrap();
    store.close().await;
    let heads = fs::read(&record).unwrap();
    fs::copy(&backup, all.path()).unwrap();
    assert!(all.refusal().await.contains("its head is 9, but versions up to 12 were given"));
    fs::remove_file(&record).unwrap();
    assert!(all.refusal().await.contains("cannot be told"));
    fs::write(&record, heads).unwrap();
    let before = all.told().await;
    all.run().await.unwrap();
    let store = all.target().await;
    assert_alike(&before, &told(&store).await);
    assert_eq!(store.topic(&name("orders")).await.unwrap().epochs.len(), 2);
    assert_eq!(append(&store, &name("orders"), [13]).await.unwrap()[0].version, Version(13));
    store.close().await;
}

/// What a killed relay leaves is as it left it.
#[tokio::test]
async fn the_log_of_a_killed_relay_moves_along() {
    let all = Move::new(Release::Newest).await;
    let live = all.folder.path().join("live.db");
    let store = at(&address(&live)).await.unwrap();
    store.put_topic(&name("orders"), &TopicSettings::default(), NOW).await.unwrap();
    append(&store, &name("orders"), 1..=9).await.unwrap();
    let new = NewSubscription {
        name: name("late"),
        origin: Origin::Api,
        topics: vec![name("orders").into()],
        from: StartFrom::Latest,
        settings: milkrun::settings::SubscriptionSettings::new("https://a.example".into(), vec![]),
    };
    store.put_subscription(&new, NOW).await.unwrap();
    for end in ["", "-wal", "-heads"] {
        let from = format!("{}{end}", live.display());
        fs::copy(from, format!("{}{end}", all.path().display())).unwrap();
    }
    store.close().await;
    let moved = all.run().await.unwrap();
    assert_eq!((moved.events, moved.subscriptions, moved.positions), (9, 1, 1));
}

#[tokio::test]
async fn the_command_moves_and_says_what() {
    let all = Move::new(Release::Oldest).await;
    small(&all.path()).await;
    assert!(all.run_shortly(5).await.is_none());
    let url = all.database.url.replace("postgres://milkrun@", "postgres://milkrun:secret@");
    let mut place = Place::new("");
    place.write_raw(&format!("store: \"{url}\"\nlisten: 127.0.0.1:1\n"));
    let half = place.run(&["run"]).await;
    assert_eq!(half.code, Some(78), "{half:?}");
    assert!(half.stderr.contains("run `milkrun migrate` again"), "{half:?}");
    place.env("MILKRUN_MIGRATE_TO", &url);
    let from = all.from();
    let done = place.run(&["migrate", "--from", &from]).await;
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{done:?}");
    let line = "1 topics, 9 events, 0 sources, 0 subscriptions, 0 positions, 0 dead letters, \
        0 pending events, 9 dedupe keys; left behind: the trace of attempts\n";
    assert!(done.stdout.ends_with(line), "{done:?}");
    let again = place.run(&["migrate", "--from", &from]).await;
    assert_eq!(again.code, Some(78), "{again:?}");
    assert!(again.stderr.contains("has been moved into the database already"), "{again:?}");
    let checked = place.run(&["check", "--store"]).await;
    assert!(checked.stdout.contains("good (1 topics, 9 events)"), "{checked:?}");
    for end in [half, done, again, checked] {
        assert!(!(end.stdout + &end.stderr).contains("secret"), "the password is shown");
    }
}
