//! One event handed to a local server or a command, again and again until it is acknowledged.

use std::{process::Stdio, time::Duration};

use http::{HeaderMap, header};
use sinks::sign::Secret;
use tokio::{io::AsyncWriteExt as _, process::Command};
use url::Url;

use super::request::Request;
use crate::{
    cli::{
        Failure,
        failure::chain,
        output::{say, text},
    },
    clock::Clock,
};

/// The first pause after a failure, and the longest.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// What of an answer is shown.
const ANSWER_BYTES_MAX: usize = 200;

/// Where events go.
#[derive(Debug)]
pub(super) struct Hand {
    target: Target,
    timeout: Duration,
    max_attempts: Option<u32>,
    secret: Secret,
}

#[derive(Debug)]
enum Target {
    Server(reqwest::Client, Url),
    Command(String),
}

/// What became of an event.
#[derive(Debug)]
pub(super) struct Handed {
    /// What the acknowledgement was, or what the last failure.
    pub(super) answer: String,
    pub(super) is_acknowledged: bool,
    pub(super) attempts: u32,
    pub(super) took: Duration,
}

/// A local address: a port and a path, a host and a port, or a URL.
pub(super) fn url(text: &str) -> Result<Url, String> {
    let wrong = || {
        "expected a port as 3000, 3000/hooks, or a URL as http://localhost:3000/hooks".to_owned()
    };
    let whole = if text.starts_with("http://") || text.starts_with("https://") {
        text.to_owned()
    } else if text.starts_with(|c: char| c.is_ascii_digit())
        && text.split('/').next().is_some_and(|port| port.parse::<u16>().is_ok())
    {
        format!("http://127.0.0.1:{text}")
    } else if let Some(rest) = text.strip_prefix(':') {
        format!("http://127.0.0.1:{rest}")
    } else {
        format!("http://{text}")
    };
    Url::parse(&whole)
        .ok()
        .filter(|url| url.host_str().is_some_and(|host| !host.is_empty()))
        .ok_or_else(wrong)
}

impl Hand {
    pub(super) fn new(
        to: Option<Url>,
        exec: Option<String>,
        timeout: Duration,
        max_attempts: Option<u32>,
        secret: Secret,
    ) -> Result<Self, Failure> {
        let target = match (to, exec) {
            (Some(url), _) => {
                // As a webhook is sent: straight there, and a redirect is a failure.
                let client = reqwest::Client::builder()
                    .no_proxy()
                    .redirect(reqwest::redirect::Policy::none())
                    .timeout(timeout)
                    .build();
                Target::Server(client.map_err(|error| Failure::new(chain(&error)))?, url)
            }
            (None, exec) => Target::Command(exec.unwrap_or_default()),
        };
        Ok(Self { target, timeout, max_attempts, secret })
    }

    /// Whether what is said goes to stdout: not beside the output of a command.
    pub(super) fn owns_stdout(&self) -> bool {
        matches!(self.target, Target::Server(..))
    }

    /// Tries until it is acknowledged, or for as often as may be; `what` names the event.
    pub(super) async fn over(&self, request: &Request, what: &str, clock: &Clock) -> Handed {
        let (mut attempt, mut pause, mut told) = (0, PAUSE, String::new());
        loop {
            attempt += 1;
            let began = clock.steady();
            let headers = request.signed(&self.secret, clock.now().seconds(), attempt);
            let tried = match &self.target {
                Target::Server(client, url) => {
                    post(client, url, headers, request.body.clone()).await
                }
                Target::Command(command) => {
                    let run = execute(command, &headers, &request.body);
                    let late =
                        || format!("the command did not end within {} s", self.timeout.as_secs());
                    tokio::time::timeout(self.timeout, run).await.unwrap_or_else(|_| Err(late()))
                }
            };
            let took = clock.steady().since(began);
            let failure = match tried {
                Ok(answer) => {
                    if attempt > 1 {
                        say(&format!("milkrun: {what}: acknowledged by attempt {attempt}"));
                    }
                    return Handed { answer, is_acknowledged: true, attempts: attempt, took };
                }
                Err(failure) => failure,
            };
            if self.max_attempts.is_some_and(|most| attempt >= most) {
                return Handed { answer: failure, is_acknowledged: false, attempts: attempt, took };
            }
            // The same again only when it is waited for longer.
            if failure != told || pause < PAUSE_MAX {
                let seconds = pause.as_secs_f64();
                say(&format!(
                    "milkrun: {what}: {failure}; again every {seconds} s (attempt {attempt})"
                ));
            }
            told = failure;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

async fn post(
    client: &reqwest::Client,
    url: &Url,
    headers: HeaderMap,
    body: Vec<u8>,
) -> Result<String, String> {
    let answer = client.post(url.clone()).headers(headers).body(body).send().await;
    let answer = answer.map_err(|error| unanswered(url, &error))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(status.as_u16().to_string());
    }
    let to = answer.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
    let to = to.map_or_else(String::new, |to| format!(", a redirect to {to}"));
    let body = answer.bytes().await.unwrap_or_default();
    let said = text(&String::from_utf8_lossy(&body[..body.len().min(ANSWER_BYTES_MAX)]).into());
    Err(format!("it answers {}{to} {said}", status.as_u16()).trim_end().to_owned())
}

fn unanswered(url: &Url, error: &reqwest::Error) -> String {
    let at = url.authority();
    if error.is_connect() {
        format!("waits for {at}, where nobody listens")
    } else if error.is_timeout() {
        format!("{at} gives no answer in time")
    } else {
        format!("{at}: {}", cause(error))
    }
}

/// The innermost cause of an error, whose URL is said already.
fn cause(error: &reqwest::Error) -> String {
    let mut source = std::error::Error::source(error);
    let mut told = "the connection ended".to_owned();
    while let Some(error) = source {
        told = error.to_string();
        source = error.source();
    }
    told
}

/// Runs a command with the body on stdin and the headers as variables.
async fn execute(command: &str, headers: &HeaderMap, body: &[u8]) -> Result<String, String> {
    let variables = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().to_ascii_uppercase().replace('-', "_");
        value.to_str().ok().map(|value| (name, value.to_owned()))
    });
    let mut child = Command::new("sh")
        .args(["-c", command])
        .envs(variables)
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("the command does not start: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read it may still have done its work.
        let _ = stdin.write_all(body).await;
    }
    let ended = child.wait().await.map_err(|error| error.to_string())?;
    match ended.code() {
        Some(0) => Ok("exit 0".into()),
        Some(code) => Err(format!("the command ended with {code}")),
        None => Err("the command was ended by a signal".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_addresses_are_read_as_people_write_them() {
        for (text, expected) in [
            ("3000", "http://127.0.0.1:3000/"),
            ("3000/hooks", "http://127.0.0.1:3000/hooks"),
            (":3000/hooks", "http://127.0.0.1:3000/hooks"),
            ("localhost:3000/hooks?a=1", "http://localhost:3000/hooks?a=1"),
            ("https://dev.example/x", "https://dev.example/x"),
            ("127.0.0.1:80/x", "http://127.0.0.1/x"),
        ] {
            assert_eq!(url(text).unwrap().as_str(), expected);
        }
        for wrong in ["", "http://", "localhost:99999/x"] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }
}
