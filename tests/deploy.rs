//! The files in `deploy/`, by the tools of their makers, and by the binary that reads them.

use std::{collections::BTreeSet, path::Path, process::Command};

use tempfile::TempDir;

use crate::kinto::python::python;

mod image;

/// What the sandbox of a unit may come to at most, by `systemd-analyze security`.
const EXPOSURE_MAX: f64 = 2.0;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn check(file: &Path) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_milkrun"))
        .args(["check", "-c"])
        .arg(file)
        .env("MILKRUN_STORE", "sqlite:/nowhere/milkrun.db")
        .env("MILKRUN_ADMIN_SHA256", "a".repeat(64))
        .output()
        .unwrap()
}

/// A script that prints what its tools find prints nothing; answers the folder where it worked.
async fn passes(arguments: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut script = python();
    script.args(arguments).arg(folder.path()).current_dir(root());
    let checked = script.output().await.unwrap();
    let told = String::from_utf8_lossy(&checked.stdout);
    let errors = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && told.is_empty(), "{told}{errors}");
    folder
}

#[tokio::test]
async fn what_deploys_passes_its_tools() {
    let folder = passes(&["tests/deploy/check.py"]).await;
    // What the chart and the image write is read by the binary.
    let mut files: BTreeSet<_> =
        folder.path().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 2);
    files.insert(root().join("deploy/container/milkrun.yaml"));
    files.insert(root().join("deploy/deb/milkrun.yaml"));
    for file in files {
        let good = check(&file);
        let errors = String::from_utf8_lossy(&good.stderr);
        assert!(good.status.success(), "{}: {errors}", file.display());
    }
}

#[tokio::test]
async fn what_is_released_passes_its_tools() {
    passes(&["tests/deploy/packages.py", env!("CARGO_BIN_EXE_milkrun")]).await;
}

#[test]
fn the_unit_of_systemd_is_good_and_closed() {
    let Ok(_) = Command::new("systemd-analyze").arg("--version").output() else {
        println!("systemd-analyze is missing: the unit is not looked at");
        return;
    };
    let unit = std::fs::read_to_string(root().join("deploy/milkrun.service")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("milkrun.service");
    // The program and its manual page are of the package.
    let unit = unit.replace("/usr/bin/milkrun", env!("CARGO_BIN_EXE_milkrun"));
    std::fs::write(&path, unit.replace("man:milkrun(1) ", "")).unwrap();
    let verified = Command::new("systemd-analyze").arg("verify").arg(&path).output().unwrap();
    let told = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && told.is_empty(), "{told}");
    let analysed = Command::new("systemd-analyze")
        .args(["security", "--offline=true"])
        .arg(&path)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&analysed.stdout);
    let line = told.lines().find(|line| line.contains("Overall exposure level")).expect(&told);
    let level = line.split_whitespace().find_map(|word| word.parse::<f64>().ok()).expect(line);
    assert!(level <= EXPOSURE_MAX, "{line}");
}
