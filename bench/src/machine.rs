//! Where it is measured, and with what.

use std::{fmt, fs, io::Write as _, process::Command, time::Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::relay::Milkrun;

/// The settings of SQLite that the relay runs with and the limits are given; `bench` reads them
/// back from the relay's own file where SQLite keeps them there.
pub(crate) const SETTINGS: [(&str, &str); 7] = [
    ("page_size", "8192"),
    ("auto_vacuum", "INCREMENTAL"),
    ("journal_mode", "WAL"),
    ("synchronous", "FULL"),
    ("wal_autocheckpoint", "8000"),
    ("journal_size_limit", "134217728"),
    ("cache_size", "-32768"),
];

/// The machine and the versions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// The processor, as it names itself.
    pub processor: String,
    /// How many of its cores there are.
    pub cores: usize,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// The system.
    pub system: String,
    /// The relay.
    pub milkrun: String,
    /// SQLite, of the relay and the limits alike.
    pub sqlite: String,
    /// PostgreSQL, when the relay runs on it.
    #[serde(default)]
    pub postgres: Option<String>,
    /// The compiler.
    pub rustc: String,
    /// SQLite's settings.
    pub settings: String,
    /// How long the disk takes to make 8 KiB durable, in ms: the median of 100.
    pub fdatasync_ms: f64,
}

impl Machine {
    /// This one.
    ///
    /// # Errors
    /// Nothing can be written here.
    pub(crate) fn here(milkrun: &Milkrun) -> Result<Self> {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib = field(&memory, "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0_u64);
        let settings: Vec<_> =
            SETTINGS.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Ok(Self {
            processor: field(&cpus, "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: kib >> 10,
            system: said("uname", &["-sr"]),
            milkrun: said(&milkrun.binary.to_string_lossy(), &["--version"]),
            postgres: milkrun.postgres.as_ref().map(|server| server.version()),
            sqlite: rusqlite::version().to_owned(),
            rustc: said("rustc", &["--version"]),
            settings: settings.join(" "),
            fdatasync_ms: fdatasync_ms()?,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, cores, memory_mib, system, milkrun, sqlite, rustc, .. } = self;
        writeln!(f, "{processor}, {cores} cores, {memory_mib} MiB, {system}")?;
        writeln!(f, "{milkrun}, SQLite {sqlite}, {rustc}")?;
        writeln!(f, "SQLite: {}", self.settings)?;
        if let Some(postgres) = &self.postgres {
            writeln!(f, "{postgres}, with the settings that it comes with")?;
        }
        write!(f, "fdatasync of 8 KiB: {:.2} ms", self.fdatasync_ms)
    }
}

fn field(text: &str, name: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim()).to_owned()
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

fn fdatasync_ms() -> Result<f64> {
    let dir = crate::relay::place()?;
    let mut file = fs::File::create(dir.path().join("sync"))?;
    let mut took = Vec::new();
    for _ in 0..100 {
        let began = Instant::now();
        file.write_all(&[1; 8_192])?;
        file.sync_data()?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    took.sort_by(f64::total_cmp);
    Ok(took[took.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::SETTINGS;

    /// The relay keeps some of them nowhere to be read back.
    #[test]
    fn the_settings_are_those_of_the_relay() {
        let relay = include_str!("../../src/store/sqlite/file/mod.rs");
        for (name, value) in SETTINGS {
            let given = match name {
                "synchronous" => "\"synchronous\", synchronous".to_owned(),
                "wal_autocheckpoint" => "CHECKPOINT_PAGES: u32 = 8_000".to_owned(),
                "journal_size_limit" => "\"journal_size_limit\", (128 << 20)".to_owned(),
                _ => format!(".pragma(\"{name}\", \"{value}\")"),
            };
            assert!(relay.contains(&given), "{given}");
        }
        assert!(include_str!("../../src/store/sqlite/file/opening.rs").contains("\"FULL\""));
    }
}
