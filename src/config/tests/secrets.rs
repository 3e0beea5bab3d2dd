//! Secrets: how they are read, and that nothing tells them.

use std::io::Write as _;

use super::{good, parse, refused, source};
use crate::config::Config;

fn bearer(config: &Config) -> String {
    match &config.sources[0].http.auth {
        probes::http::Auth::Bearer(secret) => secret.0.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_secret_is_what_can_be_seen_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    let by_file = source(&format!("      auth: {{ bearer: {{ file: {} }} }}\n", path.display()));
    let by_env = source("      auth: { bearer: { env: TOKEN } }\n");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let env = |name: &str| (name == "TOKEN").then(|| text.to_owned());
        let both = [parse(&by_file, "m.yaml", env), parse(&by_env, "m.yaml", env)];
        both.map(|read| read.map(|config| bearer(&config)).map_err(|error| error.to_string()))
    };
    for text in [
        "hunter2",
        "hunter2\n",
        "hunter2 \t\r\n",
        "\u{feff}hunter2",
        " hunter2",
        "hunter2\u{a0}\n",
        "\u{200b}hunter2\u{200b}",
        "hunter2\u{2060}",
    ] {
        assert_eq!(read(text), [Ok("hunter2".into()), Ok("hunter2".into())], "{text:?}");
    }
    let names = [format!("`{}`", path.display()), "`TOKEN`".into()];
    for text in
        ["hun\u{a0}ter2", "hun\u{200b}ter2", "hun\u{feff}ter2", "hun\u{200d}ter2", "", "\u{feff}\n"]
    {
        for (told, name) in read(text).into_iter().zip(&names) {
            let told = told.unwrap_err();
            assert!(told.contains(name.as_str()) && !told.contains("ter2"), "{text:?}: {told}");
        }
    }
}

/// A pipe that nobody writes to would be waited for.
#[test]
fn only_a_regular_file_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for path in [&*fifo, directory.path(), std::path::Path::new("/dev/zero")] {
        let lines = format!("      auth: {{ bearer: {{ file: {} }} }}\n", path.display());
        let told = refused(&source(&lines));
        assert!(
            told.contains(&format!("cannot read `{}`: it is no regular file", path.display())),
            "{told}"
        );
    }
    // What leads to one is as good.
    let (file, link) = (directory.path().join("file"), directory.path().join("link"));
    std::fs::File::create(&file).unwrap().write_all(b"hunter2").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let lines = format!("      auth: {{ bearer: {{ file: {} }} }}\n", link.display());
    assert_eq!(bearer(&good(&source(&lines))), "hunter2");
}

#[test]
fn no_message_tells_a_secret() {
    let mut wrong = Vec::new();
    let env = |name: &str| match name {
        "TOKEN" => Some("hunter2hunter2".to_owned()),
        "URL" => Some("ftp://u:hunter2hunter2@a.example/hunter2hunter2".to_owned()),
        _ => None,
    };
    for text in [
        source("      auth: { basic: { user: u, passwrd: hunter2hunter2 } }\n"),
        source("      auth: hunter2hunter2\n"),
        source("      auth: { basic: hunter2hunter2 }\n"),
        source("      auth: { bearer: [hunter2hunter2] }\n"),
        source("      auth: { bearer: { env: TOKEN } }\n      headers: { \"a b\": hunter2hunter2, token: hunter2hunter2 }\n").replace("a b\": hunter2hunter2", "a b\": x"),
        source("      timeout: \"${TOKEN}\"\n"),
        source("      listed: ${TOKEN}\n"),
        source("").replace("https://a.example/e", "https://u:hunter2hunter2@a.example/e"),
        source("").replace("https://a.example/e", "${URL}"),
        "store: ${TOKEN}\n".into(),
        "listen: ${TOKEN}\n".into(),
        "outbound: { proxy: \"ftp://u:hunter2hunter2@a.example\" }\n".into(),
        "outbound: { allow: [\"${TOKEN}\"] }\n".into(),
        "subscriptions: [{ name: s, topic: t, webhook: { url: \"https://a.example\", secrt: whsec_hunter2hunter2 } }]\n".into(),
        "subscriptions: [{ name: s, topic: t, webhook: { url: \"https://a.example\", secret: { env: TOKEN } } }]\n".into(),
        "subscriptions: [{ name: s, topic: t, from: \"${TOKEN}\", webhook: { url: \"https://u:hunter2hunter2@a.example\" } }]\n".into(),
    ] {
        let told = parse(&text, "m.yaml", env).map(|_| ()).unwrap_err().to_string();
        wrong.extend(told.contains("hunter2").then(|| format!("{text}\n{told}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A secret is named, and not put in by a variable; what leads there is told from either side.
#[test]
fn a_secret_by_a_variable_is_told_what_to_write() {
    let env = |name: &str| (name == "S").then(|| "whsec_hunter2hunter2".to_owned());
    let told = |secret: &str| {
        let text = format!(
            "subscriptions: [{{ name: s, topic: t, webhook: {{ url: \"https://a.example\", secret: {secret} }} }}]\n"
        );
        parse(&text, "m.yaml", env).map(|_| ()).unwrap_err().to_string()
    };
    let expected = "expected { env: NAME } or { file: PATH }, without `${…}`";
    let braced = told("\"${S}\"");
    assert!(braced.contains("`subscriptions[0].webhook.secret`: a secret is not"), "{braced}");
    assert!(braced.contains(expected) && !braced.contains("hunter2"), "{braced}");
    let bare = told("$S");
    assert!(bare.contains("`$S`: write `{ env: S }` for a secret, `${S}` for"), "{bare}");
}

/// Whose URL has no variable keeps its source; a token does not become part of one.
#[test]
fn what_came_from_a_variable_is_in_no_source() {
    let env = |name: &str| match name {
        "TOKEN" => Some("hunter2hunter2".to_owned()),
        "HOST" => Some("api.example.com".to_owned()),
        "URL" => Some("https://a.example/in/hunter2hunter2?x=1".to_owned()),
        "REPO" => Some("rust-lang/rust".to_owned()),
        "BASE" => Some("https://a.example/".to_owned()),
        _ => None,
    };
    for (url, query, shown) in [
        ("https://a.example/v1/e?x=1", "{}", "https://a.example/v1/e?x=1"),
        ("https://a.example/v1/e", "{ a: b }", "https://a.example/v1/e?a=b"),
        ("https://${HOST}/v1/e", "{}", "https://api.example.com/v1/e"),
        ("https://${NONE:-a.example}/${NONE:-v1}/e", "{}", "https://a.example/v1/e"),
        ("https://a.example/${TOKEN}/e", "{}", "https://a.example/$TOKEN/e"),
        ("https://a.example/e?x=${TOKEN}", "{}", "https://a.example/e?x=$TOKEN"),
        ("${URL}", "{}", "https://a.example/$URL"),
        ("${BASE}e", "{}", "https://a.example/e"),
        ("https://a.example/${REPO}/e", "{}", "https://a.example/rust-lang/rust/e"),
        (
            "https://a.example/e",
            "{ x: \"${TOKEN}\", y: 1.10 }",
            "https://a.example/e?x=$TOKEN&y=1.10",
        ),
    ] {
        let text = source(&format!("      query: {query}\n"));
        let text = text.replace("https://a.example/e", &format!("\"{url}\""));
        let config = parse(&text, "m.yaml", env).unwrap_or_else(|error| panic!("{error}"));
        let spec = &config.sources[0].http;
        assert_eq!(spec.default_source(), shown, "{url}");
        let hides = spec.hidden.iter().any(|secret| secret.0.contains("hunter2hunter2"));
        assert_eq!(hides, shown.contains('$'), "{url}");
    }
    let text = "subscriptions: [{ name: s, topic: t, webhook: { url: \"https://a.example/${TOKEN}\" } }]\n";
    let settings = parse(text, "m.yaml", env).unwrap().subscriptions[0].settings.clone();
    assert_eq!(settings.url, "https://a.example/hunter2hunter2");
    assert_eq!(settings.url_shown(), "https://a.example/$TOKEN");
}
