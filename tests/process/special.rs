//! What is no file where one is expected, and a start that hangs.

use std::{fs, time::Duration};

use rustix::{
    fs::{CWD, Mode, mkfifoat},
    process::Signal,
};
use serde_json::json;

use crate::support::{Library, Place, eventually, within};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_became_a_pipe_is_refused_and_keeps_no_relay_from_stopping() {
    let place = Place::new("topics: { numbers: {} }\n");
    let mut relay = place.start().await;
    fs::remove_file(place.config()).unwrap();
    mkfifoat(CWD, place.config(), Mode::RUSR | Mode::WUSR).unwrap();
    let reply = within(SOON, "an answer", relay.api().post("/v1/reload", &json!({}))).await;
    assert!((400..500).contains(&reply.status), "{reply:?}");
    relay.signal(Signal::HUP);
    eventually("a line in the log", || async {
        let printed = place.printed();
        (printed.matches("it is no regular file, but a named pipe").count() >= 2).then_some(())
    })
    .await;
    relay.signal(Signal::TERM);
    assert!(within(SOON, "the relay's end", relay.ended()).await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_never_ends_is_refused() {
    let place = Place::new("{}\n");
    let config = place.config();
    let refused = async |said: &str| {
        let arguments = ["check", "-c", config.to_str().unwrap()];
        let end = within(SOON, "the check's end", place.run(&arguments)).await;
        assert!(end.code == Some(78) && end.stderr.contains(said), "{end:?}");
    };
    fs::File::options().write(true).open(&config).unwrap().set_len(5 << 30).unwrap();
    refused("it has more than 4 MiB").await;
    fs::remove_file(&config).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &config).unwrap();
    refused("it is no regular file, but a device").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_a_start_that_hangs() {
    let library = Library::build("process/hang.c");
    let mut place = Place::new("topics: { numbers: {} }\n");
    library.load(&mut place);
    let mut relay = place.spawn();
    eventually("a start", || async { place.printed().contains("open files").then_some(()) }).await;
    relay.signal(Signal::TERM);
    tokio::time::sleep(Duration::from_millis(300)).await;
    relay.signal(Signal::TERM);
    let end = within(SOON, "the relay's end", relay.ended()).await;
    assert_eq!(end.code(), Some(3));
    assert!(place.printed().contains("a second signal"), "not said");
}

#[tokio::test]
async fn a_link_beside_the_store_is_refused_and_what_it_leads_to_stays() {
    for suffix in ["-reserve", "-heads"] {
        let place = Place::new("topics: { numbers: {} }\n");
        let precious = place.path("precious");
        fs::write(&precious, "not the relay's").unwrap();
        let link = format!("{}{suffix}", place.store().display());
        std::os::unix::fs::symlink(&precious, &link).unwrap();
        let done = within(SOON, "an end", place.run(&["run", "-c", "milkrun.yaml"])).await;
        assert_eq!(done.code, Some(78), "{done:?}");
        assert!(done.stderr.contains(&link) && done.stderr.contains("a symbolic link"), "{done:?}");
        assert_eq!(fs::read_to_string(&precious).unwrap(), "not the relay's");
    }
}
