//! The built binary as a child process, with a place of its own.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{Api, LONG, eventually, within};

/// The signing secret of every subscription in tests, in the environment as `HOOK_SECRET`.
pub(crate) const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// A directory with a configuration, a store file and what the relay printed; printed when the
/// test fails, removed at the end.
pub(crate) struct Place {
    dir: TempDir,
    port: u16,
    environment: Vec<(String, String)>,
    /// A command, with its arguments, that runs what is started here.
    inside: Vec<String>,
}

impl Place {
    /// A place whose configuration is `yaml` below the store, the address and the allow-list.
    pub(crate) fn new(yaml: &str) -> Self {
        let place = Self {
            dir: TempDir::new().unwrap(),
            port: free_port(),
            environment: Vec::new(),
            inside: Vec::new(),
        };
        place.write(yaml);
        place
    }

    /// Replaces the configuration's own part.
    pub(crate) fn write(&self, yaml: &str) {
        let head = format!(
            "store: \"sqlite:{}\"\nlisten: 127.0.0.1:{}\noutbound: {{ allow: [\"127.0.0.0/8\"] }}\n",
            self.store().display(),
            self.port
        );
        self.write_raw(&format!("{head}{yaml}"));
    }

    /// A place whose relay is a node: `store` and `cluster` as the configuration has them, and the rest.
    pub(crate) fn node(store: &str, cluster: &str, yaml: &str) -> Self {
        let place = Self::new("");
        place.write_raw(&format!(
            "store: {store}\ncluster: {cluster}\nlisten: 127.0.0.1:{}\n\
             outbound: {{ allow: [\"127.0.0.0/8\"] }}\n{yaml}",
            place.port
        ));
        place
    }

    /// Adds a variable to the environment of what is started from now on.
    pub(crate) fn env(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Runs what is started from now on by this command.
    pub(crate) fn inside(&mut self, command: Vec<String>) {
        self.inside = command;
    }

    /// Replaces the whole configuration.
    pub(crate) fn write_raw(&self, yaml: &str) {
        fs::write(self.config(), yaml).unwrap();
    }

    /// The configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.path("milkrun.yaml")
    }

    /// The store file.
    pub(crate) fn store(&self) -> PathBuf {
        self.path("milkrun.db")
    }

    /// A file of this place.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The address that the configuration names.
    pub(crate) fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A client of the relay.
    pub(crate) fn api(&self) -> Api {
        Api::new(self.base())
    }

    /// Everything the relay has printed.
    pub(crate) fn printed(&self) -> String {
        fs::read_to_string(self.path("relay.log")).unwrap_or_default()
    }

    /// The binary with these arguments, in this place.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let whole = self.inside.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_milkrun")]);
        let mut whole = whole.chain(arguments.iter().copied());
        let mut command = Command::new(whole.next().unwrap());
        command
            .args(whole)
            .current_dir(self.dir.path())
            .env_remove("RUST_LOG")
            .env("HOOK_SECRET", SECRET)
            .env("MILKRUN_SERVER", self.base())
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Finished {
        let output = within(LONG, "the command's end", self.command(arguments).output());
        let output = output.await.unwrap();
        Finished {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts the relay without waiting for it.
    pub(crate) fn spawn(&self) -> Relay {
        self.spawn_with(&[])
    }

    /// Starts the relay with more arguments, without waiting for it.
    pub(crate) fn spawn_with(&self, arguments: &[&str]) -> Relay {
        let log = File::options().create(true).append(true).open(self.path("relay.log")).unwrap();
        let child = self
            .command(&["run", "-c", self.config().to_str().unwrap()])
            .args(arguments)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Relay { child, api: self.api() }
    }

    /// Starts the relay with so many files that it may have open, without waiting for it.
    pub(crate) fn spawn_limited(&self, files: usize) -> Relay {
        let log = File::options().create(true).append(true).open(self.path("relay.log")).unwrap();
        let script = format!("ulimit -n {files}; exec \"$0\" run -c \"$1\"");
        let mut command = Command::new("sh");
        command
            .args(["-c", &script, env!("CARGO_BIN_EXE_milkrun")])
            .arg(self.config())
            .current_dir(self.dir.path())
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Relay { child, api: self.api() }
    }

    /// Starts the relay and waits until it is ready.
    pub(crate) async fn start(&self) -> Relay {
        let mut relay = self.spawn();
        relay.ready().await;
        relay
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let printed = self.printed();
            let lines: Vec<&str> = printed.lines().collect();
            let config = fs::read_to_string(self.config()).unwrap_or_default();
            eprintln!("---- configuration\n{config}\n---- the relay's last lines");
            for line in &lines[lines.len().saturating_sub(60)..] {
                eprintln!("{line}");
            }
        }
    }
}

/// What a command that has ended said.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it printed as data.
    pub stdout: String,
    /// What it printed as messages.
    pub stderr: String,
}

/// A running relay; killed when dropped.
pub(crate) struct Relay {
    child: Child,
    api: Api,
}

impl Relay {
    /// Waits until `/readyz` says so; answers how long it took.
    pub(crate) async fn ready(&mut self) -> Duration {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the relay ended before it was ready: {status}");
            }
            let request = self.api.request("GET", "/readyz").timeout(Duration::from_secs(5));
            if self.api.try_send(request).await.is_some_and(|reply| reply.status == 200) {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < LONG, "not ready within {LONG:?}");
            // Another process gives no signal of its readiness.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A client of it.
    pub(crate) fn api(&self) -> &Api {
        &self.api
    }

    /// SIGKILL; answers when it was gone.
    pub(crate) async fn kill(mut self) -> Instant {
        let at = Instant::now();
        self.signal(Signal::KILL);
        self.ended().await;
        at
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("a running relay")
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// SIGTERM; the exit status.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        within(LONG, "the relay's end", self.child.wait()).await.unwrap()
    }

    /// Its resident memory.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.id());
        let status = fs::read_to_string(Path::new(&path)).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Waits until the topic's head is at least `version`.
    pub(crate) async fn until_head(&self, topic: &str, version: u64) {
        eventually(&format!("head {version} of {topic}"), || async {
            let reply = self.api.get(&format!("/v1/topics/{topic}")).await;
            let head = (reply.status == 200).then(|| reply.json()["head"].as_u64()).flatten();
            head.filter(|head| *head >= version)
        })
        .await;
    }
}

/// A port that nobody listens on, below those that the system hands out by itself: so nobody takes
/// it while the relay is down between two starts.
pub(crate) fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(12_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
