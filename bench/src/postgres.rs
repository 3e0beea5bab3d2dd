//! A PostgreSQL server of this run: made, started, and removed with everything in it.

use std::{
    env, fs,
    net::TcpListener,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::runtime::Builder;

/// Where Debian keeps the programs, one folder for each release.
const RELEASES: &str = "/usr/lib/postgresql";
/// How long the server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server with the settings that PostgreSQL comes with: every commit waits for the disk.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    programs: PathBuf,
    port: u16,
    dir: TempDir,
    databases: AtomicU64,
}

impl Server {
    /// Makes one in a folder of its own, and starts it.
    ///
    /// # Errors
    /// PostgreSQL is not installed, or does not start.
    pub(crate) fn start() -> Result<Self> {
        let programs = programs().with_context(|| {
            format!("PostgreSQL is neither in PATH nor in {RELEASES}: apt install postgresql")
        })?;
        let dir = crate::relay::place()?;
        let owner = owner(dir.path())?;
        let data = dir.path().join("data");
        let mut initdb = command(&programs.join("initdb"), owner);
        initdb.args(["--auth=trust", "--username=milkrun", "--encoding=UTF8", "--no-locale", "-D"]);
        let made = initdb.arg(&data).stdout(Stdio::null()).output().context("initdb")?;
        ensure!(
            made.status.success(),
            "initdb failed (it runs as nobody when this is root, who must be able to enter {}):\n{}",
            dir.path().display(),
            String::from_utf8_lossy(&made.stderr)
        );
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = fs::File::create(dir.path().join("postgres.log"))?;
        let mut postgres = command(&programs.join("postgres"), owner);
        postgres.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        postgres.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
        let child = postgres.stdout(log.try_clone()?).stderr(log).spawn().context("postgres")?;
        let mut server = Self { child, programs, port, dir, databases: AtomicU64::new(0) };
        server.ready()?;
        Ok(server)
    }

    fn ready(&mut self) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                let log = fs::read_to_string(self.dir.path().join("postgres.log"));
                bail!("PostgreSQL ended with {status}:\n{}", log.unwrap_or_default());
            }
            // The server writes there what it is doing.
            let told = fs::read_to_string(self.dir.path().join("data/postmaster.pid"));
            let told = told.unwrap_or_default();
            if told.lines().nth(7).is_some_and(|word| word.trim() == "ready") {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        bail!("PostgreSQL was not ready in {PATIENCE:?}")
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://milkrun@127.0.0.1:{}/{database}", self.port)
    }

    /// Does something that no transaction can do, waiting for its end: a thread and a runtime of its
    /// own are needed for that, since databases are removed where nothing can be awaited.
    fn run(&self, sql: String) -> Result<()> {
        let url = self.url("postgres");
        let does = move || {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut conn = PgConnection::connect(&url).await?;
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await?;
                Ok(conn.close().await?)
            })
        };
        thread::spawn(does).join().map_err(|_| anyhow!("the database was not asked"))?
    }

    /// What it says of itself.
    #[must_use]
    pub(crate) fn version(&self) -> String {
        let output = Command::new(self.programs.join("postgres")).arg("--version").output();
        output.map_or_else(
            |_| "PostgreSQL".to_owned(),
            |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        )
    }

    /// CPU that all of its processes have used.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        crate::measure::family_cpu_seconds(self.child.id())
    }

    /// A new database, removed when it is dropped.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn database(self: &Arc<Self>) -> Result<Database> {
        let name = format!("bench_{}", self.databases.fetch_add(1, Relaxed));
        self.run(format!("CREATE DATABASE {name}"))?;
        Ok(Database { server: self.clone(), name })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) else { return };
        // A fast shutdown, then one without any care: killed outright it would leave its children.
        for signal in [Signal::INT, Signal::QUIT] {
            let _ = kill_process(pid, signal);
            let began = Instant::now();
            while began.elapsed() < PATIENCE {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    return;
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// A database of the server.
#[derive(Debug)]
pub(crate) struct Database {
    server: Arc<Server>,
    name: String,
}

impl Database {
    /// Its address.
    #[must_use]
    pub(crate) fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// The number that a query answers with.
    ///
    /// # Errors
    /// It answers with none.
    pub(crate) async fn number(&self, sql: &'static str) -> Result<f64> {
        let mut conn = PgConnection::connect(&self.url()).await?;
        let number = sqlx::query_scalar(sql).fetch_one(&mut conn).await?;
        conn.close().await?;
        Ok(number)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // What stays goes with the server's folder.
        let _ = self.server.run(format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// The folder of PostgreSQL's programs: the one in PATH, else that of the newest release.
fn programs() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut releases: Vec<(u32, PathBuf)> = fs::read_dir(RELEASES)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .collect();
    releases.sort();
    let releases = releases.into_iter().rev().map(|(_, path)| path.join("bin"));
    let has_all = |folder: &PathBuf| {
        ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file())
    };
    env::split_paths(&path).chain(releases).find(has_all)
}

/// Gives a folder to nobody in particular when this is root, whom PostgreSQL refuses; answers whose it
/// is then.
fn owner(folder: &Path) -> Result<Option<(u32, u32)>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let given = Command::new("chown").arg("nobody:").arg(folder).status().context("chown")?;
    ensure!(given.success(), "{} cannot be given to nobody", folder.display());
    let meta = fs::metadata(folder)?;
    Ok(Some((meta.uid(), meta.gid())))
}

/// A command that ends with this process, run by `owner`.
fn command(program: &Path, owner: Option<(u32, u32)>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "INT"]);
    if let Some((user, group)) = owner {
        command.args(["--reuid", &user.to_string(), "--regid", &group.to_string()]);
        command.arg("--clear-groups");
    }
    command.arg(program).stdin(Stdio::null());
    command
}
