"""What a release carries, made here and judged by the tools for it; prints nothing when all is well.

Usage: packages.py BINARY FOLDER

cargo-deb makes the released Debian package. This lays out the same tree by the same metadata of
Cargo.toml, as cargo-deb does, so that the files, the scripts and the conffiles are the released ones.
"""

import gzip
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

folder = Path(sys.argv[2])
binary = folder / "milkrun"
package = tomllib.loads(Path("Cargo.toml").read_text())
workspace, package = package["workspace"]["package"], package["package"]
VERSION, REPOSITORY = workspace["version"], workspace["repository"]
TARGET = f"{platform.machine()}-unknown-linux-gnu"
problems = []


def run(*command, **options):
    """Runs a tool; whatever it says, or a failure, is a problem. Answers what it printed."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if done.returncode != 0 or done.stderr:
        problems.append(f"{command[0]}: {done.returncode} {done.stdout}{done.stderr}")
    return done.stdout


def compressed(asset):
    """Whether cargo-deb compresses what goes to this path of the package."""
    return asset.startswith("usr/share/man/") or re.fullmatch(r"usr/share/doc/.*/changelog(\.Debian)?", asset)


def place(tree, source, to, mode):
    """One asset of the package."""
    to = to + source.name if to.endswith("/") else to
    path = tree / (to + ".gz" if compressed(to) else to)
    path.parent.mkdir(parents=True, exist_ok=True)
    if compressed(to):
        path.write_bytes(gzip.compress(source.read_bytes(), mtime=0))
    else:
        shutil.copyfile(source, path)
    path.chmod(int(mode, 8))
    return to


def deb(packed):
    """The tree as cargo-deb lays it out, packed."""
    metadata, tree, conffiles = package["metadata"]["deb"], folder / "tree", []
    for source, to, mode in metadata["assets"]:
        if source == f"target/release/{package['name']}":
            sources = [binary]
        elif source.startswith("target/package/"):
            sources = [packed / source.removeprefix("target/package/")]
        else:
            sources = sorted(Path().glob(source))
        if not sources:
            problems.append(f"{source} is not there")
        placed = [place(tree, source, to, mode) for source in sources]
        conffiles += [f"/{path}\n" for path in placed if path.startswith("etc/")]
    changelog = Path(metadata["changelog"])
    place(tree, changelog, "usr/share/doc/milkrun/changelog.Debian", "644")
    control = tree / "DEBIAN"
    control.mkdir()
    (control / "conffiles").write_text("".join(conffiles))
    for script in ["preinst", "postinst", "prerm", "postrm"]:
        source = Path(metadata["maintainer-scripts"]) / script
        if source.exists():
            shutil.copyfile(source, control / script)
            (control / script).chmod(0o755)
    libraries = folder / "debian/control"
    libraries.parent.mkdir()
    libraries.write_text("Source: milkrun\n\nPackage: milkrun\nArchitecture: any\n")
    auto = run("dpkg-shlibdeps", "-O", tree / "usr/bin/milkrun", cwd=folder)
    auto = auto.strip().removeprefix("shlibs:Depends=")
    fields = {
        "Package": package["name"],
        "Version": f"{VERSION}-1",
        "Architecture": run("dpkg", "--print-architecture").strip(),
        "Homepage": REPOSITORY,
        "Section": metadata["section"],
        "Priority": "optional",
        "Maintainer": metadata["maintainer"],
        "Installed-Size": sum(path.stat().st_size for path in tree.rglob("*")) // 1024,
        "Depends": metadata["depends"].replace("$auto", auto),
        "Description": package["description"],
    }
    lines = [f"{name}: {value}" for name, value in fields.items()]
    lines += [f" {line}" for line in metadata["extended-description"].splitlines()]
    (control / "control").write_text("\n".join(lines) + "\n")
    if not changelog.read_text().startswith(f"milkrun ({fields['Version']})"):
        problems.append(f"{changelog} is not about {fields['Version']}")
    made = folder / "milkrun.deb"
    run("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, made)
    return made


def binstall(archive):
    """The archive is where and what cargo-binstall looks for."""
    metadata = package["metadata"]["binstall"]
    known = {"repo": REPOSITORY, "version": VERSION, "target": TARGET, "bin": package["name"]}
    known["binary-ext"] = ""
    filled = {
        name: re.sub(r"\{ ([a-z-]+) \}", lambda found: known[found[1]], text)
        for name, text in metadata.items()
    }
    if not filled["pkg-url"].endswith(f"/releases/download/v{VERSION}/{archive.name}"):
        problems.append(f"cargo-binstall looks for {filled['pkg-url']}, and there is {archive.name}")
    with tarfile.open(archive) as tar:
        if filled["bin-dir"] not in tar.getnames():
            problems.append(f"cargo-binstall looks for {filled['bin-dir']} in {tar.getnames()}")


def manual():
    """The manual page is well-formed and has every command and option."""
    problems.extend(run("mandoc", "-T", "lint", "deploy/milkrun.1").splitlines())
    page = Path("deploy/milkrun.1").read_text()
    told = run(binary, "--help")
    for name in re.findall(r"^  ([a-z][a-z-]+)  ", told, re.M):
        if f".It Cm {name}\n" not in page:
            problems.append(f"the manual page lacks the command {name}")
    for name in re.findall(r"^ +(?:-., )?--([a-z-]+)", told, re.M):
        if f"Fl -{name}" not in page:
            problems.append(f"the manual page lacks --{name}")


run("strip", "--strip-unneeded", "-o", binary, sys.argv[1])
packed = folder / "package"
run("scripts/pack", binary, TARGET, packed)
binstall(packed / f"milkrun-v{VERSION}-{TARGET}.tar.gz")
manual()
# A first upload to Debian itself closes a bug of Debian's; this package is not uploaded there.
lintian = ["lintian", "--allow-root", "--fail-on", "none"]
lintian += ["--suppress-tags", "initial-upload-closes-no-bugs"]
problems.extend(run(*lintian, deb(packed)).splitlines())
print("\n".join(problems), end="")
