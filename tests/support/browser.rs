//! A real Chromium, led by a script for Node.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::process::Command;

use super::within;

/// What one run of the browser may take.
const BROWSER: Duration = Duration::from_secs(100);

/// Runs `script` of the repository with a folder of its own and this plan, to which the browser's program
/// and its profile are added; answers what it prints.
pub(crate) async fn lead(folder: &Path, script: &str, mut plan: Value) -> Value {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let chromium = Path::new("/usr/bin/chromium");
    assert!(chromium.exists(), "{} is missing: run scripts/test once", chromium.display());
    std::fs::create_dir_all(folder).unwrap();
    // Node looks for packages where the script is.
    let modules = folder.join("node_modules");
    if !modules.exists() {
        std::os::unix::fs::symlink(installed(), modules).unwrap();
    }
    std::fs::write(folder.join("package.json"), r#"{"type":"module"}"#).unwrap();
    std::fs::copy(here.join(script), folder.join("drive.js")).unwrap();
    plan["executable"] = json!(chromium);
    plan["folder"] = json!(folder.join("profile"));
    std::fs::write(folder.join("plan.json"), plan.to_string()).unwrap();
    let mut node = Command::new("node");
    // It says how far it is.
    node.args(["drive.js", "plan.json"]).current_dir(folder).kill_on_drop(true);
    node.stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = within(BROWSER, "the browser", node.output()).await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error} in {told}"))
}

fn installed() -> PathBuf {
    let given = std::env::var_os("MILKRUN_TEST_CLIENTS_NODE").map(PathBuf::from);
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients");
    let modules = given.unwrap_or(usual).join("node_modules");
    let driver = modules.join("playwright-core");
    assert!(driver.exists(), "{} is missing: run scripts/test once", driver.display());
    modules
}
