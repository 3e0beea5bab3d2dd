//! The OpenAPI document, by the tools of others: whether it is valid, whether a real relay answers as it
//! says, and whether the clients that are made of it work.

mod rig;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use serde_json::Value;
use tokio::process::Command;

use self::rig::Rig;
use crate::{
    structure::sources,
    support::{full, installed, scaled, within},
};

/// What a run of all checks may take: in its short form, and with 100 examples an operation.
const SHORT: Duration = Duration::from_mins(1);
const WHOLE: Duration = Duration::from_mins(9);
/// How many calls each client makes.
const CALLS: &str = "10";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A program of the packages in `tests/clients/`.
fn python(name: &str) -> Command {
    let program = installed("MILKRUN_TEST_CLIENTS_PYTHON", "target/openapi/bin", Some(name));
    let mut command = Command::new(program);
    command.kill_on_drop(true);
    command
}

fn node_modules() -> PathBuf {
    installed("MILKRUN_TEST_CLIENTS_NODE", "target/clients", Some("node_modules"))
}

/// What it printed as data, when it ended well.
async fn good(what: &str, limit: Duration, command: &mut Command) -> String {
    ended(what, limit, command).await.0
}

/// What it printed as data and as messages, when it ended well.
async fn ended(what: &str, limit: Duration, command: &mut Command) -> (String, String) {
    let Output { status, stdout, stderr } = within(limit, what, command.output()).await.unwrap();
    let (told, errors) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{what}: {status}\n{told}\n{errors}");
    (told.into_owned(), errors.into_owned())
}

#[tokio::test]
async fn the_document_is_valid() {
    let rig = Rig::start().await;
    let document = rig.document(|_| {});
    good("openapi-spec-validator", SHORT, python("openapi-spec-validator").arg(document)).await;
}

/// Without what an operation says of any other answer, so that each has to be in the document; and
/// without the word that no key may do, for this relay has one.
#[tokio::test]
async fn the_relay_answers_as_the_document_says() {
    let rig = Rig::start().await;
    let document = rig.document(|document| {
        // A topic that a call makes public wants no key from then on, as it should.
        let topic = &mut document["components"]["schemas"]["TopicBody"]["properties"];
        topic.as_object_mut().unwrap().remove("public").unwrap();
        let paths = document["paths"].as_object_mut().unwrap().values_mut();
        for operation in paths.flat_map(|path| path.as_object_mut().unwrap().values_mut()) {
            operation["responses"].as_object_mut().unwrap().remove("default").unwrap();
            if let Some(ways) = operation.get_mut("security").and_then(Value::as_array_mut) {
                ways.retain(|way| way != &serde_json::json!({}));
            }
        }
    });
    let seed = if full() { fastrand::u32(..) } else { 1 };
    println!("seed {seed}");
    let mut command = python("st");
    command
        .current_dir(rig.folder())
        .args(["--config-file", root().join("tests/clients/schemathesis.toml").to_str().unwrap()])
        .args(["run", document.to_str().unwrap(), "--url", &rig.base()])
        .args(["--header", &format!("Authorization: Bearer {}", rig.key())])
        .args(["--checks", "all", "--continue-on-failure", "--request-timeout", "20"])
        .args(["--max-examples", &scaled(3, 100).to_string(), "--seed", &seed.to_string()]);
    let limit = if full() { WHOLE } else { SHORT };
    let told = good("schemathesis", limit, &mut command).await;
    let count = include_str!("operations.txt").lines().filter(|line| !line.is_empty()).count();
    assert!(told.contains(&format!("Tested: {count}")), "an operation was left out:\n{told}");
    rig.is_well().await;
}

#[tokio::test]
async fn a_client_in_typescript_is_made_and_works() {
    let rig = Rig::start().await;
    let (document, modules) = (rig.document(|_| {}), node_modules());
    let folder = rig.folder();
    std::os::unix::fs::symlink(&modules, folder.join("node_modules")).unwrap();
    for name in ["client.ts", "package.json"] {
        std::fs::copy(root().join("tests/clients").join(name), folder.join(name)).unwrap();
    }
    let node = |script: &str| {
        let mut command = Command::new("node");
        command.arg(modules.join(script)).current_dir(folder).kill_on_drop(true);
        command
    };
    let mut make = node("openapi-typescript/bin/cli.js");
    good("openapi-typescript", SHORT, make.arg(document).args(["-o", "schema.d.ts"])).await;
    let mut check = node("typescript/bin/tsc");
    check.args(["--strict", "--target", "es2022", "--module", "nodenext"]);
    check.args(["--lib", "es2022,dom,dom.iterable", "--outDir", ".", "client.ts"]);
    good("tsc", SHORT, &mut check).await;
    let mut run = Command::new("node");
    run.arg("client.js").args([&rig.base(), rig.key()]).current_dir(folder).kill_on_drop(true);
    assert_eq!(good("the client", SHORT, &mut run).await.trim(), CALLS);
}

#[tokio::test]
async fn a_client_in_python_is_made_and_works() {
    let rig = Rig::start().await;
    let document = rig.document(|_| {});
    let script = root().join("tests/clients/client.py");
    let mut make = python("openapi-python-client");
    make.current_dir(rig.folder())
        .args(["generate", "--meta", "none", "--output-path", "relay", "--path"])
        .arg(document)
        .arg("--config")
        .arg(root().join("docs/openapi-python-client.yaml"));
    let (_, told) = ended("openapi-python-client", SHORT, &mut make).await;
    // Batches, as the file says.
    assert_eq!(told.matches("WARNING parsing").count(), 1, "{told}");
    std::fs::copy(script, rig.folder().join("client.py")).unwrap();
    let mut check = python("mypy");
    check.current_dir(rig.folder()).args(["--strict", "client.py", "relay"]);
    good("mypy", SHORT, &mut check).await;
    let mut run = python("python");
    run.current_dir(rig.folder()).args(["client.py", &rig.base(), rig.key()]);
    assert_eq!(good("the client", SHORT, &mut run).await.trim(), CALLS);
}

/// The names by which clients call: what is in the list stays, and what is new is added to it.
#[tokio::test]
async fn no_operation_changes_its_name() {
    let rig = Rig::start().await;
    let text = std::fs::read_to_string(rig.document(|_| {})).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let mut names = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap();
            names.push(format!("{name} {} {path}", method.to_uppercase()));
        }
    }
    names.sort();
    let kept: Vec<&str> = include_str!("operations.txt").lines().collect();
    assert_eq!(names, kept);
}

/// Two types of one name would be one schema, of which each call would mean another.
#[test]
fn no_two_types_are_one_schema() {
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    for (path, text) in sources(&["src"]) {
        let items = text.split("\n\n").filter(|item| item.contains("derive("));
        for item in items.filter(|item| item.contains("ToSchema")) {
            let named = ["#[schema(as = ", "struct ", "enum "];
            let name = named.iter().find_map(|before| Some(item.split_once(before)?.1));
            let name = name.expect(item).split(|c: char| !c.is_ascii_alphanumeric()).next();
            if let Some(other) = found.insert(name.unwrap().to_owned(), path.clone()) {
                panic!("{name:?} is in {} and in {}", other.display(), path.display());
            }
        }
    }
    assert!(found.len() > 60, "{found:?}");
}
