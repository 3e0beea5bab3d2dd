//! What lies beside the file, by its name.

use std::path::{Path, PathBuf};

/// `PATH` with `suffix` behind its whole name.
pub(crate) fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
