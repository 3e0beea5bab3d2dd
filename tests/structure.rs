//! The shape of the source: rules that no compiler checks. Each rule is a function over texts, so
//! that it is also shown to fail.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const LINES_MAX: usize = 400;

/// A source file: its path below the root, and its text.
type File = (PathBuf, String);

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let files = sources(&["src", "probes", "sinks", "tests", "bench"]);
    assert!(files.len() > 20, "only {} files were found", files.len());
    assert_eq!(long_or_nameless(&files), [""; 0]);
    let long = (PathBuf::from("long.rs"), "//! Long.\n".repeat(LINES_MAX + 1));
    let nameless = (PathBuf::from("nameless.rs"), "use std::fs;\n".to_owned());
    assert_eq!(long_or_nameless(&[long, nameless]).len(), 2);
}

fn long_or_nameless(files: &[File]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, text) in files {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            wrong.push(format!("{}: {lines} lines, at most {LINES_MAX}", path.display()));
        }
        if !text.starts_with("//! ") {
            wrong.push(format!("{}: does not begin with `//! `", path.display()));
        }
    }
    wrong
}

#[test]
fn nothing_is_left_undone_or_looked_away_from() {
    // Written in two parts, so that this file has none of them.
    let marks = ["todo", "unimplemented", "dbg"].map(|name| format!("{name}!("));
    let marks =
        marks.into_iter().chain(["ignore]", "ignore =", "allow("].map(|end| format!("#[{end}")));
    let marks: Vec<String> = marks.collect();
    for (path, text) in sources(&["src", "probes", "sinks", "tests", "bench"]) {
        for mark in &marks {
            assert!(!code(&text).contains(mark), "{} has `{mark}`", path.display());
        }
    }
}

#[test]
fn what_the_map_names_is_there() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("a map");
    let (_, held) = map.split_once("## What is true everywhere").expect("what is true");
    let source: String =
        sources(&["src", "probes", "sinks", "tests"]).into_iter().map(|(_, text)| text).collect();
    let is_test = |name: &&str| name.len() > 20 && is_identifier(name);
    let tests = named(held).into_iter().filter(is_test);
    let missing: Vec<_> = tests.filter(|name| !source.contains(&format!("fn {name}("))).collect();
    assert_eq!(missing, [""; 0], "tests that ARCHITECTURE.md names");
    let folders = ["src/", "probes/", "sinks/", "tests/", "bench/"];
    let files = named(&map).into_iter().filter(|name| {
        let is_file = Path::new(name).extension().is_some_and(|end| end == "rs");
        is_file && folders.iter().any(|folder| name.starts_with(folder))
    });
    let missing: Vec<_> = files.filter(|name| !root().join(name).exists()).collect();
    assert_eq!(missing, [""; 0], "files that ARCHITECTURE.md names");
}

/// What stands between back quotes.
fn named(text: &str) -> Vec<&str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

fn is_identifier(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

#[test]
fn no_two_schemas_have_one_name() {
    // The later one would take the place of the first in the OpenAPI document.
    assert_eq!(twice(&schemas(&sources(&["src", "probes", "sinks"]))), [""; 0]);
    let one = "#[derive(Debug, utoipa::ToSchema)]\n#[serde(rename_all = \"snake_case\")]\npub struct View {\n";
    let other = "/// Its schema.\n#[derive(ToSchema)]\npub(super) enum View {\n";
    let both = [one, other].map(|text| (PathBuf::from("a.rs"), text.to_owned()));
    assert_eq!(twice(&schemas(&both)), ["View"]);
}

/// The names of types that the OpenAPI document may show.
fn schemas(files: &[File]) -> Vec<String> {
    let mut names = Vec::new();
    for (_, text) in files {
        let derived = text.split("#[derive(").skip(1).filter_map(|rest| {
            let (derives, item) = rest.split_once(")]")?;
            derives.contains("ToSchema").then_some(item)
        });
        names.extend(derived.filter_map(|item| {
            let words = item
                .lines()
                .find(|line| !line.trim_start().starts_with("#[") && !line.trim().is_empty())?;
            let name = words.split("struct ").nth(1).or_else(|| words.split("enum ").nth(1))?;
            Some(identifier(name))
        }));
    }
    names
}

fn twice(names: &[String]) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    names.iter().filter(|name| !seen.insert(*name)).map(String::as_str).collect()
}

#[test]
fn modules_form_no_cycle() {
    let uses = module_uses(&sources(&["src"]));
    assert!(uses.contains_key("store"), "{uses:?}");
    assert_eq!(cycle(&uses), None);
    let circular = [
        ("src/a.rs".into(), "//! A.\nuse crate::{x::{Deep, Nest}, b};\n".to_owned()),
        ("src/b/mod.rs".into(), "//! B.\nfn f() -> crate::c::C {}\n".to_owned()),
        ("src/c.rs".into(), "//! C.\nuse crate::a::A;\n".to_owned()),
    ];
    assert_eq!(cycle(&module_uses(&circular)).map(|path| path.len()), Some(4));
    let only_tests = [
        ("src/a.rs".into(), "//! A.\nuse crate::b;\n".to_owned()),
        ("src/b.rs".into(), "//! B.\n#[cfg(test)]\nmod tests { use crate::a; }\n".to_owned()),
    ];
    assert_eq!(cycle(&module_uses(&only_tests)), None);
}

/// As `scripts/shape` has it, which everybody can run: a circle ties its files into one that nobody
/// can read, move or test alone.
#[test]
fn files_form_no_circle() {
    let shape = |root: &Path| {
        let script = self::root().join("scripts/shape");
        let out =
            Command::new("python3").arg(script).args(["--check", "--root"]).arg(root).output();
        let out = out.expect("python3");
        (out.status.success(), String::from_utf8_lossy(&out.stdout).into_owned())
    };
    let (is_good, told) = shape(root());
    assert!(is_good, "{told}");
    let place = tempfile::tempdir().unwrap();
    let src = place.path().join("src");
    fs::create_dir(&src).unwrap();
    let write = |name: &str, text: &str| fs::write(src.join(name), text).unwrap();
    write("lib.rs", "//! Root.\nmod a;\nmod b;\n");
    write("a.rs", "//! A.\nuse crate::b::B;\npub struct A(B);\n");
    write("b.rs", "//! B.\npub struct B;\nfn made() -> crate::a::A { todo() }\n");
    let (is_good, told) = shape(place.path());
    assert!(!is_good && told.contains("circle: src/a.rs src/b.rs"), "{told}");
    write("b.rs", "//! B.\npub struct B;\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n");
    let (is_good, told) = shape(place.path());
    assert!(is_good, "what tests name ties nothing: {told}");
}

/// Which top module of the library names which others. What a binary or a test names is its own.
fn module_uses(files: &[File]) -> BTreeMap<String, BTreeSet<String>> {
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in files {
        let inside = path.strip_prefix("src").unwrap();
        let module = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        let test_file = inside.iter().any(|part| part.to_string_lossy().starts_with("tests"));
        if matches!(module, "lib" | "main") || test_file {
            continue;
        }
        let named = crate_paths(&code(text));
        let others = named.into_iter().filter(|name| name != module);
        uses.entry(module.to_owned()).or_default().extend(others);
    }
    // A macro or constant at the root is no module.
    let modules: BTreeSet<String> = uses.keys().cloned().collect();
    for others in uses.values_mut() {
        others.retain(|name| modules.contains(name));
    }
    uses
}

/// The text without comments and without the tests at its end.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The first name of every `crate::…` path, those in braces included.
fn crate_paths(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            names.push(identifier(rest));
            continue;
        };
        let mut depth = 0_u32;
        let mut fresh = true;
        for (at, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => fresh = true,
                _ if fresh && !letter.is_whitespace() => {
                    names.push(identifier(&group[at..]));
                    fresh = false;
                }
                _ => {}
            }
        }
    }
    names
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// A way from a module back to itself, if there is one.
fn cycle(uses: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn walk(
        uses: &BTreeMap<String, BTreeSet<String>>,
        way: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> bool {
        let here = way.last().unwrap().clone();
        for next in &uses[&here] {
            let closed = way.contains(next);
            way.push(next.clone());
            if closed || (!done.contains(next) && walk(uses, way, done)) {
                return true;
            }
            way.pop();
        }
        done.insert(here);
        false
    }
    let mut done = BTreeSet::new();
    uses.keys().find_map(|start| {
        let mut way = vec![start.clone()];
        walk(uses, &mut way, &mut done).then_some(way)
    })
}

#[test]
fn each_boundary_is_crossed_in_one_place() {
    let files = sources(&["src"]);
    assert_eq!(naming(&files, &["backoff::"]), ["src/retry.rs"]);
    assert_eq!(naming(&files, &["Draft", "NewEvent"]), ["src/intake.rs"]);
    for file in naming(&files, &["Parcel", "Event"]) {
        assert!(file.starts_with("src/dispatcher/"), "{file} makes parcels of events");
    }
    for (path, text) in sources(&["probes", "sinks"]) {
        let clock = ["SystemTime::now", "Timestamp::now", "Zoned::now"];
        let reads = clock.iter().any(|call| code(&text).contains(call));
        assert!(!reads, "{} reads a clock", path.display());
    }
    let both = [("src/a.rs".into(), "//! A.\nuse probes::Draft; use x::NewEvent;\n".to_owned())];
    assert_eq!(naming(&both, &["Draft", "NewEvent"]), ["src/a.rs"]);
}

/// The files, but tests, whose code has all these words.
fn naming(files: &[File], words: &[&str]) -> Vec<String> {
    let has = |code: &str, word: &str| {
        let edge = |letter: Option<char>| !letter.is_some_and(|l| l.is_alphanumeric() || l == '_');
        code.match_indices(word).any(|(at, _)| {
            let after = code[at + word.len()..].chars().next();
            edge(code[..at].chars().next_back()) && (word.ends_with(':') || edge(after))
        })
    };
    let tests = |path: &Path| path.iter().any(|part| part.to_string_lossy().starts_with("tests"));
    files
        .iter()
        .filter(|(path, _)| !tests(path))
        .filter(|(_, text)| words.iter().all(|word| has(&code(text), word)))
        .map(|(path, _)| path.display().to_string())
        .collect()
}

#[test]
fn crates_form_a_v() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let needs = packages(&lock);
    let sinks = closure(&needs, "sinks");
    let probes = closure(&needs, "probes");
    for sql in ["sqlx", "sqlx-core", "libsqlite3-sys", "rusqlite", "tokio-postgres"] {
        assert!(!sinks.contains(sql), "sinks depends on {sql}");
    }
    for (crate_, own) in [("sinks", &sinks), ("probes", &probes)] {
        for other in ["milkrun", "sinks", "probes"].iter().filter(|other| **other != crate_) {
            assert!(!own.contains(*other), "{crate_} depends on {other}");
        }
    }
    assert!(closure(&needs, "milkrun").contains("sqlx"), "the closure sees nothing");
    for banned in ["openssl", "openssl-sys", "native-tls", "aws-lc-rs", "aws-lc-sys"] {
        assert!(!needs.contains_key(banned), "{banned} is in Cargo.lock; see deny.toml");
    }
}

/// What each package of a `Cargo.lock` depends on, by name.
fn packages(lock: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut needs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for block in lock.split("[[package]]").skip(1) {
        let name = block.split('"').nth(1).unwrap();
        let list = block.split("dependencies = [").nth(1).unwrap_or_default();
        let entries = list.split('"').skip(1).step_by(2);
        let names = entries.filter_map(|entry| entry.split(' ').next());
        needs.entry(name).or_default().extend(names);
    }
    needs
}

fn closure<'a>(needs: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &'a str) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(name) = open.pop() {
        if seen.insert(name) {
            open.extend(needs.get(name).into_iter().flatten());
        }
    }
    seen
}

#[test]
fn each_log_line_names_an_event_that_is_listed() {
    let files = sources(&["src", "probes/src", "sinks/src"]);
    let calls = log_calls(&files);
    assert!(calls.len() > 100, "only {} calls were found", calls.len());
    let list = fs::read_to_string(root().join("docs/logs.md")).expect("a list");
    assert_eq!(badly_logged(&calls, &list), [""; 0]);
    let text = "//! A.\nfn f() {\n    warn!(\n        event = \"a.b\",\n        \"x\"\n    );\n    \
        tracing::info!(\"x\");\n    own_error!(1);\n}\n\n\
        #[cfg(test)]\nmod tests {\n    error!(1);\n}\n";
    let file = [("src/a.rs".into(), text.to_owned())];
    let calls = log_calls(&file);
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert_eq!(badly_logged(&calls, "| `a.b` |\n| `a.b` |\n| `a.c` |\n").len(), 3);
}

/// Of each call that logs, but in tests: its file, and the event that it names first.
fn log_calls(files: &[File]) -> Vec<(&Path, Option<&str>)> {
    let mut calls = Vec::new();
    let tests = |path: &Path| path.iter().any(|part| part == "tests" || part == "tests.rs");
    for (path, text) in files.iter().filter(|(path, _)| !tests(path)) {
        // An item alone may be for tests, too, and the relay's code goes on after it.
        let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for mark in ["info!(", "warn!(", "error!("] {
            let starts = code.match_indices(mark).map(|(at, _)| code.split_at(at));
            let whole = starts
                .filter(|(before, _)| !before.ends_with(|l: char| l.is_alphanumeric() || l == '_'));
            calls.extend(whole.map(|(_, call)| {
                let first = call[mark.len()..].trim_start().strip_prefix("event = \"");
                (path.as_path(), first.and_then(|name| name.split('"').next()))
            }));
        }
    }
    calls
}

fn badly_logged(calls: &[(&Path, Option<&str>)], list: &str) -> Vec<String> {
    let rows = list.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let rows: Vec<String> = rows.filter(|name| name.contains('.')).map(str::to_owned).collect();
    let named: BTreeSet<&str> = calls.iter().filter_map(|(_, name)| *name).collect();
    let nameless = calls.iter().filter(|(_, name)| name.is_none());
    let nameless = nameless.map(|(path, _)| format!("{}: a call without `event`", path.display()));
    let unlisted = named.iter().filter(|name| !rows.iter().any(|row| row == **name));
    let unused = rows.iter().filter(|row| !named.contains(row.as_str()));
    let unlisted = unlisted.map(|name| format!("`{name}` is not in docs/logs.md"));
    let unused = unused.map(|row| format!("`{row}` of docs/logs.md is in no call"));
    let double = twice(&rows).into_iter().map(|row| format!("`{row}` has two rows"));
    nameless.chain(unlisted).chain(unused).chain(double).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below these directories of the root, by path.
pub(crate) fn sources(directories: &[&str]) -> Vec<File> {
    let mut files = Vec::new();
    let mut open: Vec<PathBuf> = directories.iter().map(|name| root().join(name)).collect();
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    files.sort();
    files
}
