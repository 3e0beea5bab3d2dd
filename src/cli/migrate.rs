//! `milkrun migrate`: a store from a file into a database.

use indicatif::{ProgressBar, ProgressStyle};

use super::{
    Failure,
    failure::chain,
    output::{print, say, seen},
};
use crate::{
    clock::Clock,
    store::{self, Address, Moved, StoreError, Watch},
};

const EXAMPLE: &str = "\
Stop the relay, make an empty database, and move the file into it:

  createdb milkrun
  milkrun migrate --from sqlite:data/milkrun.db --to postgres://milkrun@db.example/milkrun
  milkrun migrate --from sqlite:old.db --to postgres://milkrun@localhost/milkrun -o json

Then name the database as `store` in the configuration, and start the relay. Versions, epochs,
positions, dead letters, what waits and what is known stay as they are: readers and consumers go on
where they were. The file is not changed. A move that was broken off goes on when the same command is
given again; until it is done no relay starts on the database. The trace of attempts is left behind.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    /// The file, which no relay may be using: `sqlite:PATH`.
    #[arg(long, value_name = "STORE")]
    from: String,
    /// The database, which must be empty: `postgres://USER@HOST/DATABASE`. A password is best given in
    /// the environment.
    #[arg(long, value_name = "STORE", env = "MILKRUN_MIGRATE_TO", hide_env_values = true)]
    to: String,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let (from, to) = (Address::new(args.from), Address::new(args.to));
    let mut told = Told { bar: None };
    let moved = store::migrate(from.as_str(), to.as_str(), Clock::system().now(), &mut told).await;
    if let Some(bar) = told.bar {
        bar.finish_and_clear();
    }
    let moved = moved.map_err(|error| failed(&from, &to, &error))?;
    print(&summary(&from, &to, &moved))?;
    Ok(())
}

fn failed(from: &Address, to: &Address, error: &StoreError) -> Failure {
    let why = format!("{from} is not moved into {to}: {}", chain(error));
    match error {
        StoreError::Refused(_) | StoreError::InUse(_) | StoreError::Conflict(_) => {
            Failure { message: why, code: 78 }
        }
        _ => Failure::new(format!("{why}; give the same command again to go on from there")),
    }
}

/// What is there now, in one line.
fn summary(from: &Address, to: &Address, moved: &Moved) -> String {
    let lost = match moved.lost {
        0 => String::new(),
        count => format!(
            "; {count} times something was damaged or missing in the file, which gaps of the topics \
             tell of"
        ),
    };
    format!(
        "{from} is moved into {to}: {} topics, {} events, {} sources, {} subscriptions, \
         {} positions, {} dead letters, {} pending events, {} dedupe keys{lost}; left behind: the \
         trace of attempts",
        moved.topics,
        moved.events,
        moved.sources,
        moved.subscriptions,
        moved.positions,
        moved.dead_letters,
        moved.pending,
        moved.dedupe_keys,
    )
}

/// A bar, on a terminal.
struct Told {
    bar: Option<ProgressBar>,
}

impl Watch for Told {
    fn events(&mut self, done: u64, all: u64) {
        let bar = self.bar.get_or_insert_with(|| seen(ProgressBar::new(all).with_style(style())));
        bar.set_position(done);
    }

    fn lost(&mut self, what: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(what)),
            None => say(what),
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} events {per_sec} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_told() {
        let (from, to) = (Address::new("sqlite:a.db"), Address::new("postgres://me:secret@db/log"));
        let moved = Moved { topics: 2, lost: 1, ..Moved::default() };
        let told = summary(&from, &to, &moved);
        assert!(
            told.starts_with("sqlite:a.db is moved into postgres://db/log: 2 topics"),
            "{told}"
        );
        assert!(told.contains("; 1 times something was damaged"), "{told}");
        let refused = failed(&from, &to, &StoreError::Refused("no".into()));
        assert_eq!((refused.code, refused.message.contains("secret")), (78, false));
        assert_eq!(failed(&from, &to, &StoreError::DiskFull).code, 1);
    }
}
