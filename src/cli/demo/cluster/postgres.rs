//! The PostgreSQL of the demo: made in its folder, and ended with it.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::time::sleep;

use super::{
    super::super::Failure,
    programs::{self, Starter},
};
use crate::clock;

/// How long it may take to start.
const START: Duration = Duration::from_mins(1);
/// How long it may take to end after each signal.
const END: Duration = Duration::from_secs(10);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(20);

/// What `initdb` has started ends with it, lest it write into a folder that is removed.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0.and_then(|id| Pid::from_raw(id.cast_signed())) {
            // When all of it has ended there is none.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// A server; ended when it is dropped.
pub(super) struct Postgres {
    child: Child,
    /// Its address, with its password.
    pub(super) url: String,
    /// What it says of itself.
    pub(super) version: String,
}

impl Postgres {
    /// Makes one in `folder` and starts it.
    pub(super) async fn start(starter: Starter, folder: &Path) -> Result<Self, Failure> {
        let programs = programs::postgres()?;
        let (data, log) = (folder.join("data"), folder.join("postgres.log"));
        // Others on this machine can reach its port.
        let password = clock::fresh_uuid().simple().to_string();
        let words = folder.join("password");
        fs::DirBuilder::new().mode(0o700).create(folder)?;
        fs::write(&words, &password)?;
        let owner = starter.give_away(folder)?;
        let mut initdb = starter.command(&programs.join("initdb"), owner);
        initdb.args([
            "--auth=scram-sha-256",
            "--username=milkrun",
            "--encoding=UTF8",
            "--no-locale",
        ]);
        initdb.arg("--no-sync").arg("--pwfile").arg(words).arg("-D").arg(&data);
        let initdb = tokio::process::Command::from(initdb)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let group = Group(initdb.id());
        let made = initdb.wait_with_output().await?;
        drop(group);
        if !made.status.success() {
            let why = String::from_utf8_lossy(&made.stderr);
            return Err(Failure::new(format!("initdb failed:\n{}", why.trim())));
        }
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let said = fs::File::create(&log)?;
        let mut postgres = starter.command(&programs.join("postgres"), owner);
        postgres.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        postgres.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
        let child = postgres.stdout(said.try_clone()?).stderr(said).spawn()?;
        let version = fs::read_to_string(data.join("PG_VERSION")).unwrap_or_default();
        let mut server = Self {
            child,
            url: format!("postgres://milkrun:{password}@127.0.0.1:{port}/postgres"),
            version: version.trim().to_owned(),
        };
        server.ready(&data, &log).await?;
        Ok(server)
    }

    /// Waits until it takes connections, which it writes into a file.
    async fn ready(&mut self, data: &Path, log: &Path) -> Result<(), Failure> {
        let until = clock::instant() + START;
        loop {
            let status = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
            if status.lines().nth(7).is_some_and(|word| word.trim() == "ready") {
                return Ok(());
            }
            if self.child.try_wait()?.is_some() || clock::instant() >= until {
                let said = fs::read_to_string(log).unwrap_or_default();
                return Err(Failure::new(format!("PostgreSQL does not start:\n{}", said.trim())));
            }
            sleep(LOOK).await;
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) else { return };
        // Killed outright it would leave its own children behind.
        for signal in [Signal::INT, Signal::QUIT] {
            // One that has ended gets none.
            let _ = kill_process(pid, signal);
            for _ in 0..END.as_millis() / LOOK.as_millis() {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    return;
                }
                thread::sleep(LOOK);
            }
        }
    }
}
