//! `milkrun doctor`: whether this machine and what is around it are fit for the configuration.

use std::path::Path;

use serde::Serialize;
use serde_json::json;

use super::{
    Failure, Options, environment,
    output::{Output, print},
};
use crate::{
    api,
    config::{self, Config},
};

mod hosts;
mod store;

const EXAMPLES: &str = "\
Examples:
  milkrun doctor -c /etc/milkrun/milkrun.yaml
  milkrun doctor --online
  milkrun doctor -o json

Each line is one check, good or BAD, with what helps. It ends with 1 when one is bad. A small file is
written beside the store and removed. With --online every producer's server gets one HEAD request for its
root, without any of your credentials.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Ask the server of every producer what time it is there.
    #[arg(long)]
    online: bool,
}

/// What was looked at, and how it is.
#[derive(Debug, Serialize)]
struct Finding {
    /// What was looked at.
    check: &'static str,
    /// Which one of these.
    name: String,
    good: bool,
    /// How it is.
    told: String,
    /// What helps, when it is bad.
    remedy: Option<String>,
}

impl Finding {
    fn good(check: &'static str, name: impl Into<String>, told: impl Into<String>) -> Self {
        Self { check, name: name.into(), good: true, told: told.into(), remedy: None }
    }

    fn bad(
        check: &'static str,
        name: impl Into<String>,
        told: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let remedy = Some(remedy.into());
        Self { check, name: name.into(), good: false, told: told.into(), remedy }
    }

    /// For a person, in one line.
    fn line(&self) -> String {
        let word = if self.good { "good" } else { "BAD" };
        let remedy = self.remedy.as_ref().map_or_else(String::new, |help| format!("; {help}"));
        let line = format!("{word:<5} {:<13} {}: {}{remedy}", self.check, self.name, self.told);
        line.replace(['\n', '\r'], " ")
    }
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<(), Failure> {
    let checks = all(options.file(), args.online).await;
    let bad = checks.iter().filter(|check| !check.good).count();
    match options.output {
        Output::Json => options.output.one(&json!({ "good": bad == 0, "checks": checks }))?,
        Output::Table => {
            let lines: Vec<String> = checks.iter().map(Finding::line).collect();
            print(&lines.join("\n"))?;
        }
    }
    match bad {
        0 => Ok(()),
        bad => Err(Failure::new(format!("{bad} of {} checks are bad", checks.len()))),
    }
}

/// What is found, as JSON, for others to read.
pub(super) async fn told(options: &Options) -> String {
    let checks = all(options.file(), false).await;
    json!({ "good": checks.iter().all(|check| check.good), "checks": checks }).to_string()
}

async fn all(file: &Path, online: bool) -> Vec<Finding> {
    let name = file.display().to_string();
    let config = match config::load(file, environment) {
        Ok(config) => config,
        // Nothing else is known then.
        Err(error) => return error.problems.iter().map(|one| wrong(&name, one)).collect(),
    };
    let told = "it can be read, and so can every secret that it refers to";
    let mut checks = vec![Finding::good("configuration", name, told)];
    checks.extend(store::checks(&config).await);
    checks.push(open_files(&config));
    checks.extend(certificates(&config));
    checks.extend(hosts::checks(&config, online).await);
    checks
}

fn wrong(name: &str, problem: &config::Problem) -> Finding {
    let at = problem.at.map_or_else(String::new, |(line, column)| format!(":{line}:{column}"));
    let remedy = "change that, and look again: nothing else was checked";
    Finding::bad("configuration", format!("{name}{at}"), &problem.message, remedy)
}

/// What a relay has open beside its connections: the store, its log, what it listens at.
const OWN_FILES: u64 = 64;

fn open_files(config: &Config) -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    judge_open_files(&config.limits, limit)
}

/// `None`: there is no limit. A relay raises its own limit to the most that it may have.
fn judge_open_files(limits: &config::Limits, limit: Option<u64>) -> Finding {
    let connections = [limits.in_flight_max, limits.streams_max, limits.walks_max];
    let needed = connections.iter().map(|count| *count as u64).sum::<u64>()
        + u64::from(limits.readers)
        + OWN_FILES;
    let (check, name) = ("open files", "this process");
    let allowed = limit.map_or_else(|| "any number".to_owned(), |limit| limit.to_string());
    let told = format!("{allowed} allowed, and `limits` ask for up to {needed}");
    if limit.is_none_or(|limit| limit >= needed) {
        return Finding::good(check, name, told);
    }
    let remedy = format!(
        "set `LimitNOFILE={needed}` in the unit or `ulimit -Hn {needed}`, or lower \
         `limits.in_flight_max` and `limits.streams_max`"
    );
    Finding::bad(check, name, told, remedy)
}

/// Whom outgoing requests trust, and what the API shows.
fn certificates(config: &Config) -> Vec<Finding> {
    let name = "of the system";
    let mut checks = vec![match config.outbound.guard().network() {
        Ok(_) => Finding::good("certificates", name, "the roots can be loaded"),
        Err(why) => Finding::bad("certificates", name, why, "install the package ca-certificates"),
    }];
    checks.extend(config.tls.as_ref().map(|tls| match api::Tls::new(&tls.shown) {
        Ok(_) => Finding::good("certificates", "tls", "the API can show its own"),
        Err(why) => {
            Finding::bad("certificates", "tls", why, "name a certificate and its key in `tls`")
        }
    }));
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_files_are_told_with_what_helps() {
        let limits = config::Limits { in_flight_max: 100, streams_max: 50, ..Default::default() };
        for limit in [None, Some(282)] {
            assert!(judge_open_files(&limits, limit).good, "{limit:?}");
        }
        let line = judge_open_files(&limits, Some(281)).line();
        assert!(line.starts_with("BAD   open files    this process: 281 allowed"), "{line}");
        assert!(line.contains("LimitNOFILE=282"), "{line}");
    }

    #[test]
    fn a_check_is_one_line() {
        let line = Finding::bad("store", "a", "one\ntwo", "do so").line();
        assert_eq!(line, "BAD   store         a: one two; do so");
    }
}
