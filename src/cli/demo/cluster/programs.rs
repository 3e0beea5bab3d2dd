//! The programs that the demo starts: where they are, and how they end with it.

use std::{
    env, fs,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::super::super::Failure;

/// Where Debian keeps PostgreSQL, one folder for each release.
const RELEASES: &str = "/usr/lib/postgresql";

/// Whose a process is: user and group.
pub(super) type Owner = (u32, u32);

/// Starts children that outlive nobody.
#[derive(Clone, Copy)]
pub(super) struct Starter {
    has_setpriv: bool,
}

impl Starter {
    pub(super) fn new() -> Self {
        // The one of busybox knows nothing of that.
        let mut tries = Command::new("setpriv");
        tries.args(["--pdeathsig", "clear", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
        Self { has_setpriv: tries.status().is_ok_and(|status| status.success()) }
    }

    /// Gives a folder to `nobody` when this is root, as whom PostgreSQL does not run; answers who
    /// owns it then.
    pub(super) fn give_away(self, folder: &Path) -> Result<Option<Owner>, Failure> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        if !self.has_setpriv {
            return Err(Failure::new(
                "PostgreSQL does not run as root, and there is no `setpriv` (of util-linux) to run \
                 it as somebody else: start the demo as another user",
            ));
        }
        let given = Command::new("chown").args(["-R", "nobody:"]).arg(folder).status()?;
        if !given.success() {
            return Err(Failure::new(format!("{} cannot be given to nobody", folder.display())));
        }
        let meta = fs::metadata(folder)?;
        Ok(Some((meta.uid(), meta.gid())))
    }

    /// A command that ends when this process does, however that ends. A Ctrl-C is not for it: the
    /// demo ends its children in their order.
    pub(super) fn command(self, program: &Path, owner: Option<Owner>) -> Command {
        let mut command =
            Command::new(if self.has_setpriv { Path::new("setpriv") } else { program });
        if self.has_setpriv {
            command.args(["--pdeathsig", "INT"]);
            if let Some((user, group)) = owner {
                command.args(["--reuid", &user.to_string(), "--regid", &group.to_string()]);
                command.arg("--clear-groups");
            }
            command.arg(program);
        }
        command.process_group(0).stdin(Stdio::null());
        command
    }
}

/// The folder of PostgreSQL's programs: the one in PATH, else that of the newest release.
pub(super) fn postgres() -> Result<PathBuf, Failure> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut releases: Vec<(u32, PathBuf)> = fs::read_dir(RELEASES)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .collect();
    releases.sort();
    let releases = releases.into_iter().rev().map(|(_, folder)| folder.join("bin"));
    let has_all = |folder: &PathBuf| {
        ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file())
    };
    env::split_paths(&path).chain(releases).find(has_all).ok_or_else(|| {
        Failure::new(format!(
            "this needs PostgreSQL, 15 or later: its programs `initdb` and `postgres` are neither in \
             PATH nor in {RELEASES}/*/bin\nInstall it, as by `apt install postgresql`, and run \
             this again; no server has to run."
        ))
    })
}
