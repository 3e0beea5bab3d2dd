//! `milkrun debug bundle`: what a bug report needs, in one archive, without secrets.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use reqwest::Method;
use serde_json::json;

use super::{
    Failure, Options,
    client::Client,
    doctor, environment,
    output::{print, say},
};
use crate::{clock::Clock, config};

mod mask;

pub(super) const EXAMPLES: &str = "\
Examples:
  milkrun debug bundle
  milkrun debug bundle report.tar.gz --log-file /var/log/milkrun.log -c /etc/milkrun/milkrun.yaml

What cannot be had stands in the archive with the reason. Secrets are left out or masked; names, URLs and the
last notices are in it: look through it before you send it to others.";

/// The end of a log file that is taken.
const LOG_BYTES_MAX: u64 = 1 << 20;
/// Notices that are taken, the last ones.
const NOTICES: u64 = 500;
/// The most of one answer.
const ANSWER_BYTES_MAX: usize = 32 << 20;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Write one archive for a bug report: version, configuration (masked), metrics, how everything
    /// stands, the last notices, what `doctor` finds.
    Bundle {
        /// The archive, which must not be there yet [default: milkrun-debug-TIME.tar.gz].
        file: Option<PathBuf>,
        /// The log of the relay, of which the end is taken.
        #[arg(long, value_name = "FILE")]
        log_file: Option<PathBuf>,
    },
}

pub(crate) async fn run(action: Action, options: &Options) -> Result<(), Failure> {
    let Action::Bundle { file, log_file } = action;
    let now = Clock::system().now();
    let file = file.unwrap_or_else(|| {
        let time = now
            .to_string()
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(15)
            .collect::<String>();
        PathBuf::from(format!("milkrun-debug-{time}.tar.gz"))
    });
    let cannot = |error: std::io::Error| Failure::new(format!("{}: {error}", file.display()));
    let out = File::create_new(&file).map_err(cannot)?;
    let mut bundle = Bundle {
        tar: tar::Builder::new(GzEncoder::new(out, Compression::default())),
        at: now.seconds(),
    };
    let parts = gather(options, log_file.as_deref()).await;
    for (name, text) in &parts {
        bundle.add(name, text).map_err(cannot)?;
    }
    bundle.end().map_err(cannot)?;
    let failed = parts
        .iter()
        .filter(|(name, _)| Path::new(name).extension().is_some_and(|kind| kind == "error"))
        .count();
    if failed > 0 {
        say(&format!("milkrun: {failed} parts could not be had; the archive says why"));
    }
    say("milkrun: secrets are masked, names and URLs are not: look through it before you send it");
    Ok(print(&file.display().to_string())?)
}

/// A tar archive, compressed.
struct Bundle<W: Write> {
    tar: tar::Builder<GzEncoder<W>>,
    at: i64,
}

impl<W: Write> Bundle<W> {
    fn add(&mut self, name: &str, text: &str) -> std::io::Result<()> {
        let mut head = tar::Header::new_gnu();
        head.set_size(text.len() as u64);
        head.set_mode(0o600);
        head.set_mtime(u64::try_from(self.at).unwrap_or(0));
        self.tar.append_data(&mut head, format!("milkrun-debug/{name}"), text.as_bytes())
    }

    fn end(self) -> std::io::Result<()> {
        self.tar.into_inner()?.finish()?.flush()
    }
}

/// Everything by its name in the archive; what cannot be had, as `NAME.error`.
async fn gather(options: &Options, log: Option<&Path>) -> Vec<(String, String)> {
    let mut parts = vec![("version.json".to_owned(), version(options))];
    let mut put = |name: &str, had: Result<String, String>| match had {
        Ok(text) => parts.push((name.to_owned(), text)),
        Err(why) => parts.push((format!("{name}.error"), why)),
    };
    let shown = config::show(options.file(), environment).map_err(|error| error.to_string());
    put("configuration.yaml", shown.and_then(|yaml| mask::settings(&yaml)));
    put("doctor.json", Ok(doctor::told(options).await));
    match options.client() {
        Ok(client) => {
            for (name, path) in [
                ("ready.json", &["readyz"][..]),
                ("metrics.txt", &["metrics"]),
                ("cluster.json", &["v1", "cluster"]),
                ("topics.json", &["v1", "topics"]),
                ("subscriptions.json", &["v1", "subscriptions"]),
                ("sources.json", &["v1", "sources"]),
            ] {
                put(name, text(&client, path, &[]).await);
            }
            put("notices.json", notices(&client).await);
        }
        Err(failure) => put("relay", Err(failure.message)),
    }
    if let Some(log) = log {
        put("log.txt", end_of(log).map_err(|error| format!("{}: {error}", log.display())));
    }
    parts
}

fn version(options: &Options) -> String {
    json!({ "version": env!("CARGO_PKG_VERSION"), "os": std::env::consts::OS, "arch": std::env::consts::ARCH,
        "configuration": options.file(), "time": Clock::system().now().to_string() })
    .to_string()
}

async fn text(client: &Client, path: &[&str], query: &[(&str, String)]) -> Result<String, String> {
    let text =
        client.text(Method::GET, path, query, None).await.map_err(|error| error.to_string())?;
    if text.len() > ANSWER_BYTES_MAX {
        return Err(format!("it has {} bytes", text.len()));
    }
    Ok(mask::answer(text))
}

/// The last notices.
async fn notices(client: &Client) -> Result<String, String> {
    let path = ["v1", "topics", "milkrun.notices"];
    let view = client.get(&path, &[]).await.map_err(|error| error.to_string())?;
    let (head, oldest) = (view["head"].as_u64().unwrap_or(0), view["oldest"].as_u64().unwrap_or(1));
    let after = head.saturating_sub(NOTICES).max(oldest.saturating_sub(1));
    let query = [("after", after.to_string()), ("limit", NOTICES.to_string())];
    text(client, &[path[0], path[1], path[2], "events"], &query).await
}

/// The end of a log, from the first whole line on, without what looks like a secret.
fn end_of(path: &Path) -> std::io::Result<String> {
    let mut file = crate::regular::open(path, std::fs::OpenOptions::new().read(true))?;
    let size = file.metadata()?.len();
    let from = size.saturating_sub(LOG_BYTES_MAX);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let whole = if from > 0 { text.split_once('\n').map_or("", |(_, rest)| rest) } else { &text };
    Ok(mask::log(whole))
}
