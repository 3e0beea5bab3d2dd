//! `milkrun verify`: whether the signature of a webhook is good, or which part of it is wrong.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use probes::period::Period;
use serde_json::json;

use self::request::Signed;
use super::{
    Failure, Options, environment,
    output::{Output, print},
};
use crate::{clock::Clock, regular};

mod judge;
mod request;
mod spacing;

const EXAMPLES: &str = "\
Examples:
  export MILKRUN_WEBHOOK_SECRET=whsec_…
  milkrun verify --id msg_1 --timestamp 1767225600 --signature 'v1,…' --body body.json
  milkrun verify --secret-file hook.secret --request request.http --tolerance 1h

It ends with 0 when the signature is good, and with 1 when something is wrong. The secret is read from
MILKRUN_WEBHOOK_SECRET or a file, for others see the command line; it is never shown.";

/// The variable with the secret.
const SECRET: &str = "MILKRUN_WEBHOOK_SECRET";
/// The longest secret, and the longest request.
const SECRET_BYTES_MAX: u64 = 64 << 10;
const REQUEST_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A file with the secret (`whsec_…`, `whsk_…`), or with the public key of a pair (`whpk_…`).
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// The header `webhook-id`.
    #[arg(long)]
    id: Option<String>,
    /// The header `webhook-timestamp`.
    #[arg(long, allow_hyphen_values = true)]
    timestamp: Option<String>,
    /// The header `webhook-signature`.
    #[arg(long)]
    signature: Option<String>,
    /// A file with the body as it came; `-` is stdin.
    #[arg(long, value_name = "FILE", default_value = "-")]
    body: PathBuf,
    /// A file with a whole HTTP request: headers, an empty line, the body; `-` is stdin.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["id", "timestamp", "signature", "body"])]
    request: Option<PathBuf>,
    /// How far the timestamp may be from the clock of this machine.
    #[arg(long, value_name = "TIME", default_value = "5m")]
    tolerance: Period,
}

pub(crate) fn run(args: Args, options: &Options) -> Result<(), Failure> {
    let secret = secret(args.secret_file.as_deref())?;
    let request = match &args.request {
        Some(path) => Signed::read(&read(path, "--request")?)
            .map_err(|why| Failure::usage(format!("`--request {}`: {why}", path.display())))?,
        None => Signed {
            body: read(&args.body, "--body")?,
            id: args.id,
            timestamp: args.timestamp,
            signature: args.signature,
        },
    };
    let now = Clock::system().now().timestamp().as_second();
    let found = judge::judge(&secret, &request, now, args.tolerance.0);
    match options.output {
        Output::Json => options.output.one(&json!({ "good": found.is_empty(), "wrong": found }))?,
        Output::Table if found.is_empty() => print("good: signed with this secret, and unchanged")?,
        Output::Table => {
            let lines: Vec<String> =
                found.iter().map(|one| format!("BAD   {:<9} {}", one.part, one.told)).collect();
            print(&lines.join("\n"))?;
        }
    }
    if found.is_empty() { Ok(()) } else { Err(Failure::new("a receiver would refuse this")) }
}

/// The secret as it is there: blanks at its ends are told.
fn secret(file: Option<&Path>) -> Result<String, Failure> {
    let Some(path) = file else {
        let missing = || {
            Failure::usage(format!(
                "expected the secret in {SECRET}, or a file: --secret-file FILE"
            ))
        };
        return environment(SECRET).filter(|text| !text.trim().is_empty()).ok_or_else(missing);
    };
    let wrong = |why: String| Failure::usage(format!("`--secret-file {}`: {why}", path.display()));
    let text = regular::read_text(path, SECRET_BYTES_MAX);
    let text = text.map_err(|error| wrong(error.to_string()))?;
    // An editor ends a file with one.
    let text = text.strip_suffix('\n').unwrap_or(&text);
    if text.trim().is_empty() { Err(wrong("it is empty".into())) } else { Ok(text.to_owned()) }
}

fn read(path: &Path, option: &str) -> Result<Vec<u8>, Failure> {
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        let taken = io::stdin().lock().take(REQUEST_BYTES_MAX + 1).read_to_end(&mut bytes);
        taken.map(|_| bytes)
    } else {
        regular::read(path, REQUEST_BYTES_MAX)
    };
    let wrong = |why: &str| Failure::usage(format!("`{option} {}`: {why}", path.display()));
    match bytes {
        Ok(bytes) if bytes.len() as u64 > REQUEST_BYTES_MAX => {
            Err(wrong("it has more than 64 MiB"))
        }
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(wrong(&error.to_string())),
    }
}
