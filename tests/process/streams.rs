//! Streams that cannot be written: a relay goes on without its log, and no command breaks down.

use std::{
    fs::File,
    io::{PipeReader, Write as _},
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;

use crate::support::{LONG, Place, eventually, within};

/// Takes no byte: there is no space left.
fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// A pipe whose reader has gone away.
fn broken() -> Stdio {
    std::io::pipe().unwrap().1.into()
}

/// A pipe that is full, and whose reader reads nothing.
fn stuck() -> (PipeReader, Stdio) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all("x".repeat(64 << 10).as_bytes()).unwrap();
    (reader, writer.into())
}

fn run(place: &Place, log: &str, stdout: Stdio, stderr: Stdio) -> Child {
    let file = place.config();
    let mut command = place.command(&["--log", log, "run", "-c", file.to_str().unwrap()]);
    command.stdout(stdout).stderr(stderr).spawn().unwrap()
}

async fn stopped(mut relay: Child) -> Option<i32> {
    let id = i32::try_from(relay.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(id).unwrap(), Signal::TERM).unwrap();
    within(LONG, "the relay's end", relay.wait()).await.unwrap().code()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_whose_log_cannot_be_written_goes_on_and_counts() {
    for stderr in [full, broken] {
        let place = Place::new("topics: { a: {} }\n");
        let relay = run(&place, "info", Stdio::null(), stderr());
        let api = place.api();
        eventually("dropped lines in the metrics", || async {
            let reply = api.try_send(api.request("GET", "/metrics")).await?;
            let text = reply.body;
            let line = text.lines().find(|l| l.starts_with("milkrun_log_lines_dropped_total "))?;
            (!line.ends_with(" 0")).then_some(())
        })
        .await;
        assert_eq!(api.get("/readyz").await.status, 200);
        assert_eq!(stopped(relay).await, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_whose_log_is_not_read_goes_on_and_stops() {
    let place = Place::new("topics: { a: {} }\n");
    let (_reader, stderr) = stuck();
    let relay = run(&place, "info", Stdio::null(), stderr);
    let api = place.api();
    eventually("a ready relay", || async {
        let reply = api.try_send(api.request("GET", "/readyz")).await?;
        (reply.status == 200).then_some(())
    })
    .await;
    for _ in 0..100 {
        let asked = within(Duration::from_secs(30), "an answer", api.get("/v1/topics"));
        assert_eq!(asked.await.status, 200);
    }
    assert_eq!(stopped(relay).await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_cannot_tell_its_address_says_so_and_fails() {
    for stdout in [full, broken] {
        let place = Place::new("topics: { a: {} }\n");
        let relay = run(&place, "info", stdout(), Stdio::piped());
        let end = within(LONG, "the relay's end", relay.wait_with_output()).await.unwrap();
        let told = String::from_utf8(end.stderr).unwrap();
        assert_eq!(end.status.code(), Some(1), "{told}");
        assert!(told.contains("the relay's address cannot be told"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_command_breaks_down_for_want_of_a_stream() {
    let place = Place::new("nonsense: 1\n");
    let file = place.config();
    let file = file.to_str().unwrap();
    let ends = async |arguments: &[&str], stdout: Stdio, stderr: Stdio| {
        let mut command = place.command(arguments);
        let mut child = command.stdout(stdout).stderr(stderr).spawn().unwrap();
        within(LONG, "the command's end", child.wait()).await.unwrap().code()
    };
    for stderr in [full, broken] {
        for (arguments, code) in [
            (&["check", "-c", file][..], 78),
            (&["run", "-c", file], 78),
            (&["topics"], 1),
            (&["topics", "-c", file], 1),
            (&["subscriptions", "delete", "x"], 1),
            (&["--log", "[", "check"], 2),
            (&["nonsense"], 2),
            (&["config", "schema"], 0),
        ] {
            let code = Some(code);
            assert_eq!(ends(arguments, Stdio::null(), stderr()).await, code, "{arguments:?}");
        }
    }
    // What cannot be written is told; nobody reading any more is no error.
    for (stdout, code) in [(full(), 1), (broken(), 0)] {
        assert_eq!(ends(&["config", "schema"], stdout, Stdio::null()).await, Some(code));
    }
}
