//! `milkrun find`: a thing by whatever somebody has of it.

use super::{
    Failure, Options,
    output::{Column, say},
};

const COLUMNS: [Column; 5] = [
    ("KIND", "/kind"),
    ("NAME", "/name"),
    ("TOPIC", "/topic"),
    ("VERSION", "/version"),
    ("PATH", "/path"),
];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A name, `topic@version`, a cursor, the `webhook-id` of a request, or the id of an event.
    #[arg(value_name = "WHAT")]
    query: String,
    /// Goes on at older events, as the last answer has said.
    #[arg(long, value_name = "TOPIC@VERSION")]
    after: Option<String>,
    /// Looks at the ids of all events, however long that takes.
    #[arg(long)]
    all: bool,
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<(), Failure> {
    let client = options.client()?;
    let mut after = args.after;
    loop {
        let mut query = vec![("q", args.query.clone())];
        query.extend(after.map(|after| ("after", after)));
        let answer = client.get(&["v1", "find"], &query).await?;
        let found = answer["found"].as_array().is_some_and(|found| !found.is_empty());
        let next = answer["next"].as_str().map(str::to_owned);
        if args.all && !found && next.is_some() {
            after = next;
            continue;
        }
        options.output.list(&answer, "found", &COLUMNS)?;
        match next {
            Some(next) => say(&format!(
                "milkrun: looked at {} ids; older events follow with --after {next}, or --all",
                answer["looked_at"]
            )),
            None if !found => say("milkrun: there is nothing of this name, place or id"),
            None => {}
        }
        return Ok(());
    }
}
