//! Calls of the operating system that fail one by one: whatever was acknowledged stays, whatever was
//! not is said, and everything goes on by itself.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    path::Path,
};

use serde_json::Value;

use crate::support::{
    Api, Library, Place, Receiver, api::cloud_event, eventually, producer::id, scaled,
};

/// The calls, as `faults.c` counts them, and how they fail.
const CALLS: [(u8, &str); 4] = [(1, "pwrite"), (2, "pread"), (3, "fsync"), (4, "ftruncate")];
const ERRORS: [(u8, &str); 2] = [(5, "EIO"), (28, "ENOSPC")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_fails_loses_nothing_and_everything_goes_on() {
    let library = Library::build("process/faults.c");
    let receiver = Receiver::accepting().await;
    let mut place = Place::new(&format!(
        "topics: {{ numbers: {{}} }}\nsubscriptions:\n  - name: sink\n    topic: numbers\n    \
         from: earliest\n    webhook: {{ url: \"{}\", secret: {{ env: HOOK_SECRET }} }}\n",
        receiver.url()
    ));
    let faults = place.path("faults");
    fs::write(&faults, [0, 0, 0]).unwrap();
    library.load(&mut place);
    place.env("FAULTS", faults.to_str().unwrap());
    let relay = place.start().await;
    let api = relay.api();
    let (mut told, mut n) = (BTreeMap::new(), 0_u64);
    for round in 0..scaled(1, 10) {
        for (call, name) in CALLS {
            for (errno, word) in ERRORS {
                arm(&faults, [call, errno, 1 + u8::try_from(round % 5).unwrap()]);
                let mut refused = 0;
                for _ in 0..20 {
                    n += 1;
                    refused += usize::from(!publish(api, n, &mut told).await);
                }
                arm(&faults, [0, 0, 0]);
                // By itself, and soon.
                eventually(&format!("all well after {word} at {name}"), || async {
                    let ready = api.get("/readyz").await.ok();
                    (ready["status"] == "ok").then_some(())
                })
                .await;
                n += 1;
                assert!(publish(api, n, &mut told).await, "{word} at {name} lasts");
                println!("{word} at {name}: {refused} of 20 refused");
            }
        }
    }
    receiver.until_accepted(told.len()).await;
    // The trace goes on as well.
    eventually("the last attempt in the trace", || async {
        let newest = api.get("/v1/subscriptions/sink/attempts?limit=1").await.ok();
        let version = newest["attempts"][0]["version"].as_u64()?;
        (version + 500 > told.len() as u64).then_some(())
    })
    .await;
    assert!(relay.stop().await.success());
    let relay = place.start().await;
    let log = relay.api().log("numbers").await;
    for (version, n) in &told {
        let line = usize::try_from(*version).ok().and_then(|version| log.get(version - 1));
        assert!(
            line.is_some_and(|line| line.contains(&id(*n))),
            "{} is not {version}: {line:?}",
            id(*n)
        );
    }
    println!("{} events acknowledged, none lost", told.len());
    assert!(relay.stop().await.success());
}

/// Says which calls fail; the file is mapped by the relay, so it is never cut.
fn arm(faults: &Path, bytes: [u8; 3]) {
    let mut file = File::options().write(true).open(faults).unwrap();
    file.write_all(&bytes).unwrap();
}

/// Publishes one event; whether it was acknowledged. What is not is said in words.
async fn publish(api: &Api, n: u64, told: &mut BTreeMap<u64, u64>) -> bool {
    let reply = api.send(api.event("numbers", cloud_event(n))).await;
    let body: Value = reply.json();
    if reply.status == 200 {
        told.insert(body["events"][0]["version"].as_u64().unwrap(), n);
        return true;
    }
    assert!([500, 503, 507].contains(&reply.status), "{reply:?}");
    assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{reply:?}");
    false
}
