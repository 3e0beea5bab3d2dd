//! What the relay sends, checked by libraries that were not written here: the official ones of
//! Standard Webhooks and CloudEvents, for Python and JavaScript.

mod requests;
mod times;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Write},
    path::PathBuf,
};

use serde_json::Value;
use tokio::process::Command;

use crate::{
    kinto::python::python,
    support::{installed, scaled},
};
use requests::Maker;

#[tokio::test]
async fn the_official_libraries_accept_what_is_sent_and_nothing_that_was_altered() {
    let (signatures, events) = (scaled(200, 10_000), scaled(150, 3_000));
    let mut maker = Maker::new(crate::process::seeded());
    // It stays, to be looked into.
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("requests.jsonl");
    let mut file = BufWriter::new(File::create(&path).unwrap());
    let mut write = |line: Value| writeln!(file, "{line}").unwrap();
    write(requests::vector());
    (0..signatures).for_each(|_| write(maker.signed()));
    (0..events).for_each(|_| write(maker.event()));
    let times = times::lines();
    let count_of_times = times.len();
    times.into_iter().for_each(&mut write);
    file.flush().unwrap();

    for (name, mut command) in [("Python", with_python()), ("JavaScript", with_node())] {
        let output = command.arg(&path).output().await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {errors}");
        let counts: BTreeMap<String, usize> = serde_json::from_slice(&output.stdout).unwrap();
        println!("{name}: {counts:?}");
        // Each request is verified by both shared secrets and by the public key.
        for (what, count) in [
            ("vector", 1),
            ("signature", signatures),
            ("verified", 3 * signatures),
            ("refused", 9 * signatures),
            ("event", events),
            ("time", count_of_times),
        ] {
            assert_eq!(counts.get(what), Some(&count), "{name}: {what}");
        }
    }
}

fn with_python() -> Command {
    let mut command = python();
    command.arg(script("check.py"));
    command
}

/// Node with the packages of `tests/verify/package.json`; made by `scripts/test`.
fn with_node() -> Command {
    let modules = installed("MILKRUN_TEST_NODE_MODULES", "target/node/node_modules", None);
    let mut command = Command::new("node");
    command.arg(script("check.cjs")).env("MILKRUN_TEST_NODE_MODULES", modules).kill_on_drop(true);
    command
}

fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/verify").join(name)
}
