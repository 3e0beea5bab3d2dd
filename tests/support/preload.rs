//! C files of the tests that are loaded before the relay (`LD_PRELOAD`).

use std::{path::PathBuf, process::Command};

use tempfile::TempDir;

use super::Place;

/// One of them, built; needs the C compiler that SQLite was built with.
pub(crate) struct Library {
    path: PathBuf,
    _dir: TempDir,
}

impl Library {
    /// Builds `tests/{source}`.
    pub(crate) fn build(source: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("preload.so");
        let source = format!("{}/tests/{source}", env!("CARGO_MANIFEST_DIR"));
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o", path.to_str().unwrap(), &source, "-ldl"])
            .output()
            .expect("a C compiler (scripts/test installs one)");
        assert!(built.status.success(), "{built:?}");
        Self { path, _dir: dir }
    }

    /// Loads it into whatever is started in a place from now on.
    pub(crate) fn load(&self, place: &mut Place) {
        place.env("LD_PRELOAD", self.path.to_str().unwrap());
    }
}
