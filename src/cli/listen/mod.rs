//! `milkrun listen`: events as webhooks to a program on this machine, without a subscription that moves.
//!
//! It reads by cursor and goes on to the next event only after the one before was acknowledged, so that
//! nothing is lost while the relay, the local server or the network between them is away.

use std::path::PathBuf;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use sinks::sign::Secret;

use self::{
    hand::Hand,
    keep::Keep,
    reader::{Reader, Start, Subject},
};
use super::{Failure, Options, client::Client, environment, output::say, when};
use crate::{clock::Clock, regular};

mod hand;
mod keep;
mod reader;
mod request;

const EXAMPLES: &str = "\
Examples:
  milkrun listen billing --to 3000/hooks
  milkrun listen --topic orders --to localhost:3000 --since 10m --keep orders.place
  milkrun listen orders --exec 'jq .data' --after 4711 --once

A subscription's own filter, transform and format apply when it is named; its place does not move, and what
it is pushed goes on. Each event is handed over again until it is acknowledged: a status of 2xx, or exit
code 0. A command gets the body on stdin and the headers as variables, as WEBHOOK_ID and MILKRUN_VERSION.
With --keep, the next start goes on behind the last event that was acknowledged.";

/// The variable with the secret that signs.
const SECRET: &str = "MILKRUN_WEBHOOK_SECRET";
/// The longest file with a secret.
const SECRET_BYTES_MAX: u64 = 64 << 10;

#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    group(clap::ArgGroup::new("target").required(true).args(["to", "exec"]))
)]
pub(crate) struct Args {
    /// A subscription, or else a topic.
    #[arg(required_unless_present = "topic")]
    name: Option<String>,
    /// The topic; with a subscription, only this one of its topics.
    #[arg(long)]
    topic: Option<String>,
    /// Where events go: a port, `3000/hooks`, or a URL.
    #[arg(long, value_name = "URL", value_parser = hand::url)]
    to: Option<url::Url>,
    /// Run this command for each event, in a shell.
    #[arg(long, value_name = "CMD")]
    exec: Option<String>,
    /// Those after this version or cursor; by default what comes from now on.
    #[arg(long, value_name = "N", conflicts_with = "since")]
    after: Option<String>,
    /// Those recorded since, as 10m ago or as a time.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only those that this filter wants: a CloudEvents filter in JSON, or an expression.
    #[arg(long, value_name = "EXPR")]
    filter: Option<String>,
    /// End when there is no more.
    #[arg(long)]
    once: bool,
    /// Keep the place in this file, and go on from there.
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
    /// A file with the secret that signs; `MILKRUN_WEBHOOK_SECRET` may hold the secret itself. Else one
    /// is made and shown.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Pass over an event after so many attempts, and say so; by default it is tried for ever.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    max_attempts: Option<u32>,
    /// The longest that one attempt may take.
    #[arg(long, value_name = "TIME", default_value = "30s")]
    timeout: probes::period::Period,
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<(), Failure> {
    let client = options.client()?;
    let clock = Clock::system();
    let subject = subject(&client, &args).await?;
    let keep = args.keep.clone().map(|file| Keep::open(file, &subject.name)).transpose()?;
    let secret = secret(&args)?;
    let start = match (&args.after, &args.since) {
        (Some(after), _) => Start::After(after.clone()),
        (_, Some(since)) => Start::Since(when::past(since, clock.now())),
        (None, None) => Start::Head,
    };
    if args.after.is_some() && subject.topics.len() > 1 {
        let topics = subject.topics.join(", ");
        return Err(Failure::usage(format!(
            "`--after` is of one topic: say which of {topics} by --topic"
        )));
    }
    say(&format!("milkrun: listening to {}", subject.told()));
    let hand = Hand::new(args.to, args.exec, args.timeout.0, args.max_attempts, secret)?;
    let reader = Reader {
        client,
        clock,
        subject,
        filter: args.filter,
        once: args.once,
        hand,
        keep: keep.map(tokio::sync::Mutex::new),
        output: options.output,
    };
    all(&reader, start).await
}

/// Reads all topics side by side; the first that cannot go on ends the others.
async fn all(reader: &Reader, start: Start) -> Result<(), Failure> {
    let follow = async |topic: String, start: Start| reader.follow(&topic, start).await;
    let mut known = reader.subject.topics.clone();
    let mut running: FuturesUnordered<_> =
        known.iter().map(|topic| follow(topic.clone(), start.clone())).collect();
    loop {
        tokio::select! {
            ended = running.next(), if !running.is_empty() => if let Some(ended) = ended {
                ended?;
            },
            fresh = reader.appeared(&known), if !reader.once => for topic in fresh? {
                say(&format!("milkrun: topic {topic} is new"));
                known.push(topic.clone());
                running.push(follow(topic, Start::Oldest));
            },
            else => return Ok(()),
        }
    }
}

/// What is listened to.
async fn subject(client: &Client, args: &Args) -> Result<Subject, Failure> {
    if let Some(name) = &args.name {
        if let Some(view) = reader::found(client.get(&["v1", "subscriptions", name], &[]).await)? {
            let mut topics = reader::topics_of(&view);
            if let Some(topic) = &args.topic {
                if !topics.contains(topic) {
                    let told = format!("subscription `{name}` is not in topic `{topic}`");
                    return Err(Failure::usage(told));
                }
                topics.retain(|one| one == topic);
            }
            return Ok(Subject {
                name: name.clone(),
                is_subscription: true,
                topics,
                is_one_topic: args.topic.is_some(),
            });
        }
        if args.topic.is_some() {
            return Err(Failure::new(format!("there is no subscription `{name}`")));
        }
    }
    let topic = args.topic.as_ref().or(args.name.as_ref()).cloned().unwrap_or_default();
    if reader::found(client.get(&["v1", "topics", &topic], &[]).await)?.is_none() {
        let told =
            if args.topic.is_some() { "no topic" } else { "neither a subscription nor a topic" };
        return Err(Failure::new(format!("there is {told} `{topic}`")));
    }
    Ok(Subject {
        name: topic.clone(),
        is_subscription: false,
        topics: vec![topic],
        is_one_topic: true,
    })
}

/// What signs; one that is made is shown.
fn secret(args: &Args) -> Result<Secret, Failure> {
    let (text, from) = if let Some(path) = &args.secret_file {
        let wrong = |error| Failure::usage(format!("`--secret-file {}`: {error}", path.display()));
        let text = regular::read_text(path, SECRET_BYTES_MAX).map_err(wrong)?;
        (text, path.display().to_string())
    } else if let Some(text) = environment(SECRET).filter(|text| !text.trim().is_empty()) {
        (text, SECRET.to_owned())
    } else {
        let mut bytes = [0_u8; 32];
        #[expect(clippy::disallowed_methods, reason = "a secret is asked of the system")]
        getrandom::fill(&mut bytes).map_err(|error| Failure::new(error.to_string()))?;
        let text = format!("{}{}", Secret::PREFIX, BASE64_STANDARD.encode(bytes));
        say(&format!(
            "milkrun: signs with {text} (until it ends; {SECRET} or --secret-file for another)"
        ));
        (text, String::new())
    };
    text.trim().parse().map_err(|error| Failure::usage(format!("{from}: {error}")))
}
