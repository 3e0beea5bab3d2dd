//! What the relay is compared with: each the least that does the same work, in a process of its own.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use clap::Subcommand;

use crate::measure::Run;

mod append;
mod fetch;
mod file;
mod insert;
mod pages;
mod post;
mod serve;

/// The limits, as hidden commands of this binary.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Limit {
    /// Rows into a raw SQLite file, one transaction per batch.
    Append {
        /// How many events.
        events: u64,
        /// Events in one transaction.
        batch: u64,
    },
    /// The relay's statements of an append through sqlx, on a database of PostgreSQL without tables.
    Insert {
        /// The database.
        url: String,
        /// How many events.
        events: u64,
        /// Events in one transaction.
        batch: u64,
    },
    /// A route that reads a body, stores nothing and answers like a publish.
    Route,
    /// Pages fetched with reqwest, split, one raw SQLite transaction a page.
    Fetch {
        /// The producer.
        url: String,
    },
    /// The query of a page through sqlx, written to a socket.
    Serve {
        /// The relay's file.
        path: PathBuf,
    },
    /// The query of a page through sqlx from PostgreSQL, written to a socket.
    Pages {
        /// The relay's database.
        url: String,
    },
    /// The query of a page through a raw SQLite cursor, written nowhere.
    Cursor {
        /// The relay's file.
        path: PathBuf,
    },
    /// Signed POSTs over bare hyper connections.
    Post {
        /// The consumer.
        address: SocketAddr,
        /// How many events.
        events: u64,
        /// Events in one request.
        batch: u64,
        /// Connections, each with one request after the other.
        connections: u64,
    },
    /// Signed POSTs at a steady pace over one bare hyper connection; tells how long each took.
    Pace {
        /// The consumer.
        address: SocketAddr,
        /// How many events.
        events: u64,
        /// Events a second.
        rate: u64,
    },
}

impl Limit {
    /// Does it, here.
    ///
    /// # Errors
    /// It could not be done.
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::Append { events, batch } => tell(&append::run(events, batch)?),
            Self::Insert { url, events, batch } => tell(&insert::run(&url, events, batch)?),
            Self::Route => serve::route(),
            Self::Fetch { url } => tell(&fetch::run(&url)?),
            Self::Serve { path } => serve::pages(&path),
            Self::Pages { url } => pages::run(&url),
            Self::Cursor { path } => tell(&file::cursor(&path)?),
            Self::Post { address, events, batch, connections } => {
                tell(&post::run(address, events, batch, connections)?)
            }
            Self::Pace { address, events, rate } => tell(&post::pace(address, events, rate)?),
        }
    }

    fn arguments(&self) -> Vec<String> {
        let text = |path: &PathBuf| path.display().to_string();
        match self {
            Self::Append { events, batch } => {
                vec!["append".into(), events.to_string(), batch.to_string()]
            }
            Self::Insert { url, events, batch } => {
                vec!["insert".into(), url.clone(), events.to_string(), batch.to_string()]
            }
            Self::Route => vec!["route".into()],
            Self::Fetch { url } => vec!["fetch".into(), url.clone()],
            Self::Serve { path } => vec!["serve".into(), text(path)],
            Self::Pages { url } => vec!["pages".into(), url.clone()],
            Self::Cursor { path } => vec!["cursor".into(), text(path)],
            Self::Post { address, events, batch, connections } => {
                let numbers = [events, batch, connections].map(u64::to_string);
                ["post".to_owned(), address.to_string()].into_iter().chain(numbers).collect()
            }
            Self::Pace { address, events, rate } => {
                vec!["pace".into(), address.to_string(), events.to_string(), rate.to_string()]
            }
        }
    }

    /// Starts it in a process of its own.
    fn spawn(&self) -> Result<(Child, BufReader<ChildStdout>)> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("limit").args(self.arguments());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().context("the limit has an output")?;
        Ok((child, BufReader::new(stdout)))
    }

    /// Does it to the end in a process of its own; answers what that told.
    ///
    /// # Errors
    /// It failed.
    pub(crate) async fn measure<T: for<'a> serde::Deserialize<'a> + Send + 'static>(
        self,
    ) -> Result<T> {
        // Producers and consumers of this process go on meanwhile.
        let measured = tokio::task::spawn_blocking(move || {
            let (mut child, mut stdout) = self.spawn()?;
            let mut line = String::new();
            stdout.read_line(&mut line)?;
            let status = child.wait()?;
            ensure!(status.success(), "{self:?} ended with {status}");
            Ok(serde_json::from_str(&line)?)
        });
        measured.await?
    }

    /// As [`Limit::measure`], of what is told as a run.
    ///
    /// # Errors
    /// It failed.
    pub(crate) async fn once(self) -> Result<Run> {
        self.measure().await
    }

    /// Starts a server in a process of its own.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn serve(&self) -> Result<Served> {
        let (child, mut stdout) = self.spawn()?;
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        Ok(Served { child, address: serde_json::from_str(&line)? })
    }
}

/// A limit that serves until it is dropped.
#[derive(Debug)]
pub(crate) struct Served {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Served {
    /// Its process.
    #[must_use]
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // What cannot be ended has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tell(value: &impl serde::Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(value)?);
    Ok(())
}
