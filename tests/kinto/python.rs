//! The Python side: a Kinto server and the verifying consumer as children.

use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::support::{
    Api, LONG, eventually, installed,
    relay::{SECRET, free_port},
    within,
};

/// The credentials of the relay at Kinto.
pub(crate) const USER: &str = "relay";
/// The password that goes with [`USER`].
pub(crate) const PASSWORD: &str = "correct horse";

/// A Python with the packages of `tests/kinto/requirements.txt`; made by `scripts/test`.
pub(crate) fn python() -> Command {
    let python = installed("MILKRUN_TEST_PYTHON", "target/python/bin/python", None);
    let mut command = Command::new(python);
    command.kill_on_drop(true);
    command
}

/// A running Kinto with memory backends, a bucket and a collection; pages of three records.
pub(crate) struct Kinto {
    child: Child,
    dir: TempDir,
    api: Api,
    base: String,
}

impl Kinto {
    /// Starts one and waits until it answers.
    pub(crate) async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let port = free_port();
        let settings = include_str!("kinto.ini").replace("PORT", &port.to_string());
        std::fs::write(dir.path().join("kinto.ini"), settings).unwrap();
        let log = std::fs::File::create(dir.path().join("kinto.log")).unwrap();
        let run = "import sys; from kinto.__main__ import main; sys.exit(main())";
        let child = python()
            .args(["-c", run, "start", "--ini", "kinto.ini"])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let base = format!("http://127.0.0.1:{port}/v1/buckets/shop/collections/orders");
        let mut kinto = Self { child, dir, api: Api::new(String::new()), base };
        kinto.prepare(port).await;
        kinto
    }

    async fn prepare(&mut self, port: u16) {
        let root = format!("http://127.0.0.1:{port}/v1");
        eventually("an answer of Kinto", || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "Kinto ended: {ended:?}");
            let request = self.api.request("GET", &format!("{root}/"));
            let reply = self.api.try_send(request);
            async { reply.await.filter(|reply| reply.status == 200).map(drop) }
        })
        .await;
        self.put(&format!("{root}/buckets/shop")).await;
        self.put(&self.base).await;
    }

    async fn put(&self, url: &str) {
        let request = self.api.request("PUT", url).basic_auth(USER, Some(PASSWORD));
        self.api.send(request).await.ok();
    }

    /// The URL of its API.
    pub(crate) fn root(&self) -> String {
        self.base.split("/buckets").next().unwrap().to_owned()
    }

    /// Sends to a path below the collection and gives what was answered.
    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let url = format!("{}{path}", self.base);
        let mut request = self.api.request(method, &url).basic_auth(USER, Some(PASSWORD));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        self.api.send(request).await.ok()
    }
}

impl Drop for Kinto {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.dir.path().join("kinto.log"));
            eprintln!("---- Kinto\n{}", log.unwrap_or_default());
        }
    }
}

/// The consumer of `tests/kinto/consumer.py`.
pub(crate) struct Consumer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    port: u64,
}

impl Consumer {
    /// Starts one and waits until it listens.
    pub(crate) async fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kinto/consumer.py");
        let mut child = python()
            .arg(script)
            .env("HOOK_SECRET", SECRET)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut consumer = Self { child, lines, port: 0 };
        consumer.port = consumer.line().await["listening"].as_u64().unwrap();
        consumer
    }

    /// Where it wants its events.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    /// What it says next.
    pub(crate) async fn line(&mut self) -> Value {
        let line = within(LONG, "a line of the consumer", self.lines.next_line()).await.unwrap();
        serde_json::from_str(&line.expect("the consumer ended")).unwrap()
    }

    /// The next event; panics when it was refused.
    pub(crate) async fn next(&mut self) -> Value {
        let event = self.line().await;
        assert!(event.get("refused").is_none(), "the verifier refused: {event}");
        event
    }

    /// Ends it and gives what it had still to say.
    pub(crate) async fn rest(mut self) -> Vec<Value> {
        drop(self.child.stdin.take());
        let mut rest = Vec::new();
        while let Some(line) =
            within(LONG, "the consumer's end", self.lines.next_line()).await.unwrap()
        {
            rest.push(serde_json::from_str(&line).unwrap());
        }
        rest
    }
}
