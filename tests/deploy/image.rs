//! The image without an engine: the tree that the last stage of the Dockerfile makes, run as the image
//! runs, by its user and with nothing that can be written but its volume.

use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::Command;

use super::root;
use crate::support::{LONG, eventually, relay::free_port, within};

/// In namespaces of its own, the tree becomes the root, read-only but for what is a volume, and `/tmp`
/// if that is asked for.
const INSIDE: &str = r#"set -eu
tree=$1 volume=$2 user=$3 temporary=$4
shift 4
mount --bind "$tree" "$tree"
mount --bind "$tree$volume" "$tree$volume"
mount --rbind /proc "$tree/proc"
[ "$temporary" = no ] || mount -t tmpfs -o mode=1777 tmpfs "$tree/tmp"
mount -o remount,bind,ro "$tree"
exec chroot --userspec="$user" --groups= "$tree" "$@"
"#;

/// What the last stage of a Dockerfile says.
struct Image {
    tree: TempDir,
    environment: Vec<(String, String)>,
    user: String,
    volume: String,
    entry: String,
}

impl Image {
    /// The tree: what the base image has of use here, and what is copied onto it.
    fn made(dockerfile: &str) -> Self {
        let (_, stage) = dockerfile.rsplit_once("\nFROM ").unwrap();
        let mut image = Self {
            tree: TempDir::new().unwrap(),
            environment: Vec::new(),
            user: String::new(),
            volume: String::new(),
            entry: String::new(),
        };
        image.base();
        for line in stage.lines().skip(1) {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "COPY" => image.copy(rest),
                "ENV" => {
                    let (name, value) = rest.split_once('=').unwrap();
                    image.environment.push((name.to_owned(), value.to_owned()));
                }
                "USER" => rest.clone_into(&mut image.user),
                "VOLUME" => rest.clone_into(&mut image.volume),
                "ENTRYPOINT" => {
                    rest.trim_matches(['[', ']', '"']).clone_into(&mut image.entry);
                }
                _ => {}
            }
        }
        image
    }

    /// The bundle of certificates, the libraries that the binary wants, and empty places to mount on.
    fn base(&self) {
        for folder in ["etc/ssl/certs", "proc", "tmp"] {
            fs::create_dir_all(self.path(folder)).unwrap();
        }
        let listed = std::process::Command::new("ldd").arg(env!("CARGO_BIN_EXE_milkrun")).output();
        let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
        let libraries = listed
            .lines()
            .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
        for file in libraries.chain(["/etc/ssl/certs/ca-certificates.crt"]) {
            let to = self.path(file);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(file, to).unwrap();
        }
    }

    /// `COPY [--from=build] [--chown=USER:GROUP] FROM TO`.
    fn copy(&self, arguments: &str) {
        let (options, paths): (Vec<_>, Vec<_>) =
            arguments.split_whitespace().partition(|word| word.starts_with("--"));
        let [from, to] = paths[..] else { panic!("COPY {arguments}") };
        let owner = options.iter().find_map(|option| option.strip_prefix("--chown="));
        let (user, group) = owner.unwrap_or("0:0").split_once(':').unwrap();
        let owner = (user.parse().unwrap(), group.parse().unwrap());
        let from = match from.strip_prefix("/src/") {
            Some("target/release/milkrun") => PathBuf::from(env!("CARGO_BIN_EXE_milkrun")),
            Some(inside) => root().join(inside),
            None => root().join(from),
        };
        place(&from, &self.path(to), owner);
    }

    /// A path of the image, seen from here.
    fn path(&self, inside: &str) -> PathBuf {
        self.tree.path().join(inside.trim_start_matches('/'))
    }

    /// The image's program with these arguments.
    fn command(&self, has_temporary: bool, arguments: &[&str]) -> Command {
        let temporary = if has_temporary { "yes" } else { "no" };
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-c", INSIDE, "sh"])
            .arg(self.tree.path())
            .args([&*self.volume, &*self.user, temporary, &*self.entry])
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("MILKRUN_ADMIN_SHA256", "a".repeat(64))
            .envs(self.environment.iter().cloned())
            .kill_on_drop(true);
        command
    }

    /// Whether the program did it, and what it said.
    async fn run(&self, has_temporary: bool, arguments: &[&str]) -> (bool, String) {
        let output = self.command(has_temporary, arguments).output();
        let output = within(LONG, "the command's end", output).await.unwrap();
        let told = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&told).into_owned())
    }
}

/// Copies a file or what is in a folder; all that is made belongs to `owner`.
fn place(from: &Path, to: &Path, owner: (u32, u32)) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            place(&entry.path(), &to.join(entry.file_name()), owner);
        }
    } else {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
    chown(to, Some(owner.0), Some(owner.1)).unwrap();
}

#[tokio::test]
async fn the_image_runs_by_its_user_on_a_root_that_is_read_only() {
    if !rustix::process::geteuid().is_root() {
        println!("not root: the image is not tried");
        return;
    }
    let dockerfile = fs::read_to_string(root().join("deploy/Dockerfile")).unwrap();
    let image = Image::made(&dockerfile);
    // Anybody may use 8080 of this machine.
    let file = image.path("etc/milkrun/milkrun.yaml");
    let usual = fs::read_to_string(&file).unwrap();
    let own = usual.replace("0.0.0.0:8080", &format!("127.0.0.1:{}", free_port()));
    assert_ne!(own, usual);
    fs::write(&file, own).unwrap();

    let (is_good, told) = image.run(false, &["demo", "--once"]).await;
    assert!(!is_good && told.contains("Read-only file system"), "{told}");
    let (is_good, told) = image.run(true, &["demo", "--once"]).await;
    assert!(is_good, "{told}");

    let mut relay = image.command(false, &["run"]).spawn().unwrap();
    eventually("the health check's yes", || async {
        image.run(false, &["healthcheck"]).await.0.then_some(())
    })
    .await;
    let id = relay.id().unwrap();
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let user = image.user.split(':').next().unwrap();
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    assert!(uids.split_whitespace().all(|uid| uid == user), "{uids}");
    let id = Pid::from_raw(id.try_into().unwrap()).unwrap();
    kill_process(id, Signal::TERM).unwrap();
    let ended = within(LONG, "the relay's end", relay.wait()).await.unwrap();
    assert!(ended.success(), "{ended}");
    let (is_good, told) = image.run(false, &["healthcheck"]).await;
    assert!(!is_good, "{told}");
}
