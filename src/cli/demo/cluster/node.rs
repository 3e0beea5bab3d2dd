//! A node of the demo: this same program, as a process of its own.

use std::{fs, path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use super::{
    super::super::{Failure, client::Client},
    programs::Starter,
};

/// How long one may take to start.
const START: Duration = Duration::from_mins(1);
/// So many of its last lines tell why it did not.
const LINES: usize = 12;

/// A running node; killed when it is dropped.
pub(super) struct RunningNode {
    /// What it is called.
    pub(super) name: String,
    /// Where its API is.
    pub(super) api: String,
    child: Child,
}

impl RunningNode {
    /// Starts one with the configuration in `folder`, and waits until it listens.
    pub(super) async fn start(
        starter: Starter,
        folder: &Path,
        name: &str,
        environment: &[(&str, &str)],
    ) -> Result<Self, Failure> {
        let log = folder.join(format!("{name}.log"));
        let mut command = starter.command(&std::env::current_exe()?, None);
        command.args(["run", "--drain", "1s", "-c"]).arg(folder.join("cluster.yaml"));
        command.envs(environment.iter().copied()).env("NODE", name);
        command.stdout(Stdio::piped()).stderr(fs::File::create(&log)?);
        let mut child = Command::from(command).kill_on_drop(true).spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            // One that ends instead says nothing.
            let _ = timeout(START, BufReader::new(stdout).read_line(&mut line)).await;
        }
        if let Some((_, api)) = line.trim().split_once("listens at ") {
            return Ok(Self { name: name.to_owned(), api: api.to_owned(), child });
        }
        let said = fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        let last = lines[lines.len().saturating_sub(LINES)..].join("\n");
        Err(Failure::new(format!("{name} does not start; it said last:\n{last}")))
    }

    /// A client of its API.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        Client::new(&self.api)
    }

    /// SIGKILL: it ends where it stands, and tells nobody.
    pub(super) async fn kill(mut self) -> Result<(), Failure> {
        Ok(self.child.kill().await?)
    }
}
