//! `milkrun init URL`: a configuration for a producer, by what it answers.
//!
//! What is proposed is tried as a relay would read it, before it is shown.

use std::{io::Write as _, path::Path};

use probes::{Ask, Budget, Next, Probe as _, http::HttpProbe};
use serde_json::Value;
use url::Url;

use self::{answer::Answer, guess::guesses};
use super::{
    Failure, Options, environment,
    failure::chain,
    output::{print, say},
};
use crate::{
    clock::Clock,
    config::{self, Limits},
};

mod answer;
mod guess;
mod paging;
mod yaml;

const EXAMPLES: &str = "\
Examples:
  milkrun init https://api.github.com/repos/rust-lang/rust/events
  milkrun init 'https://api.example.com/orders?limit=100' -H 'authorization: Bearer …' --print

It asks the URL once to look at the answer, and once or twice more as a relay would. It writes milkrun.yaml, or
what -c names, when there is no such file; --print shows it only.";

/// Pages that are read as a relay would.
const PAGES_MAX: usize = 2;
/// Proposals that are tried.
const TRIES_MAX: usize = 24;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The list to poll.
    url: Url,
    /// A header of every request; its value goes into the file as a reference to the environment.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// What the source and its topic are called.
    #[arg(long)]
    name: Option<String>,
    /// Print the file, and write none.
    #[arg(long)]
    print: bool,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("expected a name, a colon and a value")?;
    Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<(), Failure> {
    let file = options.file();
    if !args.print && file.exists() {
        return Err(Failure::usage(format!(
            "{}: is there already, and is never overwritten: --print shows what would stand in it",
            file.display()
        )));
    }
    let answer = Answer::get(&args.url, &args.headers).await?;
    let name = args.name.clone().unwrap_or_else(|| name_of(&args.url));
    let mut why = String::new();
    for guess in guesses(&answer).into_iter().take(TRIES_MAX) {
        let text = yaml::write(&args.url, &args.headers, &name, &answer, &guess);
        match attempt(&text, &args.headers).await? {
            Ok(taken) => {
                for doubt in &guess.doubts {
                    say(&format!("milkrun: not known: {doubt}"));
                }
                say(&format!("milkrun: tried: {taken}"));
                return if args.print { Ok(print(text.trim_end())?) } else { create(file, &text) };
            }
            Err(problem) if why.is_empty() => why = problem,
            Err(_) => {}
        }
    }
    let why = if why.is_empty() { "there is no object with fields in it".to_owned() } else { why };
    Err(Failure::new(format!(
        "no list of events was found in the answer of {}: {why}. It begins: {}\ndocs/probing.md says what to \
         write for what an API looks like",
        args.url,
        answer.beginning()
    )))
}

/// Reads the file that was proposed, and the first pages by it; the inner error is why it does not fit.
async fn attempt(
    text: &str,
    headers: &[(String, String)],
) -> Result<Result<String, String>, Failure> {
    let place = tempfile::tempdir()?;
    let file = place.path().join("milkrun.yaml");
    std::fs::write(&file, text)?;
    let known = |name: &str| {
        let given = headers.iter().find(|(header, _)| yaml::variable(header) == name);
        given.map(|(_, value)| value.clone()).or_else(|| environment(name))
    };
    let config = match config::load(&file, known) {
        Ok(config) => config,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let Some(source) = config.sources.first() else { return Ok(Err("it has no source".into())) };
    let network = config.outbound.guard().network().map_err(Failure::new)?;
    let probe =
        HttpProbe::new(source.http.clone()).map_err(|error| Failure::new(error.to_string()))?;
    let budget = Budget::new(Limits::default().walk_bytes_max);
    let (mut mark, mut events, mut pages) = (None, 0, 0);
    while pages < PAGES_MAX {
        let ask = Ask::new(None, mark.as_ref(), Clock::system().now().timestamp());
        let page = match probe.page(&network, &budget, ask).await {
            Ok(page) => page,
            // What is behind the first page may be elsewhere, or not ready; the file is as good.
            Err(failure) if pages > 0 => {
                return Ok(Ok(format!("{events} events; page 2: {}", failure.message)));
            }
            Err(failure) => return Ok(Err(failure.message)),
        };
        if let Some(one) = page.rejected.first() {
            return Ok(Err(format!("an item is rejected: {}", one.reason)));
        }
        pages += 1;
        events += page.drafts.len();
        match page.next {
            Next::Done(_) => break,
            Next::Page(next) => mark = Some(next),
        }
    }
    Ok(Ok(format!("{events} events on {pages} page(s), none rejected")))
}

fn create(file: &Path, text: &str) -> Result<(), Failure> {
    let cannot = |error| Failure::new(format!("{}: {error}", file.display()));
    let mut made = std::fs::File::create_new(file).map_err(cannot)?;
    made.write_all(text.as_bytes()).map_err(cannot)?;
    let file = file.display();
    say(&format!("milkrun: wrote {file}; look through it, then `milkrun check -c {file}`"));
    Ok(())
}

/// A name for the source, by the last part of the path that is a word, or the host.
fn name_of(url: &Url) -> String {
    let segments = url.path_segments().into_iter().flatten();
    let words = segments.rev().chain(url.host_str());
    let name = |word: &str| {
        let kept = word.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        kept.trim_matches('-').chars().take(40).collect::<String>()
    };
    let mut names =
        words.map(name).filter(|name| name.starts_with(|c: char| c.is_ascii_alphabetic()));
    names.next().unwrap_or_else(|| "events".into())
}

/// A fetched document that cannot be used.
fn unusable(url: &Url, error: &reqwest::Error) -> Failure {
    Failure::new(format!("{url}: {}", chain(error)))
}

/// Whether a value has fields.
fn is_object(value: &Value) -> bool {
    value.as_object().is_some_and(|object| !object.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_named_after_its_url() {
        for (url, name) in [
            ("https://api.example.com/v1/orders?limit=1", "orders"),
            ("https://api.example.com/w/api.php", "api-php"),
            ("https://api.example.com/", "api-example-com"),
            ("http://127.0.0.1:1/1/", "events"),
        ] {
            assert_eq!(name_of(&url.parse().unwrap()), name);
        }
    }
}
