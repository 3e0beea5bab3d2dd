//! `milkrun secrets`: the key that secrets are kept under in the store.

use serde_json::json;

use super::{
    Failure, Options, environment,
    failure::chain,
    offline,
    output::{Output, print, say},
};
use crate::{
    config,
    seal::{MasterKey, Seal},
};

const EXAMPLE: &str = "\
The first master key:

  milkrun secrets new-key > master.key
  chmod 600 master.key

  secrets:
    master_key: { file: master.key }

Another one takes its place: it becomes `master_key`, the former one goes to `other_keys` until
this is done, with no relay running on a file:

  milkrun secrets rekey -c milkrun.yaml

 Keep the key apart from backups: without it they have no secrets.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print a new master key: 32 random bytes in base64.
    NewKey,
    /// Seal everything under the configured master key, whatever it is sealed under now; without a
    /// master key, open it. On a file no relay may run; a relay does the same when it starts.
    Rekey,
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<(), Failure> {
    match args.action {
        Action::NewKey => new_key(options),
        Action::Rekey => rekey(options).await,
    }
}

fn new_key(options: &Options) -> Result<(), Failure> {
    let (key, text) = MasterKey::fresh().map_err(|error| Failure::new(error.to_string()))?;
    if options.output == Output::Json {
        return Ok(options.output.one(&json!({ "id": key.id(), "key": text }))?);
    }
    print(&text)?;
    say(&format!("This is master key {}. Whoever loses it loses the secrets under it.", key.id()));
    Ok(())
}

async fn rekey(options: &Options) -> Result<(), Failure> {
    let seal = config::load(options.file(), environment)?.seal;
    let store = offline::open(options).await?;
    let done = store.reseal().await;
    store.close().await;
    let done = done.map_err(|error| Failure { message: chain(&error), code: 78 })?;
    let key = seal.master().map(MasterKey::id);
    if options.output == Output::Json {
        let answer = json!({ "key": key, "changed": done.changed, "unchanged": done.unchanged });
        return Ok(options.output.one(&answer)?);
    }
    say(&format!("{} {}, {} as it was", done.changed, what_became(&seal), done.unchanged));
    Ok(())
}

/// What becomes of subscriptions' settings under this seal.
fn what_became(seal: &Seal) -> String {
    match seal.master() {
        Some(key) => format!("sealed under master key {}", key.id()),
        None => "opened, for there is no `secrets.master_key`".into(),
    }
}
