//! The built binary as a child process, with a place of its own.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    client::Client,
    event::{Ids, Sheet},
    postgres::{Database, Server},
};

/// The signing secret of every subscription.
pub(crate) const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
/// Where the configuration finds it.
pub(crate) const SECRET_ENV: &str = "HOOK_SECRET";
/// The topic that is measured.
pub(crate) const TOPIC: &str = "bench";
/// Events in one publish.
pub(crate) const BATCH: usize = 1_000;

/// A directory on the disk that the repository is on: a file system in memory would make every
/// commit free.
///
/// # Errors
/// It cannot be made.
pub(crate) fn place() -> Result<TempDir> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    fs::create_dir_all(&target)?;
    Ok(tempfile::Builder::new().prefix("run-").tempdir_in(target)?)
}

/// What is measured: a binary, and where it keeps everything.
#[derive(Debug, Clone)]
pub(crate) struct Milkrun {
    /// The binary.
    pub binary: PathBuf,
    /// The server on which each relay has a database; without one each has a file.
    pub postgres: Option<Arc<Server>>,
}

impl Milkrun {
    /// The same binary on files.
    #[must_use]
    pub(crate) fn on_sqlite(&self) -> Self {
        Self { postgres: None, ..self.clone() }
    }
}

/// A relay that runs.
#[derive(Debug)]
pub(crate) struct Relay {
    child: Child,
    dir: TempDir,
    binary: PathBuf,
    address: SocketAddr,
    database: Option<Arc<Database>>,
}

impl Relay {
    /// Starts one with a new store, and waits until it is ready; `yaml` is what the configuration
    /// says besides the store, the address and the loopback's permission.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) async fn start(milkrun: &Milkrun, yaml: &str) -> Result<Self> {
        let database = milkrun.postgres.as_ref().map(Server::database).transpose()?;
        Self::on(database.map(Arc::new), &milkrun.binary, yaml).await
    }

    async fn on(database: Option<Arc<Database>>, binary: &Path, yaml: &str) -> Result<Self> {
        let dir = place()?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let file = || format!("sqlite:{}/milkrun.db", dir.path().display());
        let store = database.as_ref().map_or_else(file, |database| database.url());
        let config = format!(
            "store: \"{store}\"\nlisten: {address}\n\
             outbound: {{ allow: [\"127.0.0.0/8\"] }}\n{yaml}"
        );
        fs::write(dir.path().join("milkrun.yaml"), config)?;
        let child = spawn(binary, dir.path())?;
        let mut relay = Self { child, dir, binary: binary.to_owned(), address, database };
        relay.ready().await?;
        Ok(relay)
    }

    /// One that keeps the measured topic.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) async fn with_topic(milkrun: &Milkrun) -> Result<Self> {
        Self::start(milkrun, &topic()).await
    }

    /// One more node on the same database, which knows the measured topic.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) async fn second(&self) -> Result<Self> {
        Self::on(self.database.clone(), &self.binary, &topic()).await
    }

    /// Its database.
    ///
    /// # Errors
    /// It has a file.
    pub(crate) fn database(&self) -> Result<&Database> {
        self.database.as_deref().context("this relay has a file")
    }

    async fn ready(&mut self) -> Result<Duration> {
        let began = Instant::now();
        while began.elapsed() < Duration::from_mins(2) {
            if let Some(status) = self.child.try_wait()? {
                bail!("the relay ended with {status}:\n{}", self.printed());
            }
            if let Ok(mut client) = Client::connect(self.address).await
                && client.json("GET", "/readyz", &Value::Null).await.is_ok()
            {
                return Ok(began.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bail!("the relay was not ready in two minutes:\n{}", self.printed())
    }

    /// Stops it and starts it on the same store; answers how long it took to be ready.
    ///
    /// # Errors
    /// It does not start again.
    pub(crate) async fn restart(&mut self) -> Result<Duration> {
        self.stop()?;
        self.child = spawn(&self.binary, self.dir.path())?;
        self.ready().await
    }

    /// Stops it, and waits for its end.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub(crate) fn stop(&mut self) -> Result<()> {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            // One that has ended is stopped too.
            let _ = kill_process(pid, Signal::TERM);
        }
        self.child.wait()?;
        Ok(())
    }

    fn printed(&self) -> String {
        fs::read_to_string(self.dir.path().join("relay.log")).unwrap_or_default()
    }

    /// Where its API listens.
    #[must_use]
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its file.
    #[must_use]
    pub(crate) fn store(&self) -> PathBuf {
        self.dir.path().join("milkrun.db")
    }

    /// Its process.
    #[must_use]
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A new connection to its API.
    ///
    /// # Errors
    /// It does not listen.
    pub(crate) async fn client(&self) -> Result<Client> {
        Client::connect(self.address).await
    }

    /// The last version of the measured topic.
    ///
    /// # Errors
    /// The API does not tell.
    pub(crate) async fn head(&self) -> Result<u64> {
        let (mut client, path) = (self.client().await?, format!("/v1/topics/{TOPIC}"));
        client.json("GET", &path, &Value::Null).await?["head"]
            .as_u64()
            .context("a topic has a head")
    }

    /// Publishes so many events over `connections` connections, in batches of [`BATCH`].
    ///
    /// # Errors
    /// The API refuses.
    pub(crate) async fn publish(&self, events: u64, connections: u64) -> Result<()> {
        ensure!(events.is_multiple_of(BATCH as u64), "{events} events are no whole batches");
        let mut tasks = tokio::task::JoinSet::new();
        let batches = events / BATCH as u64;
        for number in 0..connections {
            let mut client = self.client().await?;
            let own = batches / connections + u64::from(number < batches % connections);
            tasks.spawn_local(async move {
                let (mut sheet, mut ids) = (Sheet::publish(BATCH), Ids::fresh());
                for _ in 0..own {
                    client.ask(PUBLISH_BATCH, sheet.fill(&mut ids)).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(())
    }

    /// Subscribes `name` to the measured topic from its first event on; `more` is merged in.
    ///
    /// # Errors
    /// The API refuses.
    pub(crate) async fn subscribe(&self, name: &str, url: &str, more: &Value) -> Result<()> {
        let mut body = json!({
            "name": name,
            "topic": TOPIC,
            "from": "earliest",
            "webhook": { "url": url, "secret": SECRET },
        });
        if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
            body.extend(more.clone());
        }
        self.client().await?.json("POST", "/v1/subscriptions", &body).await?;
        Ok(())
    }

    /// Removes a subscription.
    ///
    /// # Errors
    /// The API refuses.
    pub(crate) async fn unsubscribe(&self, name: &str) -> Result<()> {
        let path = format!("/v1/subscriptions/{name}");
        self.client().await?.json("DELETE", &path, &Value::Null).await?;
        Ok(())
    }

    /// The sum of a metric over all its labels.
    ///
    /// # Errors
    /// The API does not tell.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64> {
        let mut client = self.client().await?;
        let text = client.ask("GET /metrics HTTP/1.1\r\n", &[]).await?;
        let lines = std::str::from_utf8(text)?.lines();
        // Counters end in `_total`; those of earlier releases were gauges.
        let of_it = lines.filter_map(|line| line.strip_prefix(name));
        let of_it = of_it.map(|rest| rest.strip_prefix("_total").unwrap_or(rest));
        let labelled = of_it.filter(|rest| rest.starts_with([' ', '{']));
        Ok(labelled.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // What cannot be ended has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::env::var_os("BENCH_SHOW").is_some() {
            eprintln!("{}", self.printed());
        }
    }
}

/// The head of a publish of several events.
pub(crate) const PUBLISH_BATCH: &str = "POST /v1/topics/bench/events HTTP/1.1\r\n\
    content-type: application/cloudevents-batch+json\r\n";
/// The head of a publish of one.
pub(crate) const PUBLISH_ONE: &str = "POST /v1/topics/bench/events HTTP/1.1\r\n\
    content-type: application/cloudevents+json\r\n";

/// A configuration with the measured topic.
fn topic() -> String {
    format!("topics: {{ {TOPIC}: {{}} }}\n")
}

fn spawn(binary: &Path, dir: &Path) -> Result<Child> {
    let log = File::options().create(true).append(true).open(dir.join("relay.log"))?;
    let mut command = Command::new(binary);
    command.args(["run", "-c", "milkrun.yaml"]).current_dir(dir).env_remove("RUST_LOG");
    command.env(SECRET_ENV, SECRET).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().with_context(|| format!("{} does not start", binary.display()))
}
